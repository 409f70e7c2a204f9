"""Data sets with anything in their files: each image that is broken costs itself only, and a sentence says why."""

import contextlib
import copy
import json
import random

import fiftyone as fo
import pytest

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.formats import reader_of
from fiftyone_ssa.exports.imported import Imported

from .round_trip import add, hard_masks

FILES = {
    "coco": "labels.json",
    "lvis": "labels.json",
    "coco-panoptic": "panoptic.json",
    "semantic-png": "classes.json",
    "ssa-json": "a_semantic.json",
    "sa1b-json": "a.json",
}
ODD = [None, [], {}, [[]], {"a": 1}, "x", "../../x", "a\0b", -1, 1e300, True, 2**70, ["x"], 0.5, float("nan")]
TRIES = 100


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export in each format, two images each."""
    root = tmp_path_factory.mktemp("broken")
    dataset = fo.Dataset()
    for name in "ab":
        add(dataset, root / f"in/{name}.png", hard_masks()[:4])
    for name in FILES:
        ssa.export(dataset, root / name, format=name, label_field="m")
    dataset.delete()
    return root


def places(content, way=()):
    """The way to each value of a JSON."""
    yield way
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, dict | list):
            yield from places(value, (*way, key))
        else:
            yield (*way, key)


@pytest.mark.parametrize("name", FILES)
def test_any_value_anywhere_is_refused_in_a_sentence_or_taken(exported, name):
    file = exported / name / FILES[name]
    whole = file.read_text()
    draw, content = random.Random(name), json.loads(whole)
    ways = [way for way in places(content) if way]
    try:
        for _ in range(TRIES):
            changed = copy.deepcopy(content)
            *way, last = draw.choice(ways)
            inner = changed
            for key in way:
                inner = inner[key]
            if draw.random() < 0.2:
                del inner[last]
            else:
                inner[last] = draw.choice(ODD)
            file.write_text(json.dumps(changed))
            found = Imported(exported / name, name)
            with contextlib.suppress(InputError):
                for image in found:
                    if not image.problem:
                        found.document(found.placed(image))
        for text in ("", "[]", "{", "5", "null", whole[: len(whole) // 2]):
            file.write_text(text)
            with contextlib.suppress(InputError):
                assert all(image.problem or image.path.name == "b.png" for image in reader_of(name)().read(file.parent))
    finally:
        file.write_text(whole)
