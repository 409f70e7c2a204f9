"""What was decided, and what masks were before: kept in FiftyOne's database, one document a decision and sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.labels.database import dataset_id, own_collection


class Said(NamedTuple):
    """All that a decision changes of a mask; None is absent."""

    label: str | None
    review: str | None
    reviewed_at: Any
    reviewed_by: str | None = None
    """Who, where another tool told it."""


Pairs = Mapping[ObjectId, tuple[Said, Said]]
"""Mask id to what was said of it before and after."""


class Drawn(NamedTuple):
    """What a decision changes of masks themselves, of one sample."""

    shapes: list[dict[str, Any]]
    """`id`, and the attributes that hold the mask `before` and `after`."""
    added: list[dict[str, Any]]
    """Detections that it adds, whole."""


@dataclass(frozen=True)
class Found:
    """A decision that can be taken back."""

    token: str
    action: str


def record(
    dataset: fo.Dataset,
    field: str,
    token: str,
    action: str,
    written: Mapping[ObjectId, Pairs],
    drawn: Mapping[ObjectId, Drawn] | None = None,
) -> None:
    """Remember what samples' masks are to become, before they do: a process that is killed in between loses nothing.

    `drawn` is what becomes of the masks themselves, where a decision changes them.
    """
    decisions = own_collection("decisions")
    decisions.create_index([("dataset", 1), ("field", 1), ("undone", 1), ("at", -1), ("_id", -1)])
    decisions.create_index("token")
    here = {"dataset": dataset_id(dataset), "field": field, "undone": False, "at": datetime.now(UTC)}
    decisions.insert_many(
        {
            **here,
            "token": token,
            "action": action,
            "sample": sample,
            "masks": [{"id": mask, "before": before, "after": after} for mask, (before, after) in pairs.items()],
            **({"drawn": drawn[sample]._asdict()} if drawn and sample in drawn else {}),
        }
        for sample, pairs in written.items()
    )


def forget(token: str, samples: Iterable[ObjectId]) -> None:
    """Strike samples from a decision that did not reach them."""
    own_collection("decisions").delete_many({"token": token, "sample": {"$in": list(samples)}})


def find(dataset: fo.Dataset, field: str, token: str | None) -> Found | None:
    """The last decision on a field that is not taken back yet, or the one with this token."""
    where = {"dataset": dataset_id(dataset), "field": field, "undone": False}
    if token is not None:
        where["token"] = token
    row = own_collection("decisions").find_one(where, {"token": 1, "action": 1}, sort=[("at", -1), ("_id", -1)])
    return Found(row["token"], row["action"]) if row else None


def left_by(
    dataset: fo.Dataset, field: str, action: str, sample: ObjectId
) -> tuple[dict[ObjectId, Said], dict[ObjectId, dict[str, Any]]]:
    """What decisions of one kind made of a sample's masks, the last of each mask: what is said of it, and its shape.

    The shape of a mask that was added is the whole detection; decisions that were taken back do not count.
    """
    where = {"dataset": dataset_id(dataset), "field": field, "action": action, "undone": False, "sample": sample}
    said, shapes = dict[ObjectId, Said](), dict[ObjectId, dict[str, Any]]()
    for row in own_collection("decisions").find(where, {"masks": 1, "drawn": 1}).sort([("at", 1), ("_id", 1)]):
        said |= {mask["id"]: Said(*mask["after"]) for mask in row["masks"]}
        drawn = Drawn(**row.get("drawn", {"shapes": [], "added": []}))
        said |= {each["_id"]: Said(*map(each.get, Said._fields)) for each in drawn.added}
        shapes |= {each["_id"]: each for each in drawn.added} | {each["id"]: each["after"] for each in drawn.shapes}
    return said, shapes


def masks_of(token: str) -> dict[ObjectId, Pairs]:
    """Sample to its masks of one decision."""
    rows = own_collection("decisions").find({"token": token}, {"sample": 1, "masks": 1})
    return {
        row["sample"]: {mask["id"]: (Said(*mask["before"]), Said(*mask["after"])) for mask in row["masks"]}
        for row in rows
    }


def drawn_of(token: str) -> dict[ObjectId, Drawn]:
    """Sample to what one decision made of its masks themselves."""
    rows = own_collection("decisions").find({"token": token, "drawn": {"$exists": True}}, {"sample": 1, "drawn": 1})
    return {row["sample"]: Drawn(**row["drawn"]) for row in rows}


def drop_gone() -> None:
    """Forget what was decided, looked through, set and fitted in datasets that are gone.

    Runs stay: clones of a dataset hold labels and files that name them.
    """
    known = own_collection("decisions").database.datasets.distinct("_id")
    for name in ("decisions", "looked", "ontologies", "exported", "imported", "settings", "calibrations"):
        own_collection(name).delete_many({"dataset": {"$nin": known}})


def take_back(token: str) -> None:
    """Record that a decision was taken back."""
    own_collection("decisions").update_many({"token": token}, {"$set": {"undone": True}})
