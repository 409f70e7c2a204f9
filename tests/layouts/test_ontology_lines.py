import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.ontology import Ontology, OntologyClass
from fiftyone_ssa.layouts.ontology_lines import lines_of, ontology_of_lines

ROOM = Ontology(
    (
        OntologyClass("sofa", 4, synonyms=("couch", "settee"), parent="seat", colour="#112233", is_thing=False),
        OntologyClass("road", 2, segmenter_classes=("road, route", "street")),
        OntologyClass("tv", 3),
    )
)


def test_lines_say_each_class_with_its_synonyms():
    assert lines_of(ROOM) == 'sofa = couch, settee\nroad = "road, route",street\ntv\n'


def test_lines_come_back_with_what_they_do_not_say():
    found = ontology_of_lines(lines_of(ROOM), base=ROOM, others="other")
    sofa, road, tv = found.classes
    assert (sofa.parent, sofa.colour, sofa.is_thing) == ("seat", "#112233", False)
    assert road.segmenter_classes == ("road, route", "street")
    assert [found.class_of(name).name for name in ("Settee", "road, route", "street", "TVs")] == [
        "sofa",
        "road",
        "road",
        "tv",
    ]
    assert (found.others, tv.id) == ("other", 3)


def test_what_a_person_moves_is_moved():
    found = ontology_of_lines("sofa\nbench = couch ,  settee \n\n a=b =\n", base=ROOM)
    assert [(entry.name, entry.synonyms) for entry in found.classes] == [
        ("sofa", ()),
        ("bench", ("couch", "settee")),
        ("a=b", ()),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "name a class at least"),
        ("sofa\nsofa", "2 classes have the name"),
        ("a = b\nc = b", "means both 'a' and 'c'"),
    ],
)
def test_lines_that_are_none_are_refused(text, told):
    with pytest.raises(InputError, match=told):
        ontology_of_lines(text)
