"""Which samples need not be looked through for people's edits: those that nobody but we have written since.

What a sample was when it was last looked through stands in a collection of ours: its `last_modified_at`, which every
writer of FiftyOne sets. Our own writers move it along, so that neither a run nor a decision has masks decoded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateMany, UpdateOne

from fiftyone_ssa.labels.database import own_collection


def unseen(dataset: ObjectId, field: str, dates: Mapping[ObjectId, datetime | None]) -> list[ObjectId]:
    """Of samples with their `last_modified_at`, those that others changed since, the latest change first."""
    here = {"dataset": dataset, "field": field}
    seen = {row["sample"]: row["at"] for row in _looked().find(here, {"_id": 0, "sample": 1, "at": 1})}
    found = [sample for sample, date in dates.items() if date is None or seen.get(sample) != date]
    return sorted(found, key=lambda sample: dates[sample] or datetime.min, reverse=True)


def record(dataset: ObjectId, field: str, dates: Mapping[ObjectId, datetime]) -> None:
    """Remember samples as they were when their masks were all known: `last_modified_at` by sample."""
    here = {"dataset": dataset, "field": field}
    updates = [UpdateOne({**here, "sample": sample}, {"$set": {"at": at}}, upsert=True) for sample, at in dates.items()]
    if updates:
        _looked().bulk_write(updates, ordered=False)


def move(dataset: ObjectId, dates: Mapping[ObjectId, tuple[datetime | None, datetime]]) -> None:
    """Go along with a write of our own: samples with the dates that it found and left, for every field."""
    here = {"dataset": dataset}
    updates = [
        UpdateMany({**here, "sample": sample, "at": before}, {"$set": {"at": after}})
        for sample, (before, after) in dates.items()
        if before is not None
    ]
    if updates:
        _looked().bulk_write(updates, ordered=False)


def _looked() -> Any:
    collection = own_collection("looked")
    collection.create_index([("dataset", 1), ("sample", 1), ("field", 1)], unique=True)
    return collection
