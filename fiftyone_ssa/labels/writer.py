"""Results into a FiftyOne dataset: PNG files first, then label, stamps and error of a sample in one document update.

What people do to a sample while a run goes on is kept: a document is written only as it was when it was read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import fiftyone as fo
from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, WriteError

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import embeddings, looked
from fiftyone_ssa.labels.database import Document, dataset_document, dataset_id, reload_samples, samples_of
from fiftyone_ssa.labels.documents import (
    LEVEL_ATTRIBUTES,
    SOURCE_NAMES,
    UnstorableError,
    annotation_document,
    attributes_of,
    check_size,
    declare_detections,
    declare_fields,
    extended_targets,
    name_documents,
    segmentation_document,
)
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.lease import SCHEMA, Lease, hold
from fiftyone_ssa.labels.levels import with_levels
from fiftyone_ssa.labels.merge import Merged, beside_touched, in_place
from fiftyone_ssa.labels.metadata import mended
from fiftyone_ssa.labels.source import Taken
from fiftyone_ssa.labels.stamps import run_of
from fiftyone_ssa.labels.updates import later
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.types import Annotation, Embeddings, MaskSet, Result, SemanticMap

BATCH_SAMPLES = 16
BATCH_SECONDS = 5.0
TRIES = 20
"""How often a sample is read again that others change while it is written."""


@dataclass(eq=False)
class _Entry:
    """One sample's result on its way to the database."""

    id: str
    values: Document
    """What to set, apart from the label."""
    label: Document | None = None
    """The new Detections; None for a failure, or where masks are named in place."""
    names: Mapping[ObjectId, Document] | None = None
    """What a run says of masks that stay, by their ids."""
    masks: MaskSet | None = None
    taken: Taken | None = None
    """What the labels are made from; None for a failure."""
    mask_ids: Sequence[ObjectId] = ()
    embeddings: Embeddings | None = None
    """Of the masks with those ids, where they are kept."""
    unlabelled: int = 0
    files: list[Path] = field(default_factory=list)
    kept: int = 0
    unused: tuple[str, ...] = ()
    """Files of masks that gave way to one that a person touched."""
    dates: tuple[datetime | None, datetime] | None = None
    """`last_modified_at` that it was written upon, and the one that it set."""


@dataclass
class LabelWriter:
    """Writes results of one run to a dataset in bounded batches; `write` may be called from a thread of its own.

    A sample's files lie in `folder/<field>/<sample id>-<run>.png`, so that no two labels ever share one.
    """

    dataset: fo.Dataset
    fields: Fields
    run: str
    """The run's token."""
    fingerprint: str
    """What `fields.preset` holds for finished samples."""
    folder: Path
    lease: Lease
    taken: dict[str, Taken]
    """Sample id to what its labels are made from."""
    everything: bool = False
    """Whether masks that people touched go, too."""
    in_place: bool = False
    """Whether the masks are those of the field itself, which stay."""
    levels: bool = False
    """Whether each mask gets its `level`, `parent` and `duplicate_of`, those that people touched among them."""
    inline_bytes: int | None = None
    """How much an image's masks may take in the database; more goes to files. None: `documents.MAX_INLINE_BYTES`."""
    from_before: frozenset[str] = frozenset()
    """Samples whose labels are of a version that wrote no `class_name`."""
    refused: dict[str, str] = field(default_factory=dict)
    """Sample id to why it could not be written."""
    deleted: set[str] = field(default_factory=set)
    """Samples that were deleted while the run went on."""
    kept: int = 0
    """Masks that stayed as people left them."""
    unwritten_masks: int = 0
    unwritten_unlabelled: int = 0
    _declared: frozenset[str] = frozenset()
    _names_declared: bool = False
    _queue: list[_Entry] = field(default_factory=list)
    _flushed: float = field(default_factory=time.monotonic)
    _values: dict[tuple[str, tuple[str, ...]], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # known once and for all: FiftyOne answers nothing about a dataset that is deleted
        self._identity, self._name = dataset_id(self.dataset), self.dataset.name
        self._collection = samples_of(self.dataset)
        keys = self.dataset.list_evaluations()
        self._evaluated = frozenset(f"{key}{what}" for key in keys for what in ("", "_id", "_iou"))

    def declare(self, preset: Preset, keep_branch: bool, keep_embeddings: bool = False) -> None:
        """Declare every field that this run fills, so that the App's sidebar shows and filters them."""
        types = self.fields.types(preset.pipeline, keep_branch)
        with hold(self.dataset, SCHEMA, wait_seconds=30):
            declare_fields(self.dataset, types)
            painted = [f"{name}.painted_from" for name, kind in types.items() if kind is fo.Segmentation]
            levels = LEVEL_ATTRIBUTES if self.levels else ()
            declare_detections(self.dataset, self.fields.label, (*attributes_of(preset), *levels), painted)
            if keep_embeddings:
                embeddings.declare(self.dataset, self.fields.label)
        self._declared = frozenset(types)

    def write(self, result: Result) -> None:
        """Queue one result. Raises InputError if the disk does not take its files."""
        taken = self.taken.pop(result.id, None)
        if result.annotation is None or taken is None:
            self._queue.append(self._failure(result.id, result.error or "unknown error"))
        else:
            try:
                self._queue.append(self._entry(result.id, result.annotation, taken))
            except UnstorableError as error:
                self._refuse(_Entry(result.id, {}, masks=result.annotation.masks), str(error))
        if len(self._queue) >= BATCH_SAMPLES or time.monotonic() - self._flushed > BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is queued. Raises InputError if the dataset or a field is gone, or another run took over."""
        queue, self._queue, self._flushed = self._queue, [], time.monotonic()
        waiting = queue
        for _ in range(TRIES):
            if not waiting:
                break
            self._check_lease(waiting)
            waiting = self._write_once(waiting)
        for entry in waiting:
            self._refuse(entry, "others keep changing this sample; run again when they are done")
        if queue:
            self.check_there(queue)
            reload_samples(self.dataset, [entry.id for entry in queue])

    def check_there(self, written: Sequence[_Entry] = ()) -> None:
        """Raise InputError if the dataset or a field is gone; what was just written to a lost field is taken back."""
        document = dataset_document(self._identity)
        if document is not None:
            names = {row["name"] for row in document["sample_fields"]}
            gone = sorted(self._declared - names)
            if not gone:
                return
            self._collection.update_many(
                {"_id": {"$in": [ObjectId(entry.id) for entry in written]}}, {"$unset": dict.fromkeys(gone, "")}
            )
        else:
            for entry in written:
                self._forget(entry)
        what = f"dataset {self._name!r}" if document is None else f"field {gone[0]!r} of {self._name!r}"
        raise InputError(f"{what} was deleted or renamed while its samples were annotated; the run ends here")

    def _check_lease(self, waiting: Sequence[_Entry]) -> None:
        try:
            self.lease.check()
        except InputError:
            for entry in waiting:
                self._forget(entry)
            raise

    def _entry(self, sample_id: str, annotation: Annotation, taken: Taken) -> _Entry:
        entry = _Entry(
            sample_id,
            {self.fields.preset: self.fingerprint},
            masks=annotation.masks,
            taken=taken,
            unlabelled=annotation.unlabelled,
        )
        entry.values[self.fields.error] = None
        name = f"{sample_id}-{self.run}"
        if any(annotation.masks.source_names) and not self._names_declared:
            with hold(self.dataset, SCHEMA, wait_seconds=30):
                declare_detections(self.dataset, self.fields.label, SOURCE_NAMES)
            self._names_declared = True
        if self.in_place:
            entry.names = dict(zip(taken.mask_ids, name_documents(annotation), strict=True))
        else:
            mask_folder = self.folder / self.fields.masks_folder / name
            entry.label = annotation_document(annotation, mask_folder, self.inline_bytes)
            entry.files += [Path(row["mask_path"]) for row in entry.label["detections"] if "mask_path" in row]
        if annotation.embeddings is not None:
            entry.embeddings = annotation.embeddings
            entry.mask_ids = taken.mask_ids if entry.label is None else [r["_id"] for r in entry.label["detections"]]
            entry.files.append(self._embeddings_file(sample_id))
        for map_name, semantic in (
            (self.fields.semantic, annotation.semantic),
            (self.fields.branch, annotation.branch),
        ):
            if semantic is not None:
                path = self.folder / map_name / f"{name}.png"
                values = self._pixel_values(map_name, semantic)
                entry.values[map_name] = segmentation_document(semantic, path, values)
                entry.files.append(path)
            elif self.dataset.has_sample_field(map_name):
                entry.values[map_name] = None  # a map of what was there before would not fit these labels
        return entry

    def _pixel_values(self, name: str, semantic: SemanticMap) -> list[int]:
        """The pixel values of a map's classes, which the field's mask targets hold from now on."""
        key = (name, semantic.names)
        if key not in self._values:
            targets = self.dataset.mask_targets.get(name) or {}
            if not any(known == name for known, _ in self._values) and not self._holds(name):
                targets = {}
            if not all(isinstance(value, int) for value in targets):
                raise InputError(f"{name!r} has mask targets that are no whole numbers; choose another label_field")
            extended, values = extended_targets(targets, semantic.names)
            if max(values, default=0) > 65535:
                raise InputError(f"{name!r} has held more class names than pixels can; choose another label_field")
            if extended != self.dataset.mask_targets.get(name):
                self.dataset.mask_targets[name] = extended
                self.dataset.save()
            self._values[key] = values
        return self._values[key]

    def _holds(self, name: str) -> bool:
        return self._collection.find_one({name: {"$type": "object"}}, {"_id": 1}) is not None

    def _failure(self, sample_id: str, reason: str) -> _Entry:
        return _Entry(sample_id, {self.fields.error: reason.encode("utf-8", "backslashreplace").decode()})

    def _write_once(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Write entries onto samples as they are now; those that someone changed in between come back."""
        current = self._current(entries)
        ready: list[tuple[_Entry, UpdateOne]] = []
        for entry in entries:
            document = current.get(entry.id)
            if document is None:
                self._forget(entry)
                self.deleted.add(entry.id)
                continue
            try:
                ready.append((entry, self._update(entry, document)))
            except InputError as error:
                self._refuse(entry, str(error))
        if not ready:
            return []
        changed_meanwhile = False
        try:
            written = self._collection.bulk_write([update for _, update in ready], ordered=False)
            changed_meanwhile = written.matched_count < len(ready)
        except BulkWriteError as failure:
            changed_meanwhile = True
            for row in failure.details["writeErrors"]:
                self._refuse(ready[row["index"]][0], f"the database refuses its labels: {row['errmsg']}")
        left = [entry for entry, _ in ready if entry.id not in self.refused]
        unwritten = self._unwritten(left) if changed_meanwhile else []
        written = [entry for entry in left if entry not in unwritten]
        for entry in written:
            self.kept += entry.kept
            _remove(entry.unused)
        self._looked(written)
        return unwritten

    def _looked(self, written: Sequence[_Entry]) -> None:
        """These samples need not be looked through for people's edits: what was there is gone, or known."""
        dates = {ObjectId(entry.id): entry.dates for entry in written if entry.dates}
        looked.move(self._identity, dates)
        fresh = {ObjectId(entry.id): entry.dates[1] for entry in written if entry.dates and not entry.kept}
        looked.record(self._identity, self.fields.label, fresh)

    def _current(self, entries: Iterable[_Entry]) -> dict[str, Document]:
        """Sample id to what is there now of the samples of some entries."""
        ids = [ObjectId(entry.id) for entry in entries]
        shown = {"last_modified_at": 1, "filepath": 1, "metadata": 1, self.fields.inputs: 1, self.fields.label: 1}
        return {str(row["_id"]): row for row in self._collection.find({"_id": {"$in": ids}}, shown)}

    def _update(self, entry: _Entry, document: Document) -> UpdateOne:
        """The update of one sample. Raises InputError or an error of BSON if no document can hold it."""
        values = {**entry.values, "last_modified_at": later(document.get("last_modified_at"))}
        where: Document = {"_id": document["_id"]}
        if entry.taken is not None and entry.masks is not None:
            where["last_modified_at"] = document.get("last_modified_at")
            entry.dates = (document.get("last_modified_at"), values["last_modified_at"])
            old = document.get(self.fields.label)
            merged = self._merged(entry, old)
            label = self._with_embeddings(entry, merged.label, old)
            if self.levels:
                alone = merged.label is entry.label  # no mask of before stays
                label = with_levels(label, entry.masks.size_hw, entry.masks if alone else None)
            values[self.fields.label] = label
            values[self.fields.inputs] = entry.taken.stamp(len(merged.label["detections"]), self.run)
            entry.kept, entry.unused = merged.kept, merged.unused_files
            size_hw = entry.masks.size_hw
            if (metadata := mended(document.get("metadata"), document["filepath"], size_hw)) is not None:
                values["metadata"] = metadata
            if values.get(self.fields.semantic) is not None:
                values[self.fields.semantic] = {**values[self.fields.semantic], "painted_from": merged.painted}
        check_size(values, len((values.get(self.fields.label) or {}).get("detections", ())))
        return UpdateOne(where, {"$set": values})

    def _merged(self, entry: _Entry, old: Document | None) -> Merged:
        rows = (old or {}).get("detections") or []
        if entry.names is not None:
            if old is None:
                raise InputError(f"its masks in {self.fields.label!r} are gone")
            return in_place({**old, "detections": rows}, entry.names, everything=self.everything)
        assert entry.label is not None
        assert entry.masks is not None
        return beside_touched(
            entry.label,
            [] if self.everything else rows,
            entry.masks,
            from_before=entry.id in self.from_before,
            evaluated=self._evaluated,
        )

    def _with_embeddings(self, entry: _Entry, label: Document, old: Document | None) -> Document:
        if entry.embeddings is None:
            return label
        file = self._embeddings_file(entry.id)
        return embeddings.with_file(file, label, entry.mask_ids, entry.embeddings, old)

    def _embeddings_file(self, sample_id: str) -> Path:
        return self.folder / self.fields.embeddings_folder / f"{sample_id}-{self.run}.npy"

    def _unwritten(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Those of the entries that did not reach their samples; the next try tells which were deleted."""
        current = self._current(entries)
        return [
            entry
            for entry in entries
            if entry.id not in current
            or (entry.taken is not None and run_of(current[entry.id].get(self.fields.inputs)) != self.run)
        ]

    def _refuse(self, entry: _Entry, reason: str) -> None:
        """Name a sample as failed, here and in the database, and remove the files of its labels."""
        self.refused[entry.id] = reason
        self._forget(entry)
        update = self._failure(entry.id, reason).values
        with contextlib.suppress(WriteError):  # a document that is full takes no error either
            self._collection.update_one({"_id": ObjectId(entry.id)}, {"$set": update})

    def _forget(self, entry: _Entry) -> None:
        """Remove the files of labels that are not stored, and do not count their masks."""
        _remove(entry.files)
        if entry.masks is not None:
            self.unwritten_masks += len(entry.masks)
            self.unwritten_unlabelled += entry.unlabelled


def _remove(paths: Iterable[str | Path]) -> None:
    """Remove files, and folders that hold nothing more; what cannot be removed is left to `clean`."""
    for path in map(Path, paths):
        with contextlib.suppress(OSError):
            path.unlink()
            if path.stem.isdigit():  # a mask in the folder of its sample
                path.parent.rmdir()
