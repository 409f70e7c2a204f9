"""Class names as people write them, from what models and users state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.cityscapes import NAMES as CITYSCAPES
from fiftyone_ssa.models.class_names import published_names, stuff_ids, users_names
from tests.models.hub_folders import ADE20K, COCO_STUFF


def read(folder: Path) -> list[str]:
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    return [labels[str(index)] for index in range(len(labels))]


@pytest.mark.parametrize("first", [0, 1])
def test_raw_names_become_the_published_lists(first: int, parity: Path) -> None:
    coco, ade20k = (read(parity / "models" / name) for name in ("oneformer-coco", "oneformer-ade20k"))
    raw = [*coco[:80], *COCO_STUFF]
    assert published_names({first + index: name for index, name in enumerate(raw)}) == tuple(coco)
    assert published_names({str(first + index): name for index, name in enumerate(ADE20K)}) == tuple(
        name.strip() for name in ade20k
    )


def test_wordnets_synonyms_become_the_first() -> None:
    raw = {0: "wall", 1: "building, edifice", 2: "bed ", 3: "windowpane, window ", 4: "airplane, aeroplane, plane"}
    assert published_names(raw) == ("wall", "building", "bed", "windowpane", "airplane")


@pytest.mark.parametrize("name", ["oneformer-coco", "oneformer-ade20k", "segformer-ade20k", "segformer-cityscapes"])
def test_readable_names_stay(name: str, parity: Path) -> None:
    names = read(parity / "models" / name)
    assert published_names(dict(enumerate(names))) == tuple(part.strip() for part in names)


@pytest.mark.parametrize(
    "names",
    [
        ("car, truck or bus", "background, other"),  # commas of another list
        ("construction--barrier--curb", "floor-other", "wall-wood", "tv", "plane"),  # not COCO's endings alone
    ],
)
def test_other_lists_stay(names: tuple[str, ...]) -> None:
    assert published_names(dict(enumerate(names))) == names


def test_ids_give_the_order() -> None:
    assert published_names({"10": "c", "2": "b", "1": "a"}) == ("a", "b", "c")


@pytest.mark.parametrize(
    "classes",
    [
        ["sky", "grass"],
        ("sky", "grass"),
        {0: "sky", 1: "grass"},
        {1: "grass", 0: "sky"},
        {"1": "grass", "0": "sky"},
        {np.int64(0): "sky", np.int64(1): np.str_("grass")},
    ],
)
def test_a_users_list_or_mapping_is_read(classes: Any) -> None:
    assert users_names(classes, "mine:build") == ("sky", "grass")


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("sky", "got a str"),
        (b"sky", "got a bytes"),
        ({"sky", "grass"}, "got a set"),
        ((name for name in ("sky", "grass")), "got a generator"),
        (np.array(["sky", "grass"]), "got a ndarray"),
        (iter(["sky"]), "iterator"),
        (2, "got a int"),
        (None, "got a NoneType"),
        ([], "got none"),
        ({}, "got none"),
        ([0, 1], r"got '0' \(int\) among them"),
        (["sky", None], "NoneType"),
        (["sky", " "], r"got ' ' \(str\)"),
        ([("sky",)], "tuple"),
        ({1: "sky", 2: "grass"}, "got the ids 1, 2"),
        ({0: "sky", 2: "grass"}, "got the ids 0, 2"),
        ({"sky": 0, "grass": 1}, "got the ids sky, grass"),
        ({0.0: "sky", 1.5: "grass"}, "got the ids 0.0, 1.5"),
        ({False: "sky", True: "grass"}, "got the ids False, True"),
        ({-1: "sky", 0: "grass"}, "got the ids -1, 0"),
        ({0: 3}, "int"),
        (range(3), "int"),
    ],
)
def test_anything_else_is_refused(classes: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        users_names(classes, "mine:build")
    assert str(caught.value).startswith("mine:build.classes must be a list of names in id order, or a mapping of ids")


def test_stuff_is_what_an_image_has_once() -> None:
    coco = published_names(dict(enumerate([*map(str, range(80)), *COCO_STUFF])))
    assert stuff_ids(("person", *coco[1:])) == frozenset(range(80, 133))
    ade = published_names(dict(enumerate(ADE20K)))
    stuff = [ade[index] for index in sorted(stuff_ids(ade))]
    assert len(stuff) == 50  # and 100 things
    assert {"wall", "sky", "swimming pool", "shower", "road"} <= set(stuff)
    assert not {"bed", "car", "person", "door"} & set(stuff)
    cityscapes = stuff_ids(CITYSCAPES)
    assert [CITYSCAPES[index] for index in sorted(cityscapes)][-1] == "sky"
    assert stuff_ids(("a", "b")) == stuff_ids(()) == stuff_ids(coco) == frozenset()
