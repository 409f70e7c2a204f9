"""Masks as run-length codes, against pycocotools and against dense arrays."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.rle import (
    class_map,
    class_rles,
    class_runs,
    counts_from_runs,
    decode,
    decode_crop,
    dense_crop,
    encode,
    intervals,
    mask_set,
    runs,
    scaled_crop_xyxy,
    tight_crops,
)
from fiftyone_ssa.masks.runs import Runs, runs_of


def _random_masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    masks = []
    for height, width in [(1, 1), (1, 40), (40, 1), (3, 5), (64, 48), (300, 451)]:
        for share in (0.02, 0.5, 0.98):
            masks.append(rng.random((height, width)) < share)
        blob = np.zeros((height, width), bool)
        blob[height // 3 : max(height // 3 + 1, 2 * height // 3), width // 4 : max(width // 4 + 1, width // 2)] = True
        masks += [blob, ~blob, np.zeros((height, width), bool), np.ones((height, width), bool)]
    return masks


@pytest.mark.parametrize("mask", _random_masks(), ids=lambda mask: f"{mask.shape}-{mask.sum()}")
def test_codes_are_those_of_pycocotools(mask: np.ndarray) -> None:
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert encode(mask) == theirs
    np.testing.assert_array_equal(decode(theirs, mask.shape), mask)
    lengths = runs(theirs, mask.shape)
    assert counts_from_runs(lengths) == theirs
    found = mask_set(mask.shape, [theirs])
    assert found.areas_px.tolist() == [mask.sum()]
    ys, xs = np.nonzero(mask)
    box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1] if len(xs) else [0, 0, 0, 0]
    assert found.boxes_xywh.tolist() == [box]


def test_long_runs_of_a_large_image() -> None:
    size = (6000, 4001)
    lengths = np.array([5, 12_000_000, 1, size[0] * size[1] - 12_000_006])
    code = counts_from_runs(lengths)
    np.testing.assert_array_equal(runs(code, size), lengths)
    assert coco.area({"size": list(size), "counts": code}) == 12_000_000 + size[0] * size[1] - 12_000_006


def test_crops_equal_slices_of_the_dense_mask() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        height, width = rng.integers(1, 60, 2)
        mask = rng.random((height, width)) < rng.random()
        x0, y0 = int(rng.integers(0, width)), int(rng.integers(0, height))
        x1, y1 = int(rng.integers(x0 + 1, width + 1)), int(rng.integers(y0 + 1, height + 1))
        crop = decode_crop(encode(mask), (height, width), (x0, y0, x1, y1))
        np.testing.assert_array_equal(crop, mask[y0:y1, x0:x1])
        assert crop.flags.c_contiguous


def test_runs_that_touch_and_cross_columns_are_filled() -> None:
    starts, ends = np.array([1, 3, 8]), np.array([3, 8, 9])  # of one mask, in three columns of four
    dense = np.zeros(12, bool)
    dense[1:9] = True
    np.testing.assert_array_equal(dense_crop(starts, ends, 4, (0, 0, 3, 4)), dense.reshape(3, 4).T)
    np.testing.assert_array_equal(dense_crop(starts, ends, 4, (1, 1, 3, 3)), dense.reshape(3, 4).T[1:3, 1:])


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 30), (30, 1), (17, 23), (90, 131)])
def test_all_masks_cut_at_once_are_as_each_cut_alone(size_hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(size_hw[0])
    dense = [rng.random(size_hw) < share for share in (0, 0.02, 0.5, 0.98, 1)]
    dense.append(np.zeros(size_hw, np.bool_))
    dense[-1][size_hw[0] // 3 :, size_hw[1] // 2 :] = True
    found = mask_set(size_hw, [encode(mask) for mask in dense])
    boxes = np.where(found.areas_px[:, None] > 0, found.boxes_xywh, (0, 0, 1, 1))
    crops = list(tight_crops(runs_of(found), boxes, size_hw[0]))
    assert len(crops) == len(dense)
    for mask, crop, (x, y, w, h) in zip(dense, crops, boxes, strict=True):
        assert crop.flags.c_contiguous
        np.testing.assert_array_equal(crop, mask[y : y + h, x : x + w])
    touching = Runs(np.array([1, 3, 5]), np.array([3, 5, 12]), np.array([0, 3]))  # as foreign codes have them
    np.testing.assert_array_equal(
        next(tight_crops(touching, np.array([[0, 0, 3, 4]]), 4)), dense_crop(*touching[0], 4, (0, 0, 3, 4))
    )
    assert list(tight_crops(Runs(*np.zeros((2, 0), np.int64), np.zeros(1, np.int64)), np.zeros((0, 4), int), 4)) == []


def test_intervals_leave_empty_runs_out() -> None:
    starts, ends = intervals(np.array([0, 3, 2, 0, 1, 4]))
    assert (starts.tolist(), ends.tolist()) == ([0, 6], [3, 10])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (b"d1", "hold 52 pixels but the image is 5x4 .* 20 pixels; the mask file is not of this image"),
        (b"", "hold 0 pixels"),
        (b" ", "damaged"),
        (b"\xc3\xa9", "damaged"),
        (b"d", "damaged"),
        (b"oooooooooo1", "longer than any image"),
        (b"E?", "pixels"),
    ],
)
def test_a_damaged_code_is_one_sentence(code: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        runs(code, (4, 5))


def test_no_random_bytes_crash() -> None:
    rng = np.random.default_rng(2)
    for _ in range(3000):
        code = rng.integers(40, 120, rng.integers(0, 12)).astype(np.uint8).tobytes()
        try:
            assert runs(code, (4, 5)).sum() == 20
        except InputError:
            continue


def test_encode_wants_a_bool_image() -> None:
    with pytest.raises(InputError, match=r"\(H, W\) bool, got \(2, 2\) uint8"):
        encode(np.zeros((2, 2), np.uint8))


def test_a_mask_set_computes_boxes_and_areas() -> None:
    square = np.zeros((4, 5), bool)
    square[1:3, 2:5] = True
    masks = mask_set((4, 5), [encode(square).decode(), encode(~square), encode(np.zeros((4, 5), bool))])
    assert masks.boxes_xywh.tolist() == [[2, 1, 3, 2], [0, 0, 5, 4], [0, 0, 0, 0]]
    assert masks.areas_px.tolist() == [6, 14, 0]
    assert masks.source_boxes_xywh.tolist() == [[2, 1, 2, 1], [0, 0, 4, 3], [0, 0, 0, 0]]
    assert masks.source_ids == (None,) * 3
    assert np.isnan(masks.predicted_iou).all()
    assert len(mask_set((4, 5), [])) == 0


@pytest.mark.parametrize(
    ("box_xywh", "scale", "expected"),
    [
        ((10, 20, 30, 40), 1.0, (10, 20, 41, 61)),
        ((10, 20, 30, 40), 1.6, (0, 7, 50, 73)),  # 10 - 9.3 = 0.7 -> 0, 20 - 12.3 = 7.7 -> 7, 40 + 9.3, 60 + 12.3
        ((0, 0, 99, 99), 1.2, (0, 0, 100, 100)),
        ((95, 95, 4, 4), 1.6, (93, 93, 100, 100)),
        ((5, 5, 0, 0), 1.2, (4, 4, 6, 6)),  # one pixel: 5 - 0.1 = 4.9 -> 4, 5 + 0.1 = 5.1 -> 5
        ((500, 500, 10, 10), 1.2, (99, 99, 100, 100)),
    ],
)
def test_scaled_crops(box_xywh: tuple[float, ...], scale: float, expected: tuple[int, ...]) -> None:
    assert scaled_crop_xyxy(np.array(box_xywh, float), scale, (100, 100)) == expected


def test_a_class_map_as_codes_and_back() -> None:
    rng = np.random.default_rng(3)
    ids = rng.choice(np.array([0, 3, 7, 255], np.uint8), (37, 41))
    codes = dict(class_rles(ids, 255))
    assert list(codes) == [0, 3, 7]
    for class_id, code in codes.items():
        np.testing.assert_array_equal(coco.decode({"size": [37, 41], "counts": code}), ids == class_id)
    np.testing.assert_array_equal(class_map(list(codes.items()), (37, 41), 255), ids)
    assert list(class_rles(np.full((2, 2), 255, np.uint8), 255)) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64])
@pytest.mark.parametrize(
    ("size_hw", "columns"), [((1, 1), 512), ((1, 9), 2), ((9, 1), 1), ((37, 53), 512), ((37, 53), 4)]
)
def test_runs_of_a_class_map_are_as_a_loop_finds_them(
    dtype: type, size_hw: tuple[int, int], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rle, "COLUMNS_AT_A_TIME", columns)
    ids = np.random.default_rng(0).integers(0, 3, size_hw).astype(dtype)
    for given in (ids, ids[::-1, ::-1], np.asfortranarray(ids)):
        flat = [int(given[row, column]) for column in range(size_hw[1]) for row in range(size_hw[0])]
        starts = [i for i in range(len(flat)) if i == 0 or flat[i] != flat[i - 1]]
        found = class_runs(given)
        assert found[0].tolist() == starts
        assert found[1].tolist() == [*starts[1:], len(flat)]
        assert found[2].tolist() == [flat[i] for i in starts]
        assert found[2].dtype == dtype
