"""Decisions on their way to the database: which masks, what becomes of each, and what is told of it."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias

import fiftyone as fo
from bson import ObjectId
from pymongo import UpdateMany

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels import journal
from fiftyone_ssa.labels.database import (
    Document,
    is_generated,
    reload_samples,
    root_dataset,
    samples_of,
    shown_dataset,
)
from fiftyone_ssa.labels.documents import declare_detections
from fiftyone_ssa.labels.journal import Said
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.review import REVIEWS
from fiftyone_ssa.labels.shown import masks_of, object_ids
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.labels.updates import Edit, change_of, edit_of, now, said, write

BATCH_SAMPLES = 100
ASKED_AT_A_TIME = 100_000
"""Ids in one question."""
TRIES = 20
"""How often a sample is read again that others change meanwhile."""
_READ = (
    *("_id", "label", "class_name", "mask_digest", *Said._fields[1:]),
    *("class_proposals", "proposal_scores", "vote_margin"),
)
_VERBS = {
    "accept": ("accepts", "accepted"),
    "reject": ("rejects", "rejected"),
    "reopen": ("reopens", "reopened"),
    "relabel": ("names", "named"),
    "rename": ("renames", "renamed"),
    "import": ("brings in", "brought in"),
    "undo": ("takes back", "took back"),
}
_OVERRULING = ("reject", "relabel", "rename")
"""What changes masks of a view that people reviewed already, which is told."""
Row: TypeAlias = Mapping[str, Any]
"""A mask as the database holds it."""
Change: TypeAlias = Callable[[Row], Said | None]
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
    labels: Mapping[str | None, int] = field(default_factory=dict)
    """Masks by the label that they had."""

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
    masks: Mapping[ObjectId, Collection[ObjectId]] | None
    """Sample to masks, ids of other samples may be among them; None: all that the collection shows."""
    asked: int | None = None
    """How many ids were asked for; None where the view chose."""
    dry_run: bool = False


def work_on(samples: Any, label_field: str, ids: Any, sample_ids: Any, dry_run: bool) -> Work:
    """The masks with the ids, or all that a view shows. Raises InputError for what is no id."""
    dataset = root_dataset(samples)
    if ids is None:
        if sample_ids is not None:
            raise InputError("sample_ids say where ids are; pass ids, too, or instead a view of these images")
        return Work(samples, dataset, label_field, None, dry_run=dry_run)
    wanted = object_ids("ids", ids)
    if sample_ids is not None:
        images = object_ids("sample_ids", sample_ids)
    else:
        images, rest = set[ObjectId](), iter(wanted)  # in parts, as neither a question nor an answer may have 16 MB
        while some := list(islice(rest, ASKED_AT_A_TIME)):
            found = samples_of(dataset).find({f"{label_field}.detections._id": {"$in": some}}, {"_id": True})
            images |= {row["_id"] for row in found}
    return Work(samples, dataset, label_field, dict.fromkeys(images, wanted), len(wanted), dry_run)


def decide(
    work: Work, action: str, change: Change, *, detail: str = "", note: str = "", recorded: bool = True
) -> Decision:
    """Write what `change` says of each mask, or count what it would say.

    Raises InputError if none of the ids that were asked for is there, or if others keep changing a sample.
    """
    shown = _shown(work, change) if work.masks is None else {}
    masks = shown if work.masks is None else work.masks
    writer = _Writer(replace(work, masks=masks), action, change, secrets.token_hex(6), recorded)
    if masks and not work.dry_run:
        _declare(work)
    if shown and work.dry_run:
        writer.count(Edit(sample, None, now(), 0, pairs) for sample, pairs in shown.items())
    remaining = iter(() if shown and work.dry_run else masks)
    while chunk := list(islice(remaining, BATCH_SAMPLES)):
        writer.write(chunk)
    gone = (work.asked or 0) - writer.found
    if work.asked and gone == work.asked:
        raise InputError(
            f"none of the {counted(gone, 'mask')} is in {work.field!r} of {work.dataset.name!r}; "
            "they were deleted, or a run replaced them"
        )
    is_gone = f"{counted(gone, 'mask')} {'is' if gone == 1 else 'are'} no longer there" if gone > 0 else ""
    told = [note, *_told(work, action, writer.reviewed), is_gone]
    return Decision(
        writer.token if writer.masks and not work.dry_run else None,
        action,
        writer.masks,
        writer.samples,
        detail,
        "; ".join(filter(None, told)),
        work.dry_run,
        dict(writer.labels),
    )


def _told(work: Work, action: str, reviewed: int) -> list[str]:
    """That masks of a view were reviewed already, where that is overruled."""
    if work.asked is not None or action not in _OVERRULING or not reviewed:
        return []
    return [f"{reviewed} of them {'was' if reviewed == 1 else 'were'} reviewed already"]


def _shown(work: Work, change: Change) -> Mapping[ObjectId, journal.Pairs]:
    """Of all masks that a view shows, sample by sample, those of which something is to be said."""
    found: dict[ObjectId, dict[ObjectId, tuple[Said, Said]]] = {}
    columns = {name: {"$ifNull": [f"$$this.{name}", None]} for name in _READ}
    for sample in masks_of(work.samples, work.field, columns):
        for values in zip(*(sample[name] for name in columns), strict=True):
            row = dict(zip(columns, values, strict=True))
            if (after := change(row)) is not None:  # patches of one image come one by one
                found.setdefault(sample["sample"], {})[row["_id"]] = (said(row), after)
    return found


class _Writer:
    """Writes one decision, some samples at a time."""

    def __init__(self, work: Work, action: str, change: Change, token: str, recorded: bool) -> None:
        self.work, self.action, self.change, self.token, self.recorded = work, action, change, token, recorded
        self.found = self.masks = self.samples = self.reviewed = 0
        self.labels: Counter[str | None] = Counter()

    def write(self, samples: Iterable[ObjectId]) -> None:
        """Decide about the masks of some samples."""
        waiting = set(samples)
        for _ in range(TRIES):
            read = self._read(waiting)
            if self.work.dry_run:
                return self.count(read)
            decided = {edit.id: edit for edit in read if edit.pairs}
            waiting = self._write_once(decided)
            self.count([edit for edit in read if edit.id not in waiting])
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
        wanted = (self.work.masks or {})[document["_id"]]
        rows = [row for row in whole_rows(document.get(self.work.field)) if row["_id"] in wanted]
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

    def count(self, edits: Iterable[Edit]) -> None:
        """Add up what became of samples."""
        for edit in edits:
            self.found += edit.found
            self.masks += len(edit.pairs)
            self.samples += bool(edit.pairs)
            self.reviewed += sum(before.review in REVIEWS for before, _ in edit.pairs.values())
            self.labels.update(before.label for before, _ in edit.pairs.values())


def _show_in_patches(work: Work, written: Iterable[Edit]) -> None:
    """The same in the dataset that FiftyOne made of a view's patches, which holds copies of the masks."""
    patches = shown_dataset(work.samples)
    lists = patches.get_field(f"{work.field}.detections") is not None
    updates = []
    for sample in written:
        if lists:
            change, filters = change_of(f"{work.field}.detections.$[{{}}]", sample.pairs)
            where = {"_sample_id": sample.id, f"{work.field}.detections._id": {"$in": list(sample.pairs)}}
            updates.append(UpdateMany(where, change, array_filters=filters))
            continue
        for mask, pair in sample.pairs.items():
            change, _ = change_of(work.field, {mask: pair})
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
