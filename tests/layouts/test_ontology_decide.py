import pytest

from fiftyone_ssa import Ontology
from fiftyone_ssa.layouts.ontology import OntologyClass
from fiftyone_ssa.layouts.ontology_decide import decide_again

CAR = OntologyClass("car", 1, synonyms=("automobile", "van"))
BUS = OntologyClass("bus", 2)
OPEN, CLOSED = Ontology((CAR, BUS)), Ontology((CAR, BUS), others="other")


def test_a_name_that_means_nothing_gives_way_to_the_class_behind_it():
    found = decide_again(OPEN, "sedan", ["sedan", "car"], [0.6, 0.3])
    assert (found.label, found.is_class) == ("car", True)
    assert found.names == ("car", "sedan")
    assert found.scores == (0.3, 0.6)
    assert found.share == pytest.approx(0.5)


def test_synonyms_count_together():
    found = decide_again(OPEN, "bus", ["bus", "car", "van"], [0.4, 0.35, 0.2])
    assert found.label == "car"
    assert found.scores == pytest.approx((0.55, 0.4))


def test_what_was_decided_counts_as_the_best_proposal():
    """The decider took the second: an ontology that puts nothing together leaves it."""
    assert decide_again(OPEN, "car", ["bus", "car"], [0.6, 0.4]).label == "car"
    assert decide_again(OPEN, "bus", ["bus", "car"], [0.5, 0.5]).label == "bus"


def test_what_maps_to_nothing_is_other_or_stays():
    said = "tree", ["tree", "bush", "car"], [0.7, 0.2, 0.1]
    assert decide_again(OPEN, *said).label == "tree"
    found = decide_again(CLOSED, *said)
    assert (found.label, found.is_class) == ("other", False)
    assert found.scores == pytest.approx((0.9, 0.1))
    assert decide_again(CLOSED, *said, min_share=0.14).label == "car"


def test_masks_without_proposals_are_decided_by_their_names():
    assert decide_again(CLOSED, "Red vans").label == "car"
    assert decide_again(CLOSED, "tree").label == "other"
    assert decide_again(OPEN, "tree").label == "tree"
    assert decide_again(CLOSED, None).label is None
    assert decide_again(CLOSED, None, ["van"], [0.3]).label == "car"
    assert decide_again(OPEN, None, ["tree"], [0.3]).label == "tree"
