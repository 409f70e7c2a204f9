"""Decisions on their way to the database: one conditional update a sample, and never a whole list of masks.

A sample is written only as it was when it was read, as `labels.writer` does it, so that neither a run on the same field
nor another person loses anything; of a mask only `label`, `review` and `reviewed_at` change, never what SSA said of it.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo import UpdateMany, UpdateOne

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import journal, looked
from fiftyone_ssa.labels.database import (
    Document,
    dataset_id,
    is_generated,
    reload_samples,
    root_dataset,
    samples_of,
    shown_dataset,
)
from fiftyone_ssa.labels.documents import declare_detections
from fiftyone_ssa.labels.journal import Said
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.shown import masks_of, object_ids

BATCH_SAMPLES = 100
TRIES = 20
"""How often a sample is read again that others change meanwhile."""
_READ = (
    *("_id", "label", "class_name", "mask_digest", "review", "reviewed_at"),
    *("class_proposals", "proposal_scores", "vote_margin"),
)
_VERBS = {
    "accept": ("accepts", "accepted"),
    "reject": ("rejects", "rejected"),
    "reopen": ("reopens", "reopened"),
    "relabel": ("names", "named"),
    "rename": ("renames", "renamed"),
    "undo": ("takes back", "took back"),
}
Change = Callable[[Document], Said | None]
"""What is to be said of a mask from now on, None where it stays as it is."""


@dataclass(frozen=True)
class Decision:
    """What was decided, or would be."""

    token: str | None
    """For `undo`; None where nothing was written."""
    action: str
    masks: int
    samples: int
    detail: str = ""
    note: str = ""
    dry_run: bool = False

    def __str__(self) -> str:
        verb = _VERBS[self.action][not self.dry_run]
        if not self.masks:
            return f"{verb} no mask{self.detail}" + (f"; {self.note}" if self.note else "")
        counts = f"{counted(self.masks, 'mask')}{self.detail} in {counted(self.samples, 'image')}"
        return f"{verb} {counts}" + (f"; {self.note}" if self.note else "")


@dataclass(frozen=True)
class Work:
    """Masks of a field to decide about."""

    samples: Any
    """The collection that was given: its patches show the decision, too."""
    dataset: fo.Dataset
    field: str
    masks: Mapping[ObjectId, Collection[ObjectId]]
    """Sample to masks; ids of other samples may be among them."""
    asked: int | None = None
    """How many ids were asked for; None where the view chose."""
    dry_run: bool = False


def work_on(samples: Any, label_field: str, ids: Any, sample_ids: Any, dry_run: bool) -> Work:
    """The masks with the ids, or all that a view shows. Raises InputError for what is no id."""
    dataset = root_dataset(samples)
    if ids is None:
        masks: dict[ObjectId, Collection[ObjectId]] = {}
        for row in masks_of(samples, label_field, {"ids": "$$this._id"}):
            if row["ids"]:  # patches of one image come one by one
                masks[row["sample"]] = {*masks.get(row["sample"], ()), *row["ids"]}
        return Work(samples, dataset, label_field, masks, None, dry_run)
    wanted = object_ids("ids", ids)
    if sample_ids is not None:
        images = object_ids("sample_ids", sample_ids)
    else:
        where = {f"{label_field}.detections._id": {"$in": list(wanted)}}
        images = set(samples_of(dataset).distinct("_id", where)) if wanted else set()
    return Work(samples, dataset, label_field, dict.fromkeys(images, wanted), len(wanted), dry_run)


def decide(
    work: Work, action: str, change: Change, *, detail: str = "", note: str = "", recorded: bool = True
) -> Decision:
    """Write what `change` says of each mask, or count what it would say.

    Raises InputError if none of the ids that were asked for is there, or if others keep changing a sample.
    """
    writer = _Writer(work, action, change, secrets.token_hex(6), recorded)
    if work.masks and not work.dry_run:
        _declare(work)
    remaining = iter(work.masks)
    while chunk := list(islice(remaining, BATCH_SAMPLES)):
        writer.write(chunk)
    gone = (work.asked or 0) - writer.found
    if work.asked and gone == work.asked:
        raise InputError(
            f"none of the {counted(gone, 'mask')} is in {work.field!r} of {work.dataset.name!r}; "
            "they were deleted, or a run replaced them"
        )
    notes = [note, f"{counted(gone, 'mask')} {'is' if gone == 1 else 'are'} no longer there" if gone > 0 else ""]
    token = writer.token if writer.masks and not work.dry_run else None
    told = "; ".join(filter(None, notes))
    return Decision(token, action, writer.masks, writer.samples, detail, told, work.dry_run)


class _Writer:
    """Writes one decision, some samples at a time."""

    def __init__(self, work: Work, action: str, change: Change, token: str, recorded: bool) -> None:
        self.work, self.action, self.change, self.token, self.recorded = work, action, change, token, recorded
        self.found = self.masks = self.samples = 0

    def write(self, samples: Iterable[ObjectId]) -> None:
        """Decide about the masks of some samples."""
        waiting = set(samples)
        for _ in range(TRIES):
            read = self._read(waiting)
            if self.work.dry_run:
                return self._count(read)
            decided = {edit.id: edit for edit in read if edit.pairs}
            waiting = self._write_once(decided)
            self._count([edit for edit in read if edit.id not in waiting])
            if not waiting:
                return None
        raise InputError(
            f"others keep changing {counted(len(waiting), 'image')} of these; decide again when they are done"
        )

    def _read(self, samples: Collection[ObjectId]) -> list[Edit]:
        """What is to become of some samples as they are now; those that are gone are left out."""
        wanted = {"last_modified_at": 1, **{f"{self.work.field}.detections.{name}": 1 for name in _READ}}
        documents = samples_of(self.work.dataset).find({"_id": {"$in": list(samples)}}, wanted)
        return [self._decided(document) for document in documents]

    def _decided(self, document: Document) -> Edit:
        wanted = self.work.masks[document["_id"]]
        rows = [
            row for row in (document.get(self.work.field) or {}).get("detections") or () if row.get("_id") in wanted
        ]
        pairs = {}
        for row in rows:
            if (after := self.change(row)) is not None:
                pairs[row["_id"]] = (said(row), after)
        return edit_of(document, len(rows), pairs)

    def _write_once(self, edits: Mapping[ObjectId, Edit]) -> set[ObjectId]:
        """Write samples as they were read; those that someone changed in between come back."""
        if not edits:
            return set()
        if self.recorded:
            pairs = {sample: edit.pairs for sample, edit in edits.items()}
            journal.record(self.work.dataset, self.work.field, self.token, self.action, pairs)
        late = write(self.work.dataset, self.work.field, edits)
        if late and self.recorded:
            journal.forget(self.token, late)
        if is_generated(self.work.samples):
            _show_in_patches(self.work, [edit for sample, edit in edits.items() if sample not in late])
        return late

    def _count(self, edits: Iterable[Edit]) -> None:
        for edit in edits:
            self.found += edit.found
            self.masks += len(edit.pairs)
            self.samples += bool(edit.pairs)


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
    pairs: journal.Pairs

    def update(self, field: str) -> UpdateOne:
        """The update, if nobody changes the sample before."""
        where = {"_id": self.id, "last_modified_at": self.read}
        change, filters = _change(f"{field}.detections.$[{{}}]", self.pairs)
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


def _change(place: str, pairs: journal.Pairs) -> tuple[Document, list[Document]]:
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


def now() -> datetime:
    """The date as the database holds it: in UTC, to the millisecond."""
    date = datetime.now(UTC).replace(tzinfo=None)
    return date.replace(microsecond=date.microsecond // 1000 * 1000)


def edit_of(document: Document, found: int, pairs: journal.Pairs) -> Edit:
    """What is to become of a sample that was just read."""
    read = document.get("last_modified_at")
    # never a date that the sample had: a second change within a millisecond would go unseen by other writers
    stamp = now() if read is None else max(now(), read + timedelta(milliseconds=1))
    return Edit(document["_id"], read, stamp, found, pairs)


def _show_in_patches(work: Work, written: Iterable[Edit]) -> None:
    """The same in the dataset that FiftyOne made of a view's patches, which holds copies of the masks."""
    patches = shown_dataset(work.samples)
    lists = patches.get_field(f"{work.field}.detections") is not None
    updates = []
    for sample in written:
        if lists:
            change, filters = _change(f"{work.field}.detections.$[{{}}]", sample.pairs)
            where = {"_sample_id": sample.id, f"{work.field}.detections._id": {"$in": list(sample.pairs)}}
            updates.append(UpdateMany(where, change, array_filters=filters))
            continue
        for mask, pair in sample.pairs.items():
            change, _ = _change(work.field, {mask: pair})
            updates.append(UpdateMany({"_sample_id": sample.id, f"{work.field}._id": mask}, change))
    if updates:
        samples_of(patches).bulk_write(updates, ordered=False)
        patch_ids = samples_of(patches).distinct("_id", {"_sample_id": {"$in": [sample.id for sample in written]}})
        reload_samples(patches, [str(patch) for patch in patch_ids])


def _declare(work: Work) -> None:
    """Declare what a decision writes where SSA never named a mask."""
    there = work.dataset.get_field
    missing = [name for name in ("review", "reviewed_at") if there(f"{work.field}.detections.{name}") is None]
    if missing:
        with hold(work.dataset, SCHEMA, wait_seconds=30):
            declare_detections(work.dataset, work.field, missing)


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
