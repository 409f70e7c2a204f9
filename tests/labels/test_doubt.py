"""Doubt is computed by the database from what is stored, for both pipelines and for masks of which little is known."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

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
DOUBTED = AT_ODDS | {"caption": "the roof of a house"}
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
LOOKED = SURE | {"name_similarity": 0.7}
SPLIT = VOTED | {"proposal_scores": [0.4], "confidence": 0.25, "vote_share": 0.4, "vote_margin": 0.05}


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


def test_each_thing_that_speaks_against_a_name_adds_doubt() -> None:
    captioned = SURE | {"caption": "a blue sky"}
    pairs = {
        "another name fits better": (SURE, AT_ODDS),
        "no name fits well": (SURE, SURE | {"proposal_scores": [0.5, 0.45]}),
        "the caption is about something else": (captioned, SURE | {"caption": "the roof of a house below the sky"}),
        "the caption does not know it": (captioned, SURE | {"caption": "a wall"}),
        "the mask is unstable": (SURE | {"stability_score": 0.98}, SURE | {"stability_score": 0.6}),
        "the vote is split": (VOTED, SPLIT),
        "the name fits the crop badly": (LOOKED, LOOKED | {"confidence": 0.3}),
    }
    found = doubts(*(mask for pair in pairs.values() for mask in pair))
    for reason, less, more in zip(pairs, found[::2], found[1::2], strict=True):
        assert less < more, reason


def test_names_that_nothing_supports_are_doubtful_and_others_are_not() -> None:
    unlike = AT_ODDS | {"caption": "the roof of a house", "stability_score": 0.7}
    sure, odd, voted, split = doubts(SURE, unlike, VOTED, SPLIT | {"bounding_box": [0.1, 0.1, 0.1, 0.1]})
    assert sure < DOUBTFUL < odd
    assert voted < DOUBTFUL < split


def test_a_second_and_third_proposal_do_not_change_a_vote() -> None:
    one, three = doubts(
        VOTED, VOTED | {"class_proposals": ["sky", "sea", "sand"], "proposal_scores": [0.98, 0.01, 0.01]}
    )
    assert one == three


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
        DOUBTED,
        DOUBTED | {"label": "roof"},
        *(DOUBTED | {"review": review} for review in ("accepted", "corrected", "rejected")),
        {"label": "drawn by hand"},
    )
    view = dataset.filter_labels("ssa", is_doubtful())
    assert view.values("ssa.detections.id") == [[dataset.first().ssa.detections[1].id]]


def test_a_saved_view_of_doubtful_masks_follows_reviews() -> None:
    dataset = dataset_of(SURE, DOUBTED)
    dataset.save_view("doubtful", dataset.filter_labels("ssa", is_doubtful()))
    assert dataset.load_saved_view("doubtful").count("ssa.detections") == 1
    dataset.set_label_values("ssa.detections.review", {dataset.first().ssa.detections[1].id: "accepted"})
    assert dataset.load_saved_view("doubtful").count("ssa.detections") == 0


def test_odd_values_raise_nothing() -> None:
    doubts(
        SURE | {"bounding_box": [0.0, 0.0, 0.0, 0.0]},
        SURE | {"bounding_box": [float("nan")] * 4},
        SURE | {"proposal_scores": []},
        SURE | {"proposal_scores": [1.5, -0.5], "stability_score": 1.2},
        {"label": "$sky", "caption": "$sky $$this"},
        {"label": "sky", "caption": ""},
        VOTED | {"vote_share": 0.0, "bounding_box": [0.0, 0.0, 1.0, 1e-9]},
    )
