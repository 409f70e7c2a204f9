from pathlib import Path

import pytest

from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.layouts.ontology_groups import group_names, unsure_pairs
from fiftyone_ssa.layouts.ontology_suggested import SaidNames, suggested_ontology, with_joined
from fiftyone_ssa.layouts.wordnet import find_wordnet, first_senses

INDEX = """  1 This software and database is being provided to you, the LICENSEE
basement n 2 4 @ ~ %p ; 2 1 02800497 05682950
cellar n 3 2 @ ~ 3 2 02800497 04550184 02991302
couch n 3 2 @ ~ 3 1 04256520 03115897 03115762
davenport n 2 1 @ 2 0 03164929 03164344
motor_hotel n 1 1 @ 1 0 03788195
motel n 1 1 @ 1 1 03788195
sofa n 1 2 @ ~ 1 1 04256520
"""


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    """Some lines of WordNet's own index."""
    (tmp_path / "index.noun").write_text(INDEX)
    return tmp_path


def members(counts, **options):
    return {group.name: set(group.names) for group in group_names(counts, **options)}


def test_what_is_surely_the_same_is_put_together():
    counts = {"sofa": 5, "couch": 3, "tv": 2, "television receiver": 9, "red cars": 4, "car": 2, "hot dog": 1, "dog": 2}
    assert members(counts) == {
        "television receiver": {"television receiver", "tv"},
        "sofa": {"sofa", "couch"},
        "car": {"car", "red cars"},
        "dog": {"dog"},
        "hot dog": {"hot dog"},
    }


def test_a_class_is_called_as_most_of_its_masks_are_in_plain_form():
    assert list(members({"couch": 7, "sofa": 2, "wheels": 9, "wheel": 1, "blue kites": 2})) == [
        "wheel",
        "couch",
        "blue kites",
    ]


def test_a_name_that_was_only_proposed_joins_and_makes_no_class():
    assert members({"sofa": 1, "settee": 0, "piano": 0}) == {"sofa": {"sofa", "settee"}}


def test_names_that_cannot_be_classes_are_left_out():
    assert members({"sofa": 1, " ": 2, "a\nb": 2, "x" * 101: 1}) == {"sofa": {"sofa"}}


def test_what_makes_singulars_may_come_from_elsewhere():
    counts = {"gizmodae": 1, "gizmodum": 2}
    assert len(members(counts)) == 2
    assert len(members(counts, lemma=lambda names: ["gizmodum" for _ in names])) == 1


def test_wordnet_joins_what_the_table_does_not_know(wordnet):
    counts = {"basement": 1, "cellar": 2, "motel": 1, "motor hotel": 1, "davenport": 1, "sofa": 1}
    assert len(members(counts)) == 6
    assert members(counts, wordnet=wordnet) == {
        "cellar": {"basement", "cellar"},
        "motel": {"motel", "motor hotel"},
        "davenport": {"davenport"},
        "sofa": {"sofa"},
    }


def test_wordnet_is_found_where_the_environment_says(wordnet, monkeypatch):
    monkeypatch.setenv("WNSEARCHDIR", str(wordnet))
    assert find_wordnet() == wordnet
    assert first_senses(["motor hotel", "nothing"], wordnet) == {"motor hotel": "03788195"}
    (wordnet / "index.noun").write_text("motel n x")
    assert first_senses(["motel"], wordnet) == {}


def test_more_words_may_be_the_same_and_what_the_table_tells_apart_is_not():
    groups = group_names({"wooden chair": 1, "chair": 3, "wheel": 1, "bicycle wheel": 1, "hot dog": 1, "dog": 1})
    assert set(unsure_pairs(groups)) == {("chair", "wooden chair"), ("wheel", "bicycle wheel")}


def test_what_is_unsure_is_marked_and_joined_on_request(tmp_path):
    names = SaidNames()
    for place, name in enumerate(["chair", "chair", "wooden chair", "big wooden chair", "sofa", "couch", "couch"]):
        names.add(name, f"{place:024x}", place / 10)
    names.segmenters.add("couch")
    groups = group_names(names.masks)
    found = suggested_ontology(groups, names, unsure_pairs(groups), others="other", name="rooms")
    by_name = {entry.name: entry for entry in found.classes}
    assert by_name["chair"].maybe == ("wooden chair",)
    assert by_name["couch"].synonyms == ("sofa",)
    assert by_name["couch"].segmenter_classes == ("couch",)
    assert by_name["couch"].counts == {"couch": 2, "sofa": 1}
    assert by_name["couch"].examples == tuple(f"{place:024x}" for place in (6, 5, 4))
    found.save(tmp_path / "rooms.toml")
    assert Ontology.load(tmp_path / "rooms.toml") == found
    joined = with_joined(found)
    assert [entry.name for entry in joined.classes] == ["couch", "chair"]
    assert joined.class_of("big wooden chair").name == "chair"
    assert joined.classes[1].counts == {"chair": 2, "wooden chair": 1, "big wooden chair": 1}
