"""A mask's place in its tree, as levels wrote it."""

import pytest

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.family import family_of
from tests.labels.test_levels import box
from tests.labels.test_levels import dataset as dataset


@pytest.fixture
def sorted_(dataset):
    ssa.levels(dataset, progress=False)
    dataset.reload()
    return dataset


def ids(dataset):
    return [mask.id for mask in dataset.first().ssa.detections]


def test_the_tree_of_a_part_has_its_whole_and_what_lies_in_it(sorted_):
    car, wheel, hub, tree = ids(sorted_)
    family = family_of(sorted_, wheel)
    assert str(family) == "- car (whole)\n    - **wheel** (part)\n        - hub (subpart)"
    assert family.ids("parts") == [hub]
    assert family.ids("whole") == [car]
    assert family_of(sorted_, car).ids("parts") == [wheel, hub]
    assert family_of(sorted_, tree).ids("parts") == []
    shown = family.view("tree")
    assert shown.values("ssa.detections.id") == [[car, wheel, hub]]
    assert family.view().values("ssa.detections.label") == [["hub"]]


def test_less_of_the_same_is_no_part(dataset):
    sample = dataset.first()
    sample.ssa.detections.append(box(4, 4, 24, 30, label="car"))
    sample.save()
    ssa.levels(dataset, progress=False)
    car, wheel, hub, _, half = ids(dataset)
    family = family_of(dataset, car)
    assert half in family.ids("tree")
    assert set(family.ids("parts")) == {wheel, hub}


def test_somebodys_circle_of_parents_ends(sorted_):
    sample = sorted_.first()
    sample.ssa.detections[0]["parent"] = sample.ssa.detections[2].id
    sample.save()
    assert len(family_of(sorted_, ids(sorted_)[1]).members) == 3


def test_what_is_missing_is_told(dataset):
    with pytest.raises(InputError, match="has no level yet"):
        family_of(dataset, ids(dataset)[0])
    with pytest.raises(InputError, match="has no mask 0000"):
        family_of(dataset, "0" * 24)
    with pytest.raises(InputError, match="24 hex digits"):
        family_of(dataset, "x")
    ssa.levels(dataset, progress=False)
    with pytest.raises(InputError, match="which must be one of parts, whole, tree"):
        family_of(dataset, ids(dataset)[0]).view("all")
