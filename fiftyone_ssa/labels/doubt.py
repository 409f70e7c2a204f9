"""How doubtful a mask's name is, by what is stored beside it: one MongoDB expression, so that no mask is decoded."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

from fiftyone_ssa.labels.review import REVIEWS

Expression = dict[str, Any]

DOUBTFUL = 0.4
"""Doubt from which a mask that nobody reviewed is shown as doubtful."""
SMALL_SHARE = 0.01
"""Share of the image that a box must cover for its mask to be none of the small ones."""
WEIGHTS = {"weak": 0.45, "close": 0.25, "at odds": 0.2, "small": 0.1}
"""What each reason adds to doubt; together 1."""


def doubt(detection: str = "$$this") -> Expression:
    """How likely a mask's name is wrong, as a MongoDB expression: 0 to 1, to order by and to compare with `DOUBTFUL`.

    It reads only stored attributes, those of SSA and of SSA-engine, and takes missing ones for unsuspicious. A mask
    without a name has 1, an empty one 0. It judges the name that SSA gave, whatever a person made of it.

    Args:
        detection ("$$this"): where the detection is found, an aggregation variable or path: inside `$filter` and
            `$map`, and in `filter_labels`, "$$this"; in a collection of unwound detections, "$field.detections"
    """
    reasons = {
        "weak": _less_than_one("$$support"),
        "close": _less_than_one("$$margin"),
        "at odds": {"$cond": [{"$in": [{"$ifNull": ["$$first", "$$name"]}, ["$$name", None]]}, 0, 1]},
        "small": _less_than_one({"$divide": ["$$share", SMALL_SHARE]}),
    }
    total = {"$add": [{"$multiply": [WEIGHTS[reason], value]} for reason, value in reasons.items()]}
    empty = {"$eq": [f"{detection}.area", 0]}
    unnamed = {"$eq": ["$$name", None]}
    judged = {"$switch": {"branches": [{"case": empty, "then": 0}, {"case": unnamed, "then": 1}], "default": total}}
    return _with_names(detection, judged)


def is_doubtful() -> fo.ViewExpression:
    """Which masks to look at first, for `filter_labels`: doubt of at least `DOUBTFUL`, and no person's work on it."""
    label, name = ({"$ifNull": [f"$$this.{key}", None]} for key in ("label", "class_name"))
    untouched = [{"$not": {"$in": [{"$ifNull": ["$$this.review", None]}, list(REVIEWS)]}}, {"$eq": [label, name]}]
    return fo.ViewExpression({"$and": [*untouched, {"$gte": [doubt(), DOUBTFUL]}]})


def _with_names(detection: str, inside: Expression) -> Expression:
    """`inside` with what it speaks of: the name, its support, its margin, the first proposal, the box's share."""
    scores = {"$ifNull": [f"{detection}.proposal_scores", []]}
    named = {"name": {"$ifNull": [f"{detection}.class_name", {"$ifNull": [f"{detection}.label", None]}]}}
    found = {
        "place": {"$indexOfArray": [{"$ifNull": [f"{detection}.class_proposals", []]}, "$$name"]},
        "scores": scores,
        "first": {"$arrayElemAt": [{"$ifNull": [f"{detection}.class_proposals", []]}, 0]},
        "share": {"$multiply": [{"$ifNull": [{"$arrayElemAt": [f"{detection}.bounding_box", i]}, 1]} for i in (2, 3)]},
    }
    support = {
        "support": {
            "$cond": [
                {"$gte": ["$$place", 0]},
                {"$arrayElemAt": ["$$scores", "$$place"]},
                {"$ifNull": [f"{detection}.confidence", 1]},
            ]
        }
    }
    second = {"$ifNull": [{"$arrayElemAt": ["$$scores", {"$cond": [{"$eq": ["$$place", 0]}, 1, 0]}]}, 0]}
    alone = {"$lt": [{"$size": "$$scores"}, 2]}
    margin = {
        "margin": {"$ifNull": [f"{detection}.vote_margin", {"$cond": [alone, 1, {"$subtract": ["$$support", second]}]}]}
    }
    return _let(named, _let(found, _let(support, _let(margin, inside))))


def _let(variables: Expression, inside: Expression) -> Expression:
    return {"$let": {"vars": variables, "in": inside}}


def _less_than_one(value: Any) -> Expression:
    """How far a value falls short of 1, within 0 and 1."""
    return {"$max": [0, {"$min": [1, {"$subtract": [1, value]}]}]}
