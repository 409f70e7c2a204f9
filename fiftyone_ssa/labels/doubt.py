"""How doubtful a mask's name is, by what is stored beside it: one MongoDB expression, so that no mask is decoded.

Doubt is a logistic of a few reasons, fitted to drawn scenes whose truth is known (`benchmarks/review_queue.py`, which
measures on other scenes): there it is about the share of names that are wrong. Elsewhere it is an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fiftyone as fo

from fiftyone_ssa.labels.review import OPEN, state, which

Expression = dict[str, Any]

DOUBTFUL = 0.4
"""Doubt from which a mask that nobody reviewed is shown as doubtful."""
BY_ENGINE = {"weak": 2.5, "late": 6.5, "absent": 2.5, "unstable": 3.5, "always": -5.2}
"""The weight of each reason to doubt a name of SSA-engine."""
BY_VOTE = {"split": 5.0, "small": 2.3, "unstable": 1.0, "always": -3.6}
"""The same of a name that SSA voted for: the share of the vote and the size tell most."""
CAPTION_START = 20
"""Characters of a caption in which what it is about is named."""
SMALLEST_SHARE = 1e-3
"""Share of the image from which on a box counts as small as can be."""


def doubt(detection: str = "$$this") -> Expression:
    """How likely a mask's name is wrong, as a MongoDB expression: 0 to 1, to order by and to compare with `DOUBTFUL`.

    It reads only stored attributes, those of SSA and of SSA-engine, and takes missing ones for unsuspicious. A mask
    without a name has 1, an empty one 0. It judges the name that SSA gave, whatever a person made of it.

    Args:
        detection ("$$this"): where the detection is found, an aggregation variable or path: inside `$filter` and
            `$map` "$$this"; in a collection of unwound detections, "$field.detections"
    """
    voted = {"$ne": [{"$ifNull": [f"{detection}.vote_share", None]}, None]}
    branches = [
        {"case": {"$eq": [f"{detection}.area", 0]}, "then": 0},
        {"case": {"$eq": ["$$name", ""]}, "then": 1},
        {"case": voted, "then": _logistic(BY_VOTE)},
    ]
    judged = {"$switch": {"branches": branches, "default": _logistic(BY_ENGINE)}}
    name = {"$ifNull": [f"{detection}.class_name", {"$ifNull": [f"{detection}.label", ""]}]}
    return _let({"name": name}, _let(_reasons(detection), judged))


def is_doubtful() -> fo.ViewExpression:
    """Which masks to look at first, for `filter_labels`: doubt of at least `DOUBTFUL`, and no person's work on it."""
    return which(lambda mask: {"$and": [{"$eq": [state(mask), OPEN]}, {"$gte": [doubt(mask), DOUBTFUL]}]})


def _reasons(detection: str) -> Expression:
    """Each reason to doubt the name `$$name`, 0 to 1: what its sources say of it, and what the mask is like."""
    proposals = {"$ifNull": [f"{detection}.class_proposals", []]}
    score = {"$arrayElemAt": [f"{detection}.proposal_scores", {"$indexOfArray": [proposals, "$$name"]}]}
    proposed = {"$in": ["$$name", proposals]}
    known = {"$ifNull": [f"{detection}.confidence", 1]}
    # what a caption is about, it names first: "the door of a red tent" on a mask called tent is about another one
    place = {"$ifNull": [{"$indexOfCP": [f"{detection}.caption", "$$name"]}, 0]}
    box = [{"$ifNull": [{"$arrayElemAt": [f"{detection}.bounding_box", side]}, 1]} for side in (2, 3)]
    share = {"$max": [SMALLEST_SHARE, {"$multiply": box}]}
    return {
        "weak": _missing_to_one({"$cond": [proposed, {"$ifNull": [score, known]}, known]}),
        "late": _within_one({"$divide": [place, CAPTION_START]}),
        "absent": {"$cond": [{"$lt": [place, 0]}, 1, 0]},
        "split": _missing_to_one({"$ifNull": [f"{detection}.vote_share", 1]}),
        "small": _within_one({"$divide": [{"$log10": share}, {"$log10": SMALLEST_SHARE}]}),
        "unstable": _missing_to_one({"$ifNull": [f"{detection}.stability_score", 1]}),
    }


def _logistic(weights: Mapping[str, float]) -> Expression:
    terms = [
        weight if reason == "always" else {"$multiply": [weight, f"$${reason}"]} for reason, weight in weights.items()
    ]
    return {"$divide": [1, {"$add": [1, {"$exp": {"$multiply": [-1, {"$add": terms}]}}]}]}


def _let(variables: Expression, inside: Expression) -> Expression:
    return {"$let": {"vars": variables, "in": inside}}


def _within_one(value: Any) -> Expression:
    return {"$max": [0, {"$min": [1, value]}]}


def _missing_to_one(value: Any) -> Expression:
    """How far a value falls short of 1, within 0 and 1."""
    return _within_one({"$subtract": [1, value]})
