"""Which names are of parts, and what that tells of masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fiftyone_ssa.masks.containment import Containment
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.naming.part_names import is_only_part, is_usual_part, nested


def box(y0: int, x0: int, y1: int, x1: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((60, 60), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def nest(**masks: npt.NDArray[np.bool_]) -> Containment:
    return nested(mask_set((60, 60), [encode(mask) for mask in masks.values()]), list(masks))


def test_what_is_known_of_names() -> None:
    assert is_usual_part("envelope", "balloon")
    assert is_usual_part("Wheel", "sports car")
    assert not is_usual_part("car", "car")
    assert not is_usual_part("balloon", "envelope")
    assert [name for name in ("hub", "wall", "lamp", "car", "of no table") if is_only_part(name)] == ["hub"]


@pytest.mark.parametrize("depth", [36, 39])
def test_a_usual_part_is_one_however_much_of_the_whole_it_is(depth: int) -> None:
    found = nest(balloon=box(0, 0, 40, 40), envelope=box(0, 0, depth, 40))
    assert [found.level(i) for i in (0, 1)] == ["whole", "part"]
    assert found.parents.tolist() == [-1, 0]
    assert found.duplicates.tolist() == [-1, -1]


def test_a_part_that_its_whole_holds_by_half_lies_in_it() -> None:
    masks = {"truck": box(0, 0, 40, 50), "wheel": box(34, 10, 46, 22)}
    assert nest(**masks).parents.tolist() == [-1, 0]
    assert nest(truck=masks["truck"], tree=masks["wheel"]).parents.tolist() == [-1, -1]


def test_what_only_parts_are_called_is_a_part_without_its_whole() -> None:
    found = nest(wheel=box(0, 0, 20, 20), hub=box(8, 8, 12, 12), lamp=box(30, 30, 50, 50))
    assert [found.level(i) for i in range(3)] == ["part", "subpart", "whole"]
    assert found.parents.tolist() == [-1, 0, -1]


def test_what_lies_between_and_is_neither_is_passed_over() -> None:
    masks = {"house": box(0, 0, 50, 50), "tail": box(5, 5, 30, 30), "window": box(10, 10, 20, 20)}
    assert nest(**masks).parents.tolist() == [-1, 0, 0]
    roof = {"house": masks["house"], "roof": masks["tail"], "window": masks["window"]}
    assert nest(**roof).parents.tolist() == [-1, 0, 1]
