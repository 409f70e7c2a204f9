"""A user's generator of masks: three forms of answers, and a sentence for each that is none of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.models.factories import foreign_code
from fiftyone_ssa.models.sam import load_mask_generator
from fiftyone_ssa.models.user_masks import adopt_generator
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.presets import Masks, load_preset
from fiftyone_ssa.types import Image, Inputs
from tests.models.tiny_sam import blob_sam

LEFT = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
SOURCE = """
import numpy
class Quarters:
    def __call__(self, image):
        masks = numpy.zeros((4, *image.shape[:2]), bool)
        for index, mask in enumerate(masks):
            mask[index // 2 :: 2, index % 2 :: 2] = True
        return masks
def build():
    return Quarters()
"""


def photo(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "answer",
    [
        rle.mask_set((2, 4), [rle.encode(LEFT)]),
        LEFT[None],
        LEFT[None].astype(np.uint8) * 255,
        torch.from_numpy(LEFT)[None].float().requires_grad_(),
        [torch.from_numpy(LEFT).bfloat16()],
        [{"segmentation": LEFT}],
        [{"segmentation": torch.from_numpy(LEFT)}],
        [{"segmentation": {"size": [2, 4], "counts": [0, 4, 4]}}],
        [{"segmentation": {"size": [2, 4], "counts": rle.encode(LEFT).decode()}}],
        [{"segmentation": {"size": [2, 4], "counts": rle.encode(LEFT)}}],  # as pycocotools encodes
    ],
)
def test_every_form_of_an_answer(answer: Any) -> None:
    found = adopt_generator(lambda image: answer, "mine:build")(photo(2, 4))
    assert found.rles == (rle.encode(LEFT),)
    assert found.boxes_xywh.tolist() == [[0, 0, 2, 2]]
    assert found.records == ({},)


@pytest.mark.parametrize("answer", [[], (), np.zeros((0, 2, 4), bool), rle.mask_set((2, 4), [])])
def test_no_masks(answer: Any) -> None:
    assert len(adopt_generator(lambda image: answer, "mine:build")(photo(2, 4))) == 0


def test_segment_anythings_own_generator_is_one() -> None:
    """Its records are read with all that they say."""
    plain = SamAutomaticMaskGenerator(blob_sam(), points_per_side=4, pred_iou_thresh=0.1, stability_score_thresh=0.1)
    image = photo(60, 90)
    records = plain.generate(image)
    found = adopt_generator(plain.generate, "mine:build")(image)
    assert len(found) == len(records) > 3
    for index, record in enumerate(records):
        np.testing.assert_array_equal(rle.decode(found.rles[index], (60, 90)), record["segmentation"])
        assert found.source_boxes_xywh[index].tolist() == record["bbox"]
        assert found.points_xy[index].tolist() == record["point_coords"][0]
        assert found.predicted_iou[index] == record["predicted_iou"]
        assert found.stability_score[index] == record["stability_score"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "must answer a MaskSet, .* got None"),
        (LEFT, "must answer a MaskSet"),
        ([[[1, 0], [1]]], "must answer a MaskSet"),
        (np.array([[["a"]]]), "must answer a MaskSet"),
        (np.full((1, 2, 4), np.nan), "must answer a MaskSet"),
        (LEFT.T[None], r"masks of \(4, 2\) \(height, width\) for an image of \(2, 4\); resize them"),
        (rle.mask_set((4, 4), []), r"masks of \(4, 4\)"),
        ([{"segmentation": LEFT.T}], r"masks of \(4, 2\)"),
        ([{"mask": LEFT}], "annotation 0: its segmentation is no mask"),
        ([{"segmentation": LEFT, "predicted_iou": "good"}], "annotation 0: predicted_iou must be 1 number"),
    ],
)
def test_a_wrong_answer_is_named(answer: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        adopt_generator(lambda image: answer, "mine:build")(photo(2, 4))
    assert "mine:build" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sys_exit_is_one_images_failure() -> None:
    def leaves(image: Image) -> Any:
        raise SystemExit(3)

    with pytest.raises(InputError, match=r"mine:build called sys\.exit\(3\) instead of answering"):
        adopt_generator(leaves, "mine:build")(photo(2, 4))


@pytest.mark.parametrize("thing", [3, None, dict])
def test_what_is_no_generator(thing: Any) -> None:
    with pytest.raises(InputError, match=r"mine:build must build an object with `__call__\(image\)`"):
        adopt_generator(thing, "mine:build")


def test_names_come_with_records() -> None:
    records = [{"segmentation": LEFT, "class_name": "dog", "score": 0.5}, {"segmentation": ~LEFT}]
    found = adopt_generator(lambda image: records, "mine:build")(photo(2, 4))
    assert found.source_names == ("dog", None)
    np.testing.assert_equal(found.source_scores, [0.5, np.nan])


def test_a_preset_names_it(tmp_path: Path) -> None:
    """Found by its file, told, stamped by its content, and its masks are named."""
    source = tmp_path / "own.py"
    source.write_text(SOURCE)
    preset = load_preset("mini-ssa", {"masks.model": f"{source}:build"})
    assert foreign_code(preset) == [str(source)]
    assert foreign_code(dataclasses.replace(preset, masks=Masks(source="existing", model=preset.masks.model))) == []
    before = settings_stamp(preset)
    [annotation] = build_pipeline(preset, device="cpu")([Inputs(photo(40, 60))])
    assert annotation.masks.areas_px.tolist() == [600] * 4
    assert None not in annotation.labels
    source.write_text(SOURCE + "# another\n")
    assert settings_stamp(preset).differences(before.values) == ["masks.model"]


def test_what_cannot_be_built() -> None:
    for model, sentence in (
        ("no_such_module:build", "No module named 'no_such_module'"),
        ("json:loads", "it must build a generator of masks when called without arguments"),
    ):
        with pytest.raises(InputError, match=sentence):
            load_mask_generator(Masks(model=model), torch.device("cpu"), torch.float32)
