"""Everything-mode beside segment_anything's own generator, on the same model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.utils.amg import build_point_grid, generate_crop_boxes

from fiftyone_ssa.models import everything
from fiftyone_ssa.models.everything import EverythingGenerator
from fiftyone_ssa.models.found_masks import Encoding
from fiftyone_ssa.models.lowres import Frame
from fiftyone_ssa.models.point_grids import crop_boxes, point_grid, turns
from fiftyone_ssa.models.sam import load_sam
from fiftyone_ssa.presets import Masks, load_preset
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.types import Floats, Image, MaskSet
from tests.models.tiny_sam import SegmentAnything, blob_sam

THRESHOLDS: dict[str, Any] = {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.6}


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def generate(image: Image, **settings: Any) -> MaskSet:
    return EverythingGenerator(SegmentAnything(blob_sam()), Masks(**THRESHOLDS | settings))(image)


@pytest.mark.parametrize(
    "settings",
    [
        {"points_per_side": 16},
        {"points_per_side": 16, "box_nms_thresh": 0.9, "stability_score_offset": 1.5},
        {"points_per_side": 12, "crop_n_layers": 1, "crop_nms_thresh": 0.4},
        {"points_per_side": 16, "min_mask_region_area": 200},
        {
            "points_per_side": 12,
            "crop_n_layers": 2,
            "crop_n_points_downscale_factor": 2,
            "crop_overlap_ratio": 0.2,
            "min_mask_region_area": 60,
        },
    ],
)
@pytest.mark.parametrize("size_hw", [(150, 210), (360, 420)])
def test_the_masks_are_segment_anythings_bit_for_bit(settings: dict[str, Any], size_hw: tuple[int, int]) -> None:
    """The larger image is enlarged mask by mask, where each can be (`models.mask_windows`)."""
    image = photo(*size_hw)
    plain = SamAutomaticMaskGenerator(blob_sam(), output_mode="coco_rle", **THRESHOLDS | settings).generate(image)
    ours = generate(image, **settings)
    assert len(ours) == len(plain) > 20
    assert [rle.decode() for rle in ours.rles] == [record["segmentation"]["counts"] for record in plain]
    assert ours.areas_px.tolist() == [record["area"] for record in plain]
    for ours_column, key in (
        (ours.source_boxes_xywh, "bbox"),
        (ours.predicted_iou, "predicted_iou"),
        (ours.stability_score, "stability_score"),
        (ours.points_xy[:, None], "point_coords"),
        (ours.crop_boxes_xywh, "crop_box"),
    ):
        np.testing.assert_allclose(ours_column, np.array([record[key] for record in plain]), atol=1e-6)


def test_what_is_found_does_not_depend_on_the_batch() -> None:
    image = photo(100, 80)
    whole, single = generate(image, points_per_side=9), generate(image, points_per_side=9, points_per_batch=1)
    assert whole.rles == single.rles
    np.testing.assert_array_equal(whole.predicted_iou, single.predicted_iou)


def test_crops_side_by_side_are_as_in_turn() -> None:
    settings, threads = load_preset("mini-ssa").masks, torch.get_num_threads()
    model, image = load_sam(settings.model, torch.device("cpu"), torch.float32), draw_scene(3, (160, 200)).image
    found = []
    try:
        for parallel, count in ((False, 1), (True, 2)):
            torch.set_num_threads(count)
            found.append(EverythingGenerator(model, settings, parallel=parallel)(image))
    finally:
        torch.set_num_threads(threads)
    assert len(found[0]) > 0
    assert found[0].rles == found[1].rles


@pytest.mark.parametrize("settings", [{}, {"crop_n_layers": 1, "min_mask_region_area": 60}])
def test_a_gpus_way_finds_the_same_masks(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops encoded together, images enlarged whole, and each batch of points waited for once."""
    image, here = photo(360, 420), generate(photo(360, 420), points_per_side=12, **settings)
    batches: list[int] = []
    monkeypatch.setattr(everything, "are_worth_it", lambda *_: False)
    monkeypatch.setitem(everything.ENCODED_CROPS, "cpu", 4)
    monkeypatch.setattr(EverythingGenerator, "_worth_enlarging", EverythingGenerator._known_at_once)
    monkeypatch.setattr(
        SegmentAnything,
        "encode_all",
        lambda self, images: batches.append(len(images)) or [self.encode(each) for each in images],
    )
    there = generate(image, points_per_side=12, **settings)
    assert there.rles == here.rles
    for column in ("predicted_iou", "stability_score", "points_xy", "source_boxes_xywh", "crop_boxes_xywh"):
        np.testing.assert_array_equal(getattr(there, column), getattr(here, column))
    assert batches == ([4, 1] if settings else [1])


class TooManyCrops(SegmentAnything):
    """Runs out of memory with more than one crop, and enlarging with more than one mask."""

    def encode_all(self, images: Sequence[Image]) -> list[Encoding]:
        if len(images) > 1:
            raise torch.OutOfMemoryError("too many crops")
        return super().encode_all(images)


def test_crops_and_masks_for_which_there_is_no_room_go_on_in_smaller_batches(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For good: the next crop, and the next image, do not run out again."""
    enlarge = Frame.enlarge

    def scarce(frame: Frame, logits: torch.Tensor) -> torch.Tensor:
        if len(logits) > 1:
            raise torch.OutOfMemoryError("too many masks")
        return enlarge(frame, logits)

    monkeypatch.setattr(Frame, "enlarge", scarce)
    monkeypatch.setitem(everything.ENCODED_CROPS, "cpu", 4)
    monkeypatch.setitem(everything.ENLARGED_PIXELS, "cpu", 4 * 150 * 210)
    settings = Masks(points_per_side=9, crop_n_layers=1, **THRESHOLDS)
    generator = EverythingGenerator(TooManyCrops(blob_sam()), settings)
    with caplog.at_level(logging.WARNING):
        found = generator(photo(150, 210))
        assert generator(photo(150, 210)).rles == found.rles
    monkeypatch.undo()
    assert found.rles == generate(photo(150, 210), points_per_side=9, crop_n_layers=1).rles
    told = [record.message for record in caplog.records]
    assert told[:2] == [f"out of memory in encoding crops: going on with batches of {size}" for size in (2, 1)]
    assert len(told) == len(set(told)) <= 6


class SmallMemory(SegmentAnything):
    """Runs out of memory with more than two points."""

    def decode(self, encoding: Encoding, points_xy: Floats, from_iou: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
        if len(points_xy) > 2:
            raise torch.OutOfMemoryError("too many points")
        return super().decode(encoding, points_xy, from_iou)


def test_out_of_memory_halves_the_batch_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    image = photo(100, 80)
    with caplog.at_level(logging.WARNING):
        settings = Masks(points_per_side=9, points_per_batch=8, **THRESHOLDS)
        found = EverythingGenerator(SmallMemory(blob_sam()), settings)(image)
    assert found.rles == generate(image, points_per_side=9).rles
    assert [record.message for record in caplog.records] == [
        "out of memory in decoding points: going on with batches of 4",
        "out of memory in decoding points: going on with batches of 2",
    ]


@pytest.mark.parametrize("settings", [{"pred_iou_thresh": 1.0}, {"stability_score_thresh": 1.0}])
def test_where_nothing_passes_the_set_is_empty(settings: dict[str, Any]) -> None:
    found = generate(photo(60, 50), points_per_side=4, crop_n_layers=1, min_mask_region_area=5, **settings)
    assert (len(found), found.size_hw) == (0, (60, 50))


def test_thresholds_of_zero_keep_all_but_empty_masks() -> None:
    found = generate(
        photo(60, 50), points_per_side=5, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    assert 0 < len(found) <= 75
    assert found.areas_px.min() > 0


@pytest.mark.parametrize("size_hw", [(150, 210), (1500, 2000), (97, 33)])
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("overlap", [0.0, 512 / 1500, 1.0])
def test_crops_are_segment_anythings(size_hw: tuple[int, int], layers: int, overlap: float) -> None:
    boxes, indices = generate_crop_boxes(size_hw, layers, overlap)
    expected = [((x0, y0, x1, y1), layer) for (x0, y0, x1, y1), layer in zip(boxes, indices, strict=True)]
    assert crop_boxes(size_hw, layers, overlap) == [
        (box, layer) for box, layer in expected if box[0] < box[2] and box[1] < box[3]
    ]


def test_the_point_grid_is_segment_anythings() -> None:
    for side in (1, 2, 7, 32):
        np.testing.assert_array_equal(point_grid(side), build_point_grid(side))


class Quadrants:
    """Answers each point with the image and with the quadrant that it lies in, and keeps count."""

    device = torch.device("cpu")
    side = 32

    def __init__(self, quadrant_iou: float) -> None:
        self.quadrant_iou = quadrant_iou
        self.asked: list[tuple[float, float]] = []

    def encode_all(self, images: Sequence[Image]) -> list[Encoding]:
        return [Encoding(None, Frame(image.shape[:2], (32, 32), 32, by_input=False)) for image in images]

    def decode(self, encoding: Encoding, points_xy: Floats, from_iou: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += [(float(x), float(y)) for x, y in points_xy]
        height, width = encoding.frame.size_hw
        logits = torch.full((len(points_xy), 2, 32, 32), 9.0)
        for index, (x, y) in enumerate(points_xy):
            logits[index, 1] = -9
            rows, columns = (slice(0, 16) if at * 2 < side else slice(16, 32) for at, side in ((y, height), (x, width)))
            logits[index, 1, rows, columns] = 9
        return logits, torch.tensor([[0.99, self.quadrant_iou]]).repeat(len(points_xy), 1)


@pytest.mark.parametrize("points_per_batch", [1, 64])
@pytest.mark.parametrize("size_hw", [(64, 64), (40, 90)])
def test_points_that_others_have_answered_are_not_asked(points_per_batch: int, size_hw: tuple[int, int]) -> None:
    given = {"points_per_side": 8, "points_per_batch": points_per_batch, "stability_score_thresh": 0.5}
    plain, sparing = Quadrants(0.9), Quadrants(0.9)
    every = EverythingGenerator(plain, Masks(**given))(np.zeros((*size_hw, 3), np.uint8))
    found = EverythingGenerator(sparing, Masks(**given, answered_iou_thresh=0.9))(np.zeros((*size_hw, 3), np.uint8))
    assert len(plain.asked) == 64
    assert len(sparing.asked) == 4  # the first turn asks four of them, one in each quadrant
    assert sorted(found.rles) == sorted(every.rles)
    assert len(found) == 5


def test_unsure_answers_spare_no_point() -> None:
    model = Quadrants(0.89)
    EverythingGenerator(model, Masks(points_per_side=8, answered_iou_thresh=0.9))(np.zeros((64, 64, 3), np.uint8))
    assert len(model.asked) == 64
    assert len(set(model.asked)) == 64


@pytest.mark.parametrize("side", [1, 3, 4, 16, 33])
def test_turns_ask_every_point_once_and_spread_out(side: int) -> None:
    order = turns(side)
    assert sorted(np.concatenate(order).tolist()) == list(range(side * side))
    rows, columns = np.divmod(order[0], side)
    assert set(rows % 4) == set(columns % 4) == {0}
    if side % 4 == 0:
        assert [len(turn) * 16 // side**2 for turn in order] == [1, 1, 2, 4, 8]
