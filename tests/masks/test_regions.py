"""Small regions on runs, beside segment_anything's on pixels (OpenCV)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from segment_anything.utils.amg import remove_small_regions as plain

from fiftyone_ssa.masks.regions import merged, remove_small_regions
from fiftyone_ssa.masks.runs import Runs
from fiftyone_ssa.types import Ints


def column_runs(mask: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    framed = np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8)
    columns, begins = np.nonzero(np.diff(framed, axis=1) == 1)
    _, ends = np.nonzero(np.diff(framed, axis=1) == -1)
    return columns * len(mask) + begins, columns * len(mask) + ends


def dense_of(starts: Ints, ends: Ints, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    flat = np.zeros(size_hw[0] * size_hw[1], np.bool_)
    for start, end in zip(starts, ends, strict=True):
        flat[start:end] = True
    return flat.reshape(size_hw[::-1]).T


def clean(mask: npt.NDArray[np.bool_], min_area: int) -> tuple[Ints, Ints, bool]:
    starts, ends = column_runs(mask)
    alone = Runs(starts, ends, np.array([0, len(starts)]))
    cleaned, changed = remove_small_regions(alone, (mask.shape[0], mask.shape[1]), min_area)
    assert cleaned.bounds.tolist() == [0, len(cleaned.starts)]
    return cleaned.starts, cleaned.ends, bool(changed[0])


def check(mask: npt.NDArray[np.bool_], min_area: int) -> None:
    expected, holes = plain(mask, min_area, "holes")
    expected, islands = plain(expected, min_area, "islands")
    starts, ends, changed = clean(mask, min_area)
    np.testing.assert_array_equal(dense_of(starts, ends, (mask.shape[0], mask.shape[1])), expected)
    assert changed == (holes or islands)
    assert np.all(starts // mask.shape[0] == (ends - 1) // mask.shape[0]), "a run leaves its column"
    assert np.all(starts[1:] > ends[:-1] - (starts[1:] % mask.shape[0] == 0)), "two runs of a column touch"


@pytest.mark.parametrize("density", [0.1, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("min_area", [2, 5, 40])
def test_noise_is_cleaned_as_segment_anything_cleans_it(density: float, min_area: int) -> None:
    rng = np.random.default_rng(int(density * 10) + min_area)
    for size_hw in [(17, 23), (1, 30), (30, 1), (40, 40)]:
        check(rng.random(size_hw) < density, min_area)


def test_smooth_shapes_are_cleaned_as_segment_anything_cleans_them() -> None:
    y, x = np.mgrid[:90, :120]
    for seed in range(5):
        phase = np.random.default_rng(seed).random(4) * 6
        wave = np.sin(x / 7 + phase[0]) + np.sin(y / 5 + phase[1]) + np.sin((x + y) / 9 + phase[2])
        check(wave > 0.5, 60)


@pytest.mark.parametrize("min_area", [2, 30, 400, 5000])
def test_all_masks_at_once_are_cleaned_as_each_alone(min_area: int) -> None:
    """Noise, corners, edges, single columns, full images: side by side no mask meets the next one."""
    rng, size_hw = np.random.default_rng(min_area), (31, 57)
    dense = [rng.random(size_hw) < density for density in (0.02, 0.3, 0.7, 0.98)]
    for x0, x1 in ((0, 3), (3, 20), (54, 57), (20, 56), (0, 57), (56, 57), (1, 2)):
        part = np.zeros(size_hw, np.bool_)
        part[rng.integers(0, 15) : rng.integers(16, 32), x0:x1] = True
        dense.append(part)
        dense.append(part & (rng.random(size_hw) < 0.8))
    dense.append(np.ones(size_hw, np.bool_))
    dense = [mask for mask in dense if mask.any()]
    every = [column_runs(mask) for mask in dense]
    together = Runs(
        np.concatenate([starts for starts, _ in every]),
        np.concatenate([ends for _, ends in every]),
        np.cumsum([0, *(len(starts) for starts, _ in every)]),
    )
    cleaned, changed = remove_small_regions(together, size_hw, min_area)
    assert len(cleaned) == len(dense) == len(changed)
    for index, mask in enumerate(dense):
        starts, ends, was_changed = clean(mask, min_area)
        np.testing.assert_array_equal(cleaned[index][0], starts)
        np.testing.assert_array_equal(cleaned[index][1], ends)
        assert changed[index] == was_changed
        expected, holes = plain(mask, min_area, "holes")
        expected, islands = plain(expected, min_area, "islands")
        assert was_changed == (holes or islands)
        assert (ends - starts).sum() == expected.sum()
        if min_area <= 30:  # of equal islands, all too small, OpenCV keeps the first by rows
            np.testing.assert_array_equal(dense_of(starts, ends, size_hw), expected)


def test_holes_are_filled_before_islands_go() -> None:
    ring = np.zeros((7, 9), np.bool_)
    ring[1:6, 1:6] = True
    ring[3, 3] = False
    ring[0, 8] = True
    starts, ends, changed = clean(ring, 3)
    assert changed
    assert dense_of(starts, ends, (7, 9)).sum() == 25


def test_where_all_islands_are_small_the_largest_stays() -> None:
    mask = np.zeros((6, 6), np.bool_)
    mask[0, 0] = mask[4, 3:5] = True
    starts, ends, changed = clean(mask, 10)
    assert changed
    assert dense_of(starts, ends, (6, 6))[4, 3:5].all()
    assert int((ends - starts).sum()) == 2


def test_a_full_mask_has_no_regions_to_remove() -> None:
    starts, ends, changed = clean(np.ones((5, 4), np.bool_), 1000)
    assert (int((ends - starts).sum()), changed) == (20, True)  # smaller than asked, but the largest there is


def test_merged_joins_runs_across_columns() -> None:
    starts, ends = merged(np.array([2, 4, 9]), np.array([4, 8, 10]))
    assert (starts.tolist(), ends.tolist()) == ([2, 9], [8, 10])
    assert merged(np.zeros(0, np.int64), np.zeros(0, np.int64))[0].tolist() == []
