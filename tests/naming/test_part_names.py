"""Which names are of parts, and what that tells of masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fiftyone_ssa.masks.containment import Containment
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.naming.part_names import is_only_part, is_only_whole, is_usual_part, nested


def box(y0: int, x0: int, y1: int, x1: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((60, 60), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def nest(columns: dict[str, list[float]] = {}, /, **masks: npt.NDArray[np.bool_]) -> Containment:  # noqa: B006
    names = [name.rstrip("_").replace("_", " ") for name in masks]
    return nested(mask_set((60, 60), [encode(mask) for mask in masks.values()], **columns), names)


def test_what_is_known_of_names() -> None:
    assert is_usual_part("envelope", "balloon")
    assert is_usual_part("Wheel", "sports car")
    assert not is_usual_part("car", "car")
    assert not is_usual_part("balloon", "envelope")
    assert [name for name in ("hub", "wall", "lamp", "car", "roof", "of no table") if is_only_part(name)] == [
        "hub",
        "roof",
    ]
    assert [name for name in ("hub", "lamp", "head", "sports car", "gizmo") if is_only_whole(name)] == ["sports car"]
    assert is_usual_part("hub", "wheel")
    assert is_usual_part("hair", "head")


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


def test_a_thing_that_a_wavering_mask_swallowed_stands_alone() -> None:
    masks = {"table": box(0, 0, 40, 50), "cup": box(10, 10, 25, 20), "handle": box(12, 18, 16, 20)}
    swallowed = nest({"stability_score": [0.5, 0.9, 0.9]}, **masks)
    assert [swallowed.level(i) for i in range(3)] == ["whole", "whole", "part"]
    exact = nest(**masks)
    assert [exact.level(i) for i in range(3)] == ["whole", "part", "subpart"]
    steady = {"stability_score": [0.95, 0.9, 0.9]}  # it has a part of its own, or none that is seen
    assert [nest(steady, **masks).level(i) for i in range(3)] == ["whole", "whole", "part"]
    whole = {"table": masks["table"], "cup": masks["cup"]}
    assert nest({"stability_score": [0.95, 0.9]}, **whole).level(1) == "part"
    chairs = nest({"stability_score": [0.5, 0.9]}, chair=masks["table"], chair_=masks["cup"])
    assert chairs.parents.tolist() == [-1, 0]


def test_a_thing_stands_where_it_stands_though_a_wavering_mask_of_the_same_is_called_as_something_else() -> None:
    masks = {"wall": box(0, 0, 60, 60), "window": box(0, 0, 40, 35), "robot": box(0, 0, 38, 32)}
    assert nest({"stability_score": [0.5, 0.6, 0.9]}, **masks).told("abc") == [
        {"level": "whole"},
        {"level": "part", "parent": "a"},
        {"level": "whole"},
    ]
    assert nest({"stability_score": [0.5, 0.6, 0.5]}, **masks).level(2) == "part"


def test_a_part_of_a_piece_that_is_called_as_all_of_it_is_one_deep() -> None:
    masks = {"bus": box(0, 0, 40, 50), "bus_": box(5, 5, 25, 20), "window": box(10, 10, 15, 15)}
    found = nest(**masks)
    assert found.parents.tolist() == [-1, 0, 1]
    assert [found.level(i) for i in range(3)] == ["whole", "part", "part"]
    twice = nest(house=box(0, 0, 50, 50), window=box(5, 5, 30, 30), window_=box(10, 10, 20, 20))
    assert twice.parents.tolist() == [-1, 0, 0]


def test_the_rest_of_an_exact_whole_is_a_part_though_it_has_the_name_of_the_whole() -> None:
    masks = {"tree": box(0, 0, 40, 40), "tree_": box(0, 0, 34, 40), "trunk": box(34, 15, 40, 25)}
    found = nest(**masks)
    assert (found.level(1), found.parents.tolist(), found.duplicates.tolist()) == ("part", [-1, 0, 0], [-1, -1, -1])
    wavering = nest({"stability_score": [0.9, 0.9, 0.9]}, **masks)  # the trunk is little of what the crown lacks
    assert (wavering.level(1), wavering.duplicates.tolist()) == ("whole", [-1, 0, -1])
    masks["tree"] = masks["tree_"] | masks["trunk"]
    stable = nest({"stability_score": [0.9, 0.9, 0.5]}, **masks)
    assert (stable.level(1), stable.parents.tolist(), stable.duplicates.tolist()) == ("part", [-1, 0, 0], [-1, -1, -1])
    wavering = nest({"stability_score": [0.9, 0.89, 0.9]}, **masks)
    assert (wavering.level(1), wavering.duplicates.tolist()) == ("whole", [-1, 0, -1])


def test_what_lies_between_and_is_neither_is_passed_over() -> None:
    masks = {"house": box(0, 0, 50, 50), "tail": box(5, 5, 30, 30), "window": box(10, 10, 20, 20)}
    assert nest(**masks).parents.tolist() == [-1, 0, 0]
    roof = {"house": masks["house"], "roof": masks["tail"], "window": masks["window"]}
    assert nest(**roof).parents.tolist() == [-1, 0, 1]
    wavering = nest({"stability_score": [0.9, 0.8, 0.8]}, **roof)  # the roof leaked over the window
    assert (wavering.parents.tolist(), wavering.level(2)) == ([-1, 0, 0], "part")
    pane = {"house": masks["house"], "window": masks["tail"], "pane": masks["window"]}
    assert nest({"stability_score": [0.9, 0.8, 0.8]}, **pane).parents.tolist() == [-1, 0, 1]
