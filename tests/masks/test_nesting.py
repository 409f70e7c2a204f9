"""Which mask lies in which, against a plain search."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_ssa.masks import nesting
from fiftyone_ssa.masks.nesting import parents
from fiftyone_ssa.masks.rle import encode, mask_set


@pytest.mark.parametrize("rows", [3, 256])
def test_parents_are_the_smallest_larger_masks_that_hold_them(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nesting, "ROWS", rows)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :50]
    dense = [np.ones((40, 50), bool), np.zeros((40, 50), bool)]
    for _ in range(25):
        top, left, high, wide = *rng.integers(0, 35, 2), *rng.integers(1, 30, 2)
        dense.append((y >= top) & (y < top + high) & (x >= left) & (x < left + wide))
    dense += dense[2:5]  # of equals the first is the larger
    masks = mask_set((40, 50), list(map(encode, dense)))
    order = [index for index in masks.order_by_area() if dense[index].any()]
    expected = np.full(len(dense), -1)
    for rank, index in enumerate(order):
        for larger in order[:rank]:
            if (dense[larger] & dense[index]).sum() >= 0.8 * dense[index].sum():
                expected[index] = larger
    assert parents(masks).tolist() == expected.tolist()
    assert len(set(expected.tolist())) > 5
    assert parents(masks[[]]).tolist() == []
