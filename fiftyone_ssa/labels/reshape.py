"""Decisions that change masks themselves, as other tools bring them back: written whole, guarded, and taken back.

What is said of a mask changes as in `labels.updates`; here its pixels may, too, and masks may be added. A sample's list
is written as one, only if nobody has changed the sample since it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import journal, looked
from fiftyone_ssa.labels.database import Document, dataset_id, reload_samples, samples_of
from fiftyone_ssa.labels.documents import check_size
from fiftyone_ssa.labels.journal import Drawn, Said
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.labels.updates import later, said

SHAPE = ("bounding_box", "mask", "mask_path", "area")
"""The attributes that hold a mask."""
TRIES = 20


@dataclass
class Change:
    """What is to become of one sample's masks."""

    said: dict[ObjectId, tuple[Said, Said]] = field(default_factory=dict)
    shapes: dict[ObjectId, Document] = field(default_factory=dict)
    """Mask to the `SHAPE` that it gets; what is left out goes."""
    added: list[Document] = field(default_factory=list)
    removed: set[ObjectId] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.said or self.shapes or self.added or self.removed)

    def drawn(self, rows: list[Document]) -> Drawn | None:
        """What the journal keeps of masks that change themselves."""
        if not self.shapes and not self.added:
            return None
        known = {row["_id"]: row for row in rows}
        shapes = [{"id": mask, "before": shape_of(known[mask]), "after": after} for mask, after in self.shapes.items()]
        return Drawn(shapes, self.added)

    def applied(self, rows: list[Any]) -> list[Any]:
        """The detections as they are to be; what is none stays as it is."""
        changed = []
        for row in rows:
            if not isinstance(row, Mapping) or "_id" not in row:
                changed.append(row)
                continue
            if row["_id"] in self.removed:
                continue
            new = dict(row)
            if row["_id"] in self.said:
                new |= self.said[row["_id"]][1]._asdict()
                new = {key: value for key, value in new.items() if value is not None or key not in Said._fields}
            if row["_id"] in self.shapes:
                new = {key: value for key, value in new.items() if key not in SHAPE} | self.shapes[row["_id"]]
            changed.append(new)
        return changed + self.added


Decide = Callable[[list[Document]], Change]
"""What is to become of a sample's detections, as they are now."""


def change_sample(
    dataset: fo.Dataset, label_field: str, sample: ObjectId, decide: Decide, token: str | None, action: str = ""
) -> Change:
    """Write what is decided of a sample's masks, and remember it under a token where there is one.

    Raises InputError if the sample is gone, if others keep changing it, or if its masks become too large.
    """
    for _ in range(TRIES):
        shown = {label_field: 1, "last_modified_at": 1}
        document: Document | None = samples_of(dataset).find_one({"_id": sample}, shown)
        if document is None:
            raise InputError("its sample is no longer there")
        label = document.get(label_field) or {"_cls": "Detections", "detections": []}
        rows = [dict(row) for row in whole_rows(label)]
        change = decide(rows)
        if not change:
            return change
        there = label.get("detections")
        new = {**label, "detections": change.applied(there if isinstance(there, list) else [])}
        check_size(new, len(new["detections"]))
        if token is not None:
            drawn = change.drawn(rows)
            extra = {sample: drawn} if drawn is not None else {}
            journal.record(dataset, label_field, token, action, {sample: change.said}, extra)
        if _write(dataset, label_field, document, new):
            return change
        if token is not None:
            journal.forget(token, [sample])
    raise InputError("others keep changing it; import again when they are done")


def taken_back(dataset: fo.Dataset, label_field: str, token: str, *, dry_run: bool) -> tuple[int, int, int]:
    """Take a decision back, sample by sample: the numbers of masks, of samples, and of masks that changed since."""
    masks = samples = changed = 0
    pairs, drawn = journal.masks_of(token), journal.drawn_of(token)
    for sample in dict.fromkeys([*pairs, *drawn]):
        before = _Before(pairs.get(sample, {}), drawn.get(sample, Drawn([], [])))
        try:
            if dry_run:
                document = samples_of(dataset).find_one({"_id": sample}, {label_field: 1}) or {}
                change = before.change([dict(row) for row in whole_rows(document.get(label_field))])
            else:
                change = change_sample(dataset, label_field, sample, before.change, None)
        except InputError:
            changed += before.count
            continue
        count = len(change.said | dict.fromkeys(change.shapes)) + len(change.removed)
        masks, samples, changed = masks + count, samples + bool(count), changed + before.count - count
    return masks, samples, changed


@dataclass(frozen=True)
class _Before:
    """What a decision found in a sample, and what it left."""

    pairs: Mapping[ObjectId, tuple[Said, Said]]
    drawn: Drawn

    @property
    def count(self) -> int:
        return len({*self.pairs, *(shape["id"] for shape in self.drawn.shapes)}) + len(self.drawn.added)

    def change(self, rows: list[Document]) -> Change:
        """What takes it back, of the masks that are still as it left them."""
        change = Change()
        shapes = {shape["id"]: shape for shape in self.drawn.shapes}
        added = {row["_id"]: row for row in self.drawn.added}
        for row in rows:
            mask = row["_id"]
            if mask in added and said(row) == said(added[mask]) and shape_of(row) == shape_of(added[mask]):
                change.removed.add(mask)
            if mask in shapes and shape_of(row) != shapes[mask]["after"]:
                continue
            if mask in self.pairs and said(row) not in self.pairs[mask]:
                continue
            if mask in self.pairs:
                change.said[mask] = (said(row), self.pairs[mask][0])
            if mask in shapes:
                change.shapes[mask] = shapes[mask]["before"]
        return change


def shape_of(row: Mapping[str, Any]) -> Document:
    """The attributes of a detection that hold its mask."""
    return {key: row[key] for key in SHAPE if row.get(key) is not None}


def _write(dataset: fo.Dataset, label_field: str, document: Document, label: Document) -> bool:
    """Write a sample that is as it was read; whether it was."""
    read = document.get("last_modified_at")
    stamp = later(read)
    where = {"_id": document["_id"], "last_modified_at": read}
    update = {"$set": {label_field: label, "last_modified_at": stamp}}
    if not samples_of(dataset).update_one(where, update).matched_count:
        return False
    looked.move(dataset_id(dataset), {document["_id"]: (read, stamp)})
    reload_samples(dataset, [str(document["_id"])])
    return True
