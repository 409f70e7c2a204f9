"""An ontology is suggested from a view's names, with counts, examples and doubts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_ssa import Ontology, relabel, review
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.documents import ENGINE_ATTRIBUTES, declare_detections

NAMES = ("sofa", "couch", "couch", "tv", "television receiver", "wooden chair", "chair", "red chairs", "dog")


@pytest.fixture
def dataset(make_dataset: Callable[..., fo.Dataset]) -> fo.Dataset:
    """Three images with nine masks: a sofa or couch thrice, a television twice, a chair twice, and two more."""
    made = make_dataset(3)
    declare_detections(made, "ssa", ENGINE_ATTRIBUTES)
    names = iter(NAMES)
    for document in samples_of(made).find({}, {"masks": 1}).sort("_id"):
        label = document["masks"]
        for place, row in enumerate(label["detections"]):
            name = next(names)
            row |= {"label": name, "class_name": name, "class_proposals": [name, "settee"], "confidence": place / 4}
            row |= {"label_source": "ade20k" if name == "television receiver" else "caption"}
        samples_of(made).update_one({"_id": document["_id"]}, {"$set": {"ssa": label}})
    made.reload()
    return made


def found(samples: Any, **options: Any) -> dict[str, Any]:
    return {entry.name: entry for entry in Ontology.suggest(samples, "ssa", **options).classes}


def test_names_are_put_together_with_counts_and_examples(dataset: fo.Dataset) -> None:
    classes = found(dataset)
    assert set(classes) == {"couch", "chair", "television receiver", "wooden chair", "dog"}
    assert classes["couch"].synonyms == ("sofa", "settee")
    assert classes["couch"].counts == {"couch": 2, "sofa": 1}
    ids = [str(row.id) for label in dataset.values("ssa") for row in label.detections]
    assert classes["couch"].examples == (ids[2], ids[1], ids[0])
    assert classes["television receiver"].segmenter_classes == ("television receiver",)
    assert classes["chair"].synonyms == ("red chairs",)
    assert classes["chair"].maybe == ("wooden chair",)


def test_what_the_view_shows_counts_and_what_people_said(dataset: fo.Dataset) -> None:
    view = dataset.filter_labels("ssa", F("label").is_in(["dog", "sofa"]))
    assert set(found(view)) == {"dog", "sofa"}
    assert set(found(view.to_patches("ssa"))) == {"dog", "sofa"}
    ids = [str(row.id) for label in dataset.values("ssa") for row in label.detections]
    relabel(dataset, ids=ids[8:], label="puppy")
    review(dataset, "reject", ids=ids[5:6])
    assert {"dog", "wooden chair"}.isdisjoint(found(dataset))
    assert set(found(dataset, min_masks=2)) == {"couch", "chair", "television receiver"}


def test_a_class_filter_marks_what_may_be_the_same(dataset: fo.Dataset) -> None:
    """The mini one knows drawn scenes; with a low bar it marks something, and never what the table tells apart."""
    marked = found(dataset, class_filter="mini-engine", alike=-1.0)
    assert {name: set(entry.maybe) for name, entry in marked.items() if entry.maybe}
    assert "chair" not in marked["couch"].maybe
    assert found(dataset, class_filter="mini-engine", alike=1.0).keys() == marked.keys()


def test_bad_arguments_are_refused(dataset: fo.Dataset) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "min_masks must be a whole number": {"min_masks": 0},
        "alike must be a number": {"alike": "x"},
        "no name of 'ssa' is one of 100 masks here": {"min_masks": 100},
        "has no class filter": {"class_filter": "mini-ssa"},
        "label_field must be a Detections field": {"label_field": "none"},
    }
    for told, options in wrong.items():
        with pytest.raises(InputError, match=told):
            Ontology.suggest(dataset, **options)
