"""How masks lie in each other, beside dense masks."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_ssa.masks.overlaps import intersections, parents, twins
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.types import MaskSet


def masks_of(dense: list[np.ndarray]) -> MaskSet:
    return mask_set(dense[0].shape, [encode(mask) for mask in dense])


@pytest.mark.parametrize("seed", range(4))
def test_shared_pixels_are_those_of_dense_masks(seed: int) -> None:
    random = np.random.default_rng(seed)
    dense = [random.random((31, 23)) < share for share in (0.02, 0.5, 0.98, 0.3, 0.7)]
    dense += [np.zeros((31, 23), bool), np.ones((31, 23), bool)]
    flat = np.stack([mask.ravel() for mask in dense]).astype(np.int64)
    assert np.array_equal(intersections(masks_of(dense)), flat @ flat.T)


def test_no_masks_and_empty_ones() -> None:
    assert intersections(MaskSet.empty((4, 5))).shape == (0, 0)
    assert parents(np.zeros((0, 0), np.int64)).shape == (0,)
    empty = intersections(masks_of([np.zeros((4, 5), bool), np.ones((4, 5), bool)]))
    assert empty.tolist() == [[0, 0], [0, 20]]
    assert parents(empty).tolist() == [-1, -1]


def test_a_part_belongs_to_the_smallest_mask_around_it() -> None:
    whole, part, inner, twin = (np.zeros((40, 40), bool) for _ in range(4))
    whole[:, :], part[5:25, 5:25], inner[10:14, 10:14], twin[5:25, 5:24] = True, True, True, True
    shared = intersections(masks_of([whole, part, inner, twin]))
    assert parents(shared).tolist() == [-1, 0, 3, 0]  # the twin is smaller than the part
    assert np.argwhere(twins(shared)).tolist() == [[1, 3], [3, 1]]
