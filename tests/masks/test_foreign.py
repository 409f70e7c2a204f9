"""Masks and numbers of other people's files: read, or refused in a sentence before C code sees them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import foreign
from fiftyone_ssa.masks.foreign import box, is_number, mask_counts, number_or_nan, numbers
from fiftyone_ssa.masks.records import mask_set_from_records
from fiftyone_ssa.masks.rle import decode, encode

HW = (6, 9)
MASK = np.zeros(HW, bool)
MASK[1:4, 2:7] = True
CODE = encode(MASK).decode()
SQUARE = [2, 1, 7, 1, 7, 4, 2, 4]


def _decoded(segmentation: Any, size_hw: tuple[int, int] = HW) -> np.ndarray:
    counts = mask_counts(segmentation, size_hw)
    return decode(counts.encode() if isinstance(counts, str) else counts, size_hw)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [6, 9], "counts": CODE},
        {"size": [6, 9], "counts": CODE, "more": 1},
        {"size": [6.0, 9], "counts": [13, 3, 3, 3, 3, 3, 3, 3, 3, 3, 14]},
        [SQUARE],
        [[float(value) for value in SQUARE]],
        SQUARE,
        MASK.tolist(),
        MASK.astype(int).tolist(),
        MASK.astype(float).tolist(),
        (MASK * 255).tolist(),
    ],
)
def test_one_mask_in_every_way_it_is_written(segmentation: Any) -> None:
    np.testing.assert_array_equal(_decoded(segmentation), MASK)


def test_arrays_as_narrow_as_polygons_are_arrays() -> None:
    np.testing.assert_array_equal(_decoded([[0, 1, 1, 0, 1, 0]], (1, 6)), [[0, 1, 1, 0, 1, 0]])
    np.testing.assert_array_equal(_decoded([0, 1, 1, 0, 1, 0], (1, 6)), [[0, 1, 1, 0, 1, 0]])
    np.testing.assert_array_equal(_decoded([[0], [1]], (2, 1)), [[0], [1]])
    assert not _decoded([[0] * 9] * 6).any()


def test_a_polygon_may_be_a_dot_or_reach_over_the_edge() -> None:
    assert _decoded([[0, 0, 1, 0, 1, 1, 0, 1]]).sum() == 1
    assert _decoded([[-5, -5, 18, -5, 18, 11, -5, 11]]).all()
    assert _decoded([SQUARE, [0, 0, 2, 0, 2, 2, 0, 2]]).sum() == 15 + 4 - 0


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        (None, "is no mask: expected an RLE .* got None"),
        ([], r"got \[\]"),
        ("", "got ''"),
        (CODE, "is no mask"),
        ({}, r"got the keys \[\]"),
        ({"size": [6, 9]}, r"got the keys \['size'\]"),
        ({"size": [9, 6], "counts": CODE}, r"of size \[9, 6\] but the image is \[6, 9\]"),
        ({"size": "6x9", "counts": CODE}, "of size '6x9'"),
        ({"size": [True, 9], "counts": CODE}, "of size"),
        ({"size": [6, 9, 1], "counts": CODE}, "of size"),
        ({"size": None, "counts": CODE}, "of size None"),
        ({"size": [10**400, 9], "counts": CODE}, "of size"),
        ({"size": [6, 9], "counts": None}, "counts must be"),
        ({"size": [6, 9], "counts": [-1, 55]}, "counts must be"),
        ({"size": [6, 9], "counts": [55]}, "counts must be"),
        ({"size": [6, 9], "counts": [27.0, 27]}, "counts must be"),
        ({"size": [6, 9], "counts": [True, 53]}, "counts must be"),
        ({"size": [6, 9], "counts": [10**30]}, "counts must be"),
        ({"size": [6, 9], "counts": {"0": 54}}, "counts must be"),
        ([[1, 2]], "at least three points"),
        ([[1, 2, 3, 4, 5]], "at least three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least three points"),
        ([[]], "at least three points"),
        ([[2, 1], [7, 1], [7, 4]], "at least three points"),
        ([[1, 2, 3, 4, 5, math.nan]], "finite numbers"),
        ([[1, 2, 3, 4, 5, "6"]], "finite numbers"),
        ([[1, 2, 3, 4, 5, None]], "finite numbers"),
        ([[2, 3, 4, 5, 6, True]], "finite numbers"),
        ([[1, 2, 3, 4, 5, math.inf]], "far outside"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "far outside the image of 9x6"),
        ([[0, 0, 1e308, 0, 1, 1]], "far outside"),
        ([[0, 0, 10**400, 0, 1, 1]], "finite numbers"),
        ([[0, 0, -1000, 0, 5, 5]], "far outside"),
        ([[[2, 1], [7, 1], [7, 4]]], "is no mask"),
        ([{"x": 1}], "is no mask"),
        ([SQUARE, 1], "is no mask"),
        ([1, SQUARE], "finite numbers|is no mask"),
        ([[0, 1] * 3] * 4, "its mask has 4 rows, the first of 6 numbers; .* 6 rows of 9"),
        ([[0] * 54], "6 rows of 9"),
        ([0, 1] * 27, "6 rows of 9"),
        ([[0, 1, 2] * 3] * 6, "6 rows of 9"),
        ([[0.5] * 9] * 6, "6 rows of 9"),
        (np.full((9, 6), 1).tolist(), "6 rows of 9"),
    ],
)
def test_anything_else_is_one_sentence(segmentation: Any, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        mask_counts(segmentation, HW)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_polygons_that_would_take_the_memory_are_refused() -> None:
    zigzag = [value for i in range(4000) for value in (0 if i % 2 else 2000, i / 4)]
    with pytest.raises(InputError, match=r"its polygons are 8,\d+,\d+ pixels long, at most 2,000,000"):
        mask_counts([zigzag], (2000, 2000))
    with pytest.raises(InputError, match="10,001 polygons, at most 10,000"):
        mask_counts([SQUARE] * 10_001, HW)
    assert _decoded([SQUARE] * 10_000).sum() == 15


def test_numbers() -> None:
    assert numbers(0.5, 1, "score") == [0.5]
    assert numbers([1, np.float32(2)], 2, "point") == [1.0, 2.0]
    assert math.isnan(numbers([math.nan], 1, "score")[0])
    for value in (
        "1",
        None,
        True,
        [],
        [1, 2, 3],
        [[1], 2],
        {"a": 1},
        [1, "2"],
        [1, math.inf],
        [1e308, 0],
        [10**400, 0],
    ):
        with pytest.raises(InputError, match=r"point must be 2 number\(s\) up to 1e\+09, got"):
            numbers(value, 2, "point")


def test_a_box_has_no_negative_side() -> None:
    assert box([-1, 2, 0, 4], "bbox") == [-1.0, 2.0, 0.0, 4.0]
    for value in ([0, 0, -1, 1], [0, 0, 1, -1], [math.nan, 0, 1, 1]):
        with pytest.raises(InputError, match=r"bbox must be \[x, y, width, height\]"):
            box(value, "bbox")


def test_a_value_in_a_sentence_is_short() -> None:
    assert len(foreign.short([["x" * 1000] * 1000] * 1000)) <= 100
    assert len(foreign.short({str(i): "y" * 99 for i in range(1000)})) <= 100


def test_a_number_that_no_float_holds_is_none() -> None:
    assert [number_or_nan(value) for value in (3, 0.5)] == [3.0, 0.5]
    none = (None, "3", True, float("nan"), float("inf"), 10**309, [1])
    assert all(math.isnan(number_or_nan(value)) for value in none)
    assert [is_number(value) for value in (10**307, -(10**300), 10**309, -(10**309))] == [True, True, False, False]
    record = {"segmentation": {"size": [1, 2], "counts": [0, 2]}, "label": "x", "score": 10**400, "confidence": 0.5}
    assert mask_set_from_records([record], (1, 2), with_names=True).source_scores.tolist() == [0.5]
