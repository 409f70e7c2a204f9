"""What was there before an ontology was applied: kept in FiftyOne's database, one document a sample, until undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo.errors import DocumentTooLarge, WriteError

from fiftyone_ssa.curation.ontology_app import forget_classes
from fiftyone_ssa.errors import InputError, counted, said_by, shown
from fiftyone_ssa.labels.database import (
    Document,
    dataset_id,
    needs_database,
    own_collection,
    reload_samples,
    root_dataset,
    samples_of,
)
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.review import label_digest
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.labels.updates import later

COLLECTION = "ontologies"
BATCH_SAMPLES = 16


@dataclass(frozen=True)
class Before:
    """What a sample had where an ontology was applied."""

    label: Document | None = None
    """The field's value."""
    values: Mapping[ObjectId, str | None] = field(default_factory=dict)
    """Or an attribute's, by mask."""


@dataclass(frozen=True)
class Written:
    """What a sample is to have, if nobody changes it before."""

    id: ObjectId
    read: datetime | None
    """`last_modified_at` as it was read."""
    stamp: datetime
    """`last_modified_at` as it is to be."""
    before: Before
    label: Document | None = None
    """The field's new value; None: the attribute's `values`."""
    values: Mapping[ObjectId, str | None] = field(default_factory=dict)

    def update(self, target: str, attribute: str) -> tuple[Document, Document, list[Document]]:
        """Which sample, what to change, and which masks that names."""
        where = {"_id": self.id, "last_modified_at": self.read}
        if not attribute:
            return where, _set({target: self.label, "last_modified_at": self.stamp}), []
        change, filters = _change(f"{target}.detections", attribute, self.values)
        change.setdefault("$set", {})["last_modified_at"] = self.stamp
        return where, change, filters


@dataclass(frozen=True)
class Undone:
    """What was taken back."""

    token: str
    to: str
    samples: int
    changed: int
    """Images that stay as they are, since somebody changed their masks there afterwards."""

    def __str__(self) -> str:
        told = f"took back the classes of {counted(self.samples, 'image')} in {self.to!r}"
        return told + (f"; {counted(self.changed, 'image')} changed since stay" if self.changed else "")


def record(dataset: fo.Dataset, to: str, token: str, written: Iterable[Written]) -> dict[ObjectId, str]:
    """Remember what samples had, before they change: a process that is killed in between loses nothing.

    Answers the samples of which that is not possible, with the reason.
    """
    failed: dict[ObjectId, str] = {}
    collection = own_collection(COLLECTION)
    collection.create_index([("dataset", 1), ("to", 1), ("undone", 1), ("at", -1)])
    collection.create_index("token")
    for entry in written:  # one by one: each may be as large as a document can be
        row = {"dataset": dataset_id(dataset), "to": to, "token": token, "at": datetime.now(UTC), "undone": False}
        values = [[mask, entry.before.values.get(mask), value] for mask, value in entry.values.items()]
        row |= {"sample": entry.id, "before": entry.before.label, "values": values, "digest": label_digest(entry.label)}
        try:
            collection.replace_one({"token": token, "sample": entry.id}, row, upsert=True)
        except (DocumentTooLarge, WriteError) as error:
            failed[entry.id] = f"what it had is too large to be kept: {said_by(error, 120)}"
    return failed


def last_values(dataset: fo.Dataset, to: str, samples: Iterable[ObjectId]) -> dict[ObjectId, dict[ObjectId, Any]]:
    """What ontologies last gave an attribute of the masks of samples, by sample and mask; what was undone is none."""
    where = {"dataset": dataset_id(dataset), "to": to, "undone": False, "sample": {"$in": list(samples)}}
    found: dict[ObjectId, dict[ObjectId, Any]] = {}
    for row in own_collection(COLLECTION).find(where, {"sample": 1, "values": 1}).sort([("at", 1), ("_id", 1)]):
        found.setdefault(row["sample"], {}).update({mask: after for mask, _, after in row["values"]})
    return found


def drop(token: str, samples: Iterable[ObjectId]) -> None:
    """Strike samples that were not written after all."""
    own_collection(COLLECTION).delete_many({"token": token, "sample": {"$in": list(samples)}})


def applied_to(dataset: fo.Dataset) -> list[str]:
    """What ontologies were applied to, and not taken back, the last one first."""
    stages: list[Document] = [
        {"$match": {"dataset": dataset_id(dataset), "undone": False}},
        {"$group": {"_id": "$to", "at": {"$max": "$at"}}},
        {"$sort": {"at": -1, "_id": 1}},
    ]
    return [row["_id"] for row in own_collection(COLLECTION).aggregate(stages)]


@needs_database()
def undo_ontology(samples: Any, to: str, token: str | None = None) -> Undone:
    """Take back an ontology that was applied: the last one on `to` that is not taken back yet, or the one of a token.

    The field, or the attribute, has what it had before; a field that is empty then goes. Images whose masks somebody
    renamed, reviewed, added or removed there since stay as they are.

    Args:
        samples: the dataset, or any view of it
        to: what was passed to `apply`
        token (None): the one of `Applied`

    Raises InputError if there is none.
    """
    dataset, rows = root_dataset(samples), own_collection(COLLECTION)
    where: Document = {"dataset": dataset_id(dataset), "to": to, "undone": False}
    if token is not None:
        where["token"] = token
    last = rows.find_one(where, {"token": 1}, sort=[("at", -1), ("_id", -1)])
    if last is None:
        what = "no ontology" if token is None else f"no ontology {shown(token)}"
        raise InputError(f"{what} was applied to {shown(to)} of {dataset.name!r} that is not taken back already")
    field_name, _, attribute = to.partition(".detections.")
    done = changed = 0
    with hold(dataset, field_name):
        for row in rows.find({"token": last["token"], "undone": False}, batch_size=BATCH_SAMPLES):
            restored = _restore(dataset, field_name, attribute, row)
            done, changed = done + restored, changed + (not restored)
        rows.update_many({"token": last["token"]}, {"$set": {"undone": True}, "$unset": {"before": 1}})
        if not attribute:
            _delete_if_empty(dataset, field_name)
    return Undone(last["token"], to, done, changed)


def _restore(dataset: fo.Dataset, target: str, attribute: str, row: Document) -> bool:
    """Give one sample back what it had; whether that was possible."""
    collection = samples_of(dataset)
    now = collection.find_one({"_id": row["sample"]}, {target: 1, "last_modified_at": 1})
    if now is None:
        return False
    filters: list[Document] = []
    if attribute:
        has = {each["_id"]: each.get(attribute) for each in whole_rows(now.get(target))}
        same = {mask: before for mask, before, after in row["values"] if has.get(mask) == after and mask in has}
        if not same:
            return False
        change, filters = _change(f"{target}.detections", attribute, same)
    elif label_digest(now.get(target)) != row["digest"]:
        return False
    else:
        change = _set({target: row["before"]})
    change.setdefault("$set", {})["last_modified_at"] = later(now.get("last_modified_at"))
    where = {"_id": row["sample"], "last_modified_at": now.get("last_modified_at")}
    written = bool(
        collection.update_one(where, change, **({"array_filters": filters} if filters else {})).matched_count
    )
    reload_samples(dataset, [str(row["sample"])])
    return written


def _delete_if_empty(dataset: fo.Dataset, target: str) -> None:
    """Delete the field where an ontology made it and nothing is left in it."""
    others = {"dataset": dataset_id(dataset), "to": target, "undone": False}
    if samples_of(dataset).find_one({target: {"$ne": None}}, {"_id": 1}) or own_collection(COLLECTION).find_one(others):
        return
    with hold(dataset, SCHEMA, wait_seconds=30):
        if dataset.has_sample_field(target):
            dataset.delete_sample_field(target)
            forget_classes(dataset, target)


def _set(values: Mapping[str, Any]) -> Document:
    """An update that sets values; None is absent."""
    there = {name: value for name, value in values.items() if value is not None}
    gone = dict.fromkeys(set(values) - set(there), "")
    return {**({"$set": there} if there else {}), **({"$unset": gone} if gone else {})}


def _change(place: str, attribute: str, values: Mapping[ObjectId, str | None]) -> tuple[Document, list[Document]]:
    """An update of an attribute of masks by id, one array filter for all that get the same."""
    alike: dict[str | None, list[ObjectId]] = {}
    for mask, value in values.items():
        alike.setdefault(value, []).append(mask)
    named = {f"{place}.$[m{number}].{attribute}": value for number, value in enumerate(alike)}
    filters = [{f"m{number}._id": {"$in": masks}} for number, masks in enumerate(alike.values())]
    return _set(named), filters
