"""Which names are taken for each other: by the proposals that a run stored, and by what people corrected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import fiftyone as fo

from fiftyone_ssa.curation.counts import masks_of
from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import documents, needs_database
from fiftyone_ssa.labels.review import listed, which

Expression = dict[str, Any]

CLOSE = 0.2
"""How far the second proposal's score may lie behind the first one's, for the two to be taken for each other."""


@dataclass(frozen=True)
class Confusion:
    """Two names, the more frequent first proposal in front, and the masks that confuse them."""

    name: str
    other: str
    close: int
    """Masks whose first two proposals they are, in whichever order, with scores less than `CLOSE` apart."""
    corrected: int
    """Masks that were called one of them by SSA and are called the other one now."""

    @property
    def masks(self) -> int:
        """Both kinds; a mask that is both counts twice."""
        return self.close + self.corrected


@needs_database()
def count_confusions(samples: Any, label_field: str = "ssa", *, close: float = CLOSE) -> list[Confusion]:
    """The pairs of names that masks of a view confuse, those with most masks first, in one pass.

    Args:
        samples: a dataset or view; its filters, patches and active group slice count
        label_field ("ssa"): a Detections field, or the Detection of a patches view
        close (0.2): how far the scores of a mask's first two proposals may be apart, 0 to 1

    Raises InputError if there is no such field.
    """
    check_close(close)
    masks = masks_of(samples, label_field)
    pairs = [
        {
            "$map": {
                "input": {"$filter": {"input": masks, "cond": condition("$$this")}},
                "in": [kind, *(operand("$$this") for operand in names)],
            }
        }
        for kind, condition, names in (
            ("close", lambda this: _is_close(this, close), (_first, _second)),
            ("corrected", _is_corrected, (_said, _label)),
        )
    ]
    stages: list[Expression] = [
        {"$project": {"_id": 0, "row": {"$concatArrays": pairs}}},
        {"$unwind": "$row"},
        {"$sortByCount": "$row"},
    ]
    return _paired({tuple(row["_id"]): row["count"] for row in documents(samples, stages)})


def confuses(name: str, other: str | None = None, *, close: float = CLOSE) -> fo.ViewExpression:
    """Which masks confuse two names, or one name with any other, for `filter_labels`.

    Args:
        name: a class name
        other (None): the name that it is confused with; None: any
        close (0.2): how far the scores of a mask's first two proposals may be apart, 0 to 1
    """

    def condition(this: str) -> Expression:
        return {
            "$or": [
                {"$and": [_is_close(this, close), _are(_first(this), _second(this), name, other)]},
                {"$and": [_is_corrected(this), _are(_said(this), _label(this), name, other)]},
            ]
        }

    return which(condition)


def _paired(rows: dict[tuple[str, str, str], int]) -> list[Confusion]:
    """One confusion of each pair, whichever name came first."""
    count: dict[str, Counter[tuple[str, str]]] = {"close": Counter(), "corrected": Counter()}
    leading: Counter[tuple[str, str]] = Counter()
    for (kind, first, second), masks in rows.items():
        pair = (min(first, second), max(first, second))
        count[kind][pair] += masks
        leading[pair] += masks if first == pair[0] else -masks
    found = [
        Confusion(*(pair if leading[pair] >= 0 else pair[::-1]), count["close"][pair], count["corrected"][pair])
        for pair in leading
    ]
    return sorted(found, key=lambda row: (-row.masks, row.name, row.other))


def _first(this: str) -> Expression:
    return {"$arrayElemAt": [listed(f"{this}.class_proposals"), 0]}


def _second(this: str) -> Expression:
    return {"$arrayElemAt": [listed(f"{this}.class_proposals"), 1]}


def _said(this: str) -> str:
    return f"{this}.class_name"


def _label(this: str) -> str:
    return f"{this}.label"


def _is_close(this: str, close: float) -> Expression:
    """Whether a mask has two proposals of which the second is nearly as good as the first."""
    scores = [{"$arrayElemAt": [listed(f"{this}.proposal_scores"), place]} for place in (0, 1)]
    behind = {"$subtract": [{"$cond": [{"$isNumber": score}, score, None]} for score in scores]}
    texts = [{"$eq": [{"$type": name}, "string"]} for name in (_first(this), _second(this))]
    # nothing, which a missing score makes of a difference, is less than every number: hence the lower bound
    return {"$and": [{"$gte": [behind, -1]}, {"$lt": [behind, close]}, {"$ne": [_first(this), _second(this)]}, *texts]}


def _is_corrected(this: str) -> Expression:
    """Whether a mask is called something else than what SSA said."""
    texts = [{"$eq": [{"$type": path}, "string"]} for path in (_said(this), _label(this))]
    return {"$and": [{"$ne": [_said(this), _label(this)]}, *texts]}


def _are(first: Any, second: Any, name: str, other: str | None) -> Expression:
    """Whether two names are these, in whichever order."""
    pair = [first, second]
    literal = {"$literal": name}
    if other is None:
        return {"$in": [literal, pair]}
    return {"$setEquals": [pair, [literal, {"$literal": other}]]}


def check_close(close: Any) -> None:
    """Raise InputError unless `close` is a difference of scores."""
    if isinstance(close, bool) or not isinstance(close, int | float) or not 0 <= close <= 1:
        raise InputError(f"close must be a number from 0 to 1, got {shown(close)}")
