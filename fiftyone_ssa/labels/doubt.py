"""How doubtful a mask's name is, by what is stored beside it: one MongoDB expression, so that no mask is decoded.

Doubt is a logistic of a few reasons, fitted to drawn scenes whose truth is known (`benchmarks/review_queue.py`, which
measures on other scenes): there it is about the share of names that are wrong. Elsewhere it is an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fiftyone as fo

from fiftyone_ssa.labels.review import OPEN, listed, state, which

Expression = dict[str, Any]

DOUBTFUL = 0.4
"""Doubt from which a mask that nobody reviewed is shown as doubtful."""
BY_ENGINE = {"unsure": 3.1, "weak": 1.3, "late": 4.2, "absent": 0.7, "unstable": 3.9, "always": -5.8}
"""The weight of each reason to doubt a name of SSA-engine, for published and fused decisions together."""
BY_SHARE = {"weak": 2.5, "late": 6.5, "absent": 2.5, "unstable": 3.5, "always": -5.2}
"""The same of labels from before `name_similarity` was kept, whose confidence is a decider's share and tells little."""
BY_VOTE = {"unsure": 8.0, "always": -5.9}
"""The same of a name that SSA voted for; its size and the mask's stability add nothing to that."""
CAPTION_START = 20
"""Characters of a caption in which what it is about is named."""


def doubt(detection: str = "$$this") -> Expression:
    """How likely a mask's name is wrong, as a MongoDB expression: 0 to 1, to order by and to compare with `DOUBTFUL`.

    It reads only stored attributes, those of SSA and of SSA-engine, and takes missing ones for unsuspicious. A mask
    without a name has 1, an empty one 0. It judges the name that SSA gave, whatever a person made of it.

    Args:
        detection ("$$this"): where the detection is found, an aggregation variable or path: inside `$filter` and
            `$map` "$$this"; in a collection of unwound detections, "$field.detections"
    """
    voted = {"$ne": [{"$ifNull": [f"{detection}.vote_share", None]}, None]}
    earlier = {"$eq": [{"$ifNull": [f"{detection}.name_similarity", None]}, None]}
    branches = [
        {"case": {"$eq": [f"{detection}.area", 0]}, "then": 0},
        {"case": {"$eq": ["$$name", ""]}, "then": 1},
        {"case": voted, "then": _logistic(BY_VOTE)},
        {"case": earlier, "then": _logistic(BY_SHARE)},
    ]
    judged = {"$switch": {"branches": branches, "default": _logistic(BY_ENGINE)}}
    name = {"$ifNull": [f"{detection}.class_name", {"$ifNull": [f"{detection}.label", ""]}]}
    return _let({"name": name}, _let(_reasons(detection), judged))


def is_doubtful() -> fo.ViewExpression:
    """Which masks to look at first, for `filter_labels`: doubt of at least `DOUBTFUL`, and no person's work on it."""
    return which(lambda mask: {"$and": [{"$eq": [state(mask), OPEN]}, {"$gte": [doubt(mask), DOUBTFUL]}]})


def _reasons(detection: str) -> Expression:
    """Each reason to doubt the name `$$name`, 0 to 1: what its sources say of it, and what the mask is like."""
    proposals = listed(f"{detection}.class_proposals")
    score = {"$arrayElemAt": [listed(f"{detection}.proposal_scores"), {"$indexOfArray": [proposals, "$$name"]}]}
    proposed = {"$in": ["$$name", proposals]}
    known = {"$ifNull": [f"{detection}.confidence", 1]}
    # what a caption is about, it names first: "the door of a red tent" on a mask called tent is about another one
    place = {"$ifNull": [{"$indexOfCP": [f"{detection}.caption", "$$name"]}, 0]}
    return {
        "weak": _missing_to_one({"$cond": [proposed, {"$ifNull": [score, known]}, known]}),
        "late": _within_one({"$divide": [place, CAPTION_START]}),
        "absent": {"$cond": [{"$lt": [place, 0]}, 1, 0]},
        "unsure": _missing_to_one(known),
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
