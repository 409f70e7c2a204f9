from dataclasses import replace

import pytest

from fiftyone_ssa import Ontology
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.ontology import OntologyClass

STREET = """
others = "other"

[[classes]]
name = "car"
synonyms = ["sedan", "automobile"]
prompts = ["a parked car"]
segmenter_classes = ["van"]
parent = "vehicle"

[[classes]]
name = "sky"
id = 1
colour = "#0000FF"

[[classes]]
name = "Bus"
parent = "vehicle"
is_thing = false
"""


@pytest.fixture
def street(tmp_path):
    (tmp_path / "street.toml").write_text(STREET)
    return Ontology.load(tmp_path / "street.toml")


def test_names_that_mean_no_class_become_classes(street):
    more = street.with_names(["red cars", "tree", "Tree", "BUS", "other"])
    assert more.names == ("car", "sky", "Bus", "tree", "other")
    assert [entry.id for entry in more.classes] == [2, 1, 3, 4, 5]
    assert street.with_names(["sedan"]) is street


def test_what_a_file_leaves_out_is_filled_in(street):
    car, sky, bus = street.classes
    assert (street.name, street.others, street.names) == ("street", "other", ("car", "sky", "Bus", "other"))
    assert (car.id, sky.id, bus.id) == (2, 1, 3)
    assert (car.is_thing, sky.is_thing, bus.is_thing) == (True, False, False)
    assert sky.colour == "#0000ff"
    assert len({entry.colour for entry in street.classes}) == 3
    assert street.prompts == ("a parked car", "sky", "Bus")


@pytest.mark.parametrize("name", ["car", "Car", "sedan", "the red sedans", "van", "a parked car", "AUTOMOBILE"])
def test_what_means_a_class(street, name):
    assert street.class_of(name).name == "car"


def test_what_means_none(street):
    assert street.class_of("tree") is street.class_of("") is street.class_of("vehicle") is None


def test_a_form_that_two_classes_share_is_neithers():
    both = Ontology((OntologyClass("red car", 1), OntologyClass("blue car", 2)))
    assert both.class_of("Red Car").id == 1
    assert both.class_of("green car") is None


def test_it_is_saved_and_loaded_as_it_was(street, tmp_path):
    odd = OntologyClass('"quoted" \\ back\x7fslash é', 9, maybe=("a", "b"), counts={"x y": 3}, examples=("5f",))
    whole = replace(street, classes=(*street.classes, replace(odd, name='"q" \\ é', colour="#123456")))
    whole.save(tmp_path / "whole.toml")
    assert Ontology.load(tmp_path / "whole.toml") == whole


def test_names_alone_make_an_ontology():
    ontology = Ontology.of(["sofa", "tv", "television"])
    assert ontology.class_of("couch").name == "sofa"
    assert ontology.class_of("television").name == "television"
    assert ontology.class_of("television receiver").name == "tv"
    assert ontology.others is None
    assert Ontology.of(["نیم\u200cکت", "café\xa0au lait"]).class_of("نیم\u200cکت").id == 1


@pytest.mark.parametrize("names", ["car", 3, [None], ["a\nb"], ["\x1b"], ["a\u2028x"], [""]])
def test_what_are_no_names_make_none(names):
    with pytest.raises(InputError, match=r"list of names|name of a class"):
        Ontology.of(names)


def test_a_parent_and_what_is_left_over_may_be_written_otherwise(tmp_path):
    rows = '[[classes]]\nname = "Car"\nsynonyms = ["auto"]\n[[classes]]\nname = "van"\nparent = "car"\n'
    for others, meant in (("CAR", "Car"), ("Auto", "Car"), ("rest", "rest")):
        (tmp_path / "x.toml").write_text(f'others = "{others}"\n{rows}')
        ontology = Ontology.load(tmp_path / "x.toml")
        assert (ontology.classes[1].parent, ontology.others) == ("Car", meant)
        assert ontology.with_others(None).with_others(f" {others} ").others == meant
    assert ontology.with_others(None).others is None
    for wrong in ("", "two\nlines", "x" * 101):
        with pytest.raises(InputError, match=r"^others must be"):
            ontology.with_others(wrong)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no classes"),
        ("classes = 3", "has no classes"),
        ("classes = [3]", "must be tables"),
        ("a = [", "not TOML"),
        ("[[classes]]\nid = 1", "the name of a class must be text"),
        ("[[classes]]\nname = 'a'\nid = true", "id must be a whole number"),
        ("[[classes]]\nname = 'a'\nid = 70000", "id must be a whole number"),
        ("[[classes]]\nname = 'a'\nsynonym = ['b']", "unknown key 'synonym'; legal are name, id, synonyms"),
        ("[[classes]]\nname = 'a'\nsynonyms = 'b'", "synonyms must be a list"),
        ("[[classes]]\nname = 'a'\ncolour = 'red'", "#rrggbb"),
        ("[[classes]]\nname = 'a'\nis_thing = 1", "true or false"),
        ("[[classes]]\nname = 'a'\ncounts = {a = 'x'}", "numbers of masks"),
        ("[[classes]]\nname = 'a'\ncounts = {a = -1}", "numbers of masks"),
        ("[[classes]]\nname = 'A'\nparent='b'\n[[classes]]\nname = 'B'\nparent='a'", "above itself"),
        ("[[classes]]\nname = 'a'\n[[classes]]\nname = 'A'", "2 classes have the name"),
        ("[[classes]]\nname = 'a'\nid=2\n[[classes]]\nname = 'b'\nid=2", "2 classes have the id 2"),
        ("[[classes]]\nname = 'a'\n[[classes]]\nname = 'b'\nsynonyms=['a']", "means both 'a' and 'b'"),
        ("[[classes]]\nname = 'a'\nparent='b'\n[[classes]]\nname = 'b'\nparent='a'", "above itself"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(tmp_path, text, told):
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(InputError, match=told) as caught:
        Ontology.load(tmp_path / "wrong.toml")
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Ontology.load(tmp_path / "none.toml")
