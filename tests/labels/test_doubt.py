"""Doubt is computed by the database from what is stored, for both pipelines and for masks of which little is known."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import pytest

from fiftyone_ssa.labels.database import documents
from fiftyone_ssa.labels.doubt import DOUBTFUL, doubt, is_doubtful

BOX = [0.1, 0.1, 0.5, 0.5]
SURE = {
    "label": "sky",
    "class_name": "sky",
    "class_proposals": ["sky", "sea"],
    "proposal_scores": [0.98, 0.01],
    "confidence": 0.97,
    "area": 5000,
}
AT_ODDS = SURE | {"class_proposals": ["sea", "sky"], "proposal_scores": [0.95, 0.04]}
VOTED = {
    "label": "sky",
    "class_name": "sky",
    "class_proposals": ["sky"],
    "proposal_scores": [0.98],
    "confidence": 0.98,
    "vote_share": 0.98,
    "vote_margin": 0.96,
    "area": 5000,
}
SPLIT = VOTED | {"proposal_scores": [0.4], "confidence": 0.4, "vote_share": 0.4, "vote_margin": 0.05}


def dataset_of(*detections: dict[str, Any]) -> fo.Dataset:
    dataset = fo.Dataset()
    made = [fo.Detection(**{"bounding_box": BOX, **values}) for values in detections]
    dataset.add_sample(fo.Sample(filepath="/nowhere/a.png", ssa=fo.Detections(detections=made)))
    return dataset


def doubts(*detections: dict[str, Any]) -> list[float]:
    """Of each detection, computed in one array and, to be the same, one by one."""
    dataset = dataset_of(*detections)
    whole = {"$project": {"doubt": {"$map": {"input": "$ssa.detections", "in": doubt()}}}}
    (row,) = documents(dataset, [whole])
    unwound = [{"$unwind": "$ssa.detections"}, {"$project": {"doubt": doubt("$ssa.detections")}}]
    assert [one["doubt"] for one in documents(dataset, unwound)] == row["doubt"]
    assert all(0 <= value <= 1 for value in row["doubt"])
    return list(row["doubt"])


@pytest.mark.parametrize(
    ("sure", "doubtful"),
    [
        (SURE, AT_ODDS),
        (SURE, SURE | {"proposal_scores": [0.5, 0.45]}),
        (VOTED, SPLIT),
    ],
)
def test_a_name_that_its_sources_do_not_support_is_doubtful(sure: dict[str, Any], doubtful: dict[str, Any]) -> None:
    less, more = doubts(sure, doubtful)
    assert less < DOUBTFUL < more


def test_nothing_known_is_no_reason_to_doubt() -> None:
    bare, nothing, empty_lists = doubts(
        {"label": "sky"}, {}, {"label": "sky", "class_proposals": [], "proposal_scores": []}
    )
    assert bare == empty_lists < DOUBTFUL
    assert nothing == 1  # a mask without a name


def test_an_empty_mask_needs_no_look() -> None:
    assert doubts({"area": 0}, {"area": 0, "label": "sky"}) == [0, 0]


def test_a_persons_label_does_not_change_what_was_said_of_the_name() -> None:
    before, after = doubts(AT_ODDS, AT_ODDS | {"label": "roof"})
    assert before == after


def test_doubtful_masks_are_those_that_no_person_looked_at() -> None:
    dataset = dataset_of(
        SURE,
        AT_ODDS,
        AT_ODDS | {"label": "roof"},
        *(AT_ODDS | {"review": review} for review in ("accepted", "corrected", "rejected")),
        {"label": "drawn by hand"},
    )
    view = dataset.filter_labels("ssa", is_doubtful())
    assert view.values("ssa.detections.id") == [[dataset.first().ssa.detections[1].id]]


def test_a_saved_view_of_doubtful_masks_follows_reviews() -> None:
    dataset = dataset_of(SURE, AT_ODDS)
    dataset.save_view("doubtful", dataset.filter_labels("ssa", is_doubtful()))
    assert dataset.load_saved_view("doubtful").count("ssa.detections") == 1
    dataset.set_label_values("ssa.detections.review", {dataset.first().ssa.detections[1].id: "accepted"})
    assert dataset.load_saved_view("doubtful").count("ssa.detections") == 0
