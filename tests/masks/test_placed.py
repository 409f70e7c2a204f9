"""Masks placed in their image, all together, against each encoded alone and against pycocotools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pycocotools import mask as coco

from fiftyone_ssa.masks.placed import Placed, codes_of, runs_of_crops
from fiftyone_ssa.masks.rle import encode_crop
from fiftyone_ssa.masks.runs import read_runs


def _crops(size_hw: tuple[int, int], seed: int) -> Iterator[Placed]:
    """Crops of every kind: empty, full, specks, of one pixel, and as high or as wide as the image."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    for _ in range(40):
        h, w = rng.integers(1, height + 1), rng.integers(1, width + 1)
        h, w = (height if rng.random() < 0.3 else h), (width if rng.random() < 0.3 else w)
        corner = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        yield rng.random((h, w)) < rng.choice([0.0, 0.02, 0.5, 0.98, 1.0]), corner


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 30), (30, 1), (7, 5), (40, 61)])
def test_all_together_are_what_each_is_alone(size_hw: tuple[int, int]) -> None:
    crops = list(_crops(size_hw, seed=sum(size_hw)))
    found = runs_of_crops(iter(crops), size_hw)
    codes = codes_of(found, size_hw[0] * size_hw[1])
    assert codes == tuple(encode_crop(crop, corner, size_hw) for crop, corner in crops)
    plain = read_runs(codes, size_hw)
    for name in ("starts", "ends", "bounds"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    for code, (crop, (x, y)) in zip(codes, crops, strict=True):
        dense = np.zeros(size_hw, np.uint8, order="F")
        dense[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        assert code == coco.encode(dense)["counts"]


def test_parts_of_larger_arrays_and_no_masks() -> None:
    part = np.arange(48).reshape(6, 8)[1:5, 2:6] % 3 == 0  # its rows do not follow each other in memory
    found = runs_of_crops([(part, (3, 2)), (part[:, ::2], (0, 0))], (10, 12))
    assert codes_of(found, 120) == tuple(
        encode_crop(crop, corner, (10, 12)) for crop, corner in [(part, (3, 2)), (part[:, ::2], (0, 0))]
    )
    nothing = runs_of_crops([], (10, 12))
    assert (len(nothing), codes_of(nothing, 120)) == (0, ())


def test_bytes_above_one_are_set_pixels() -> None:
    odd = np.frombuffer(bytes([0, 2, 255, 1, 1, 0]), np.bool_).reshape(3, 2)
    found = runs_of_crops([(odd, (0, 0))], (3, 2))
    assert codes_of(found, 6) == (encode_crop(np.array([[0, 1], [1, 1], [1, 0]], bool), (0, 0), (3, 2)),)


def test_more_columns_in_all_than_sixteen_bits_count() -> None:
    rng = np.random.default_rng(4)
    crops = [(rng.random((3, 30_000)) < share, (x, 0)) for x, share in ((0, 0.5), (9, 0.02), (10_000, 0.98))]
    found = runs_of_crops(crops, (3, 40_000))
    assert codes_of(found, 120_000) == tuple(encode_crop(crop, corner, (3, 40_000)) for crop, corner in crops)
