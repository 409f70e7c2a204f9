import json
from pathlib import Path

import pytest

from fiftyone_ssa.layouts import ade20k, cityscapes
from fiftyone_ssa.layouts.ontology_names import is_known_stuff, known_synonyms, known_thing, known_things, plain_name
from fiftyone_ssa.models.class_names import published_names

COCO = Path(__file__).parents[1] / "parity/models/oneformer-coco/config.json"


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("The red cars", "car"),
        ("two small dogs", "dog"),
        ("light blue car", "car"),
        ("people", "person"),
        ("buses", "bus"),
        ("glass", "glass"),
        ("glasses", "glasses"),  # are not two of what one drinks from
        ("hot dogs", "hot dog"),
        ("green bean", "green bean"),  # is no bean that is painted
        ("black", "black"),
        ("Traffic_Light", "traffic light"),
        ("light bulb", "light bulb"),
        ("", ""),
    ],
)
def test_number_articles_colours_and_sizes_make_no_difference(said, plain):
    assert plain_name(said) == plain
    assert plain_name(plain) == plain


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("sofa", "couch"),
        ("tv", "television receiver"),
        ("red cars", "automobile"),
        ("pavement", "sidewalk"),
        ("windowpane", "Window"),
        ("skis", "ski"),
    ],
)
def test_synonyms_are_one_thing(name, other):
    assert known_thing(name) == known_thing(other) is not None


@pytest.mark.parametrize(
    ("name", "other"),
    [("hot dog", "dog"), ("stairs", "stairway"), ("house", "building"), ("lamp", "light"), ("glass", "glasses")],
)
def test_what_data_sets_tell_apart_stays_apart(name, other):
    assert None is not known_thing(name) != known_thing(other)


def test_no_data_set_has_two_classes_in_one_line():
    coco = published_names(json.loads(COCO.read_text())["id2label"])
    for names in (ade20k.NAMES, cityscapes.NAMES, tuple(dict.fromkeys(coco))):
        things = [known_thing(name) for name in names]
        assert None not in things
        assert len(set(things)) == len(names)


def test_the_table_holds_each_name_once_and_in_its_plain_spelling():
    assert all(name == name.strip().lower() for name in known_things())
    assert known_synonyms("Couch") == ("sofa", "lounge", "settee")
    assert known_synonyms("no such thing") == ()
    assert is_known_stuff("lawn")
    assert not is_known_stuff("car")
