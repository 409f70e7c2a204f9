"""One conditional update a sample: written only as it was when it was read, and never a whole list of masks.

`labels.writer` guards its writes in the same way, so that neither a run on the same field nor another person loses
anything; of a mask only `label`, `review` and `reviewed_at` change, never what SSA said of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo import UpdateOne

from fiftyone_ssa.labels import looked
from fiftyone_ssa.labels.database import Document, dataset_id, reload_samples, samples_of
from fiftyone_ssa.labels.journal import Pairs, Said


@dataclass(frozen=True)
class Edit:
    """What is to become of one sample."""

    id: ObjectId
    read: datetime | None
    """`last_modified_at` as it was read."""
    stamp: datetime
    """`last_modified_at` as it is to be."""
    found: int
    """Masks that were asked for and are there."""
    pairs: Pairs

    def update(self, field: str) -> UpdateOne:
        """The update, if nobody changes the sample before."""
        where = {"_id": self.id, "last_modified_at": self.read}
        change, filters = change_of(f"{field}.detections.$[{{}}]", self.pairs)
        change["$set"] = {**change.get("$set", {}), "last_modified_at": self.stamp}
        return UpdateOne(where, change, array_filters=filters)


def write(dataset: fo.Dataset, field: str, edits: Mapping[ObjectId, Edit]) -> set[ObjectId]:
    """Write samples that are as they were read; answers those that are not, to be read again."""
    collection, late = samples_of(dataset), set()
    updates = [edit.update(field) for edit in edits.values()]
    if collection.bulk_write(updates, ordered=False).matched_count < len(updates):
        dates = collection.find({"_id": {"$in": list(edits)}}, {"last_modified_at": 1})
        late = set(edits) - {row["_id"] for row in dates if row["last_modified_at"] == edits[row["_id"]].stamp}
    written = {sample: edit for sample, edit in edits.items() if sample not in late}
    looked.move(dataset_id(dataset), {sample: (edit.read, edit.stamp) for sample, edit in written.items()})
    reload_samples(dataset, list(map(str, written)))
    return late


def said(row: Mapping[str, Any]) -> Said:
    """What is said of a mask now."""
    return Said(*(row.get(name) for name in Said._fields))


def change_of(place: str, pairs: Pairs) -> tuple[Document, list[Document]]:
    """The `$set` and `$unset` of an update, one array filter for all masks of which the same is said from now on."""
    alike: dict[Said, list[ObjectId]] = defaultdict(list)
    for mask, (_, after) in pairs.items():
        alike[after].append(mask)
    change: Document = defaultdict(dict)
    for number, after in enumerate(alike):
        for name, value in after._asdict().items():
            operator = "$unset" if value is None else "$set"
            change[operator][f"{place.format(f'm{number}')}.{name}"] = value
    filters = [{f"m{number}._id": {"$in": masks}} for number, masks in enumerate(alike.values())]
    return dict(change), filters


def later(read: datetime | None) -> datetime:
    """A date of change that a sample never had: a second change within a millisecond would go unseen by others."""
    return now() if read is None else max(now(), read + timedelta(milliseconds=1))


def now() -> datetime:
    """The date as the database holds it: in UTC, to the millisecond."""
    date = datetime.now(UTC).replace(tzinfo=None)
    return date.replace(microsecond=date.microsecond // 1000 * 1000)


def edit_of(document: Document, found: int, pairs: Pairs) -> Edit:
    """What is to become of a sample that was just read."""
    read = document.get("last_modified_at")
    return Edit(document["_id"], read, later(read), found, pairs)
