"""Results into a FiftyOne dataset: PNG files first, then label, preset and error of a sample in one document update."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId
from fiftyone import ViewField as F
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.documents import (
    ENGINE_ATTRIBUTES,
    SSA_ATTRIBUTES,
    Document,
    annotation_document,
    declare_detections,
    mask_targets,
    segmentation_document,
)
from fiftyone_ssa.types import Annotation, Result, SemanticMap

logger = logging.getLogger(__name__)

BATCH_SAMPLES = 16
BATCH_SECONDS = 5.0


@dataclass(frozen=True)
class Fields:
    """The fields that one `label_field` comes with."""

    label: str
    """Detections, one per mask."""

    @property
    def semantic(self) -> str:
        """Segmentation: the refined class map."""
        return f"{self.label}_semantic"

    @property
    def branch(self) -> str:
        """Segmentation: the segmenter's own class map."""
        return f"{self.label}_branch"

    @property
    def preset(self) -> str:
        """String: what the labels were made with; a sample that has the current one is done."""
        return f"{self.label}_preset"

    @property
    def error(self) -> str:
        """String: why the last run could not do a sample."""
        return f"{self.label}_error"

    def types(self, pipeline: str, keep_branch: bool) -> dict[str, type[Any]]:
        """Each field that a run fills, with its label or field type."""
        maps = {self.semantic: fo.Segmentation} if pipeline == "ssa" else {}
        branch = {self.branch: fo.Segmentation} if keep_branch else {}
        return {self.label: fo.Detections, **maps, **branch, self.preset: fo.StringField, self.error: fo.StringField}


def check_fields(dataset: fo.Dataset, types: dict[str, type[Any]]) -> None:
    """Raise InputError if a field exists with another type than the one that is to be written."""
    for name, kind in types.items():
        found = dataset.get_field(name)
        if found is not None and not isinstance(found, kind) and getattr(found, "document_type", None) is not kind:
            raise InputError(f"field {name!r} exists and is no {kind.__name__}; choose another label_field")


@dataclass
class LabelWriter:
    """Writes results of one run to a dataset in bounded batches; `write` may be called from a thread of its own.

    A sample's files lie in `folder/<field>/<sample id>.png`, so that samples never share one. A sample that the
    database refuses (its document would exceed 16 MB) is named in `refused`.
    """

    dataset: fo.Dataset
    fields: Fields
    stamp: str
    """What `fields.preset` holds for finished samples."""
    folder: Path
    todo: Any
    """The samples of this run, a view."""
    refused: dict[str, str] = field(default_factory=dict)
    _updates: list[UpdateOne] = field(default_factory=list)
    _pending: list[str] = field(default_factory=list)
    _flushed: float = field(default_factory=time.monotonic)
    _classes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def declare(self, pipeline: str, keep_branch: bool) -> None:
        """Declare every field that this run fills, so that the App's sidebar shows and filters them."""
        for name, kind in self.fields.types(pipeline, keep_branch).items():
            if kind is fo.Detections:
                declare_detections(self.dataset, name, SSA_ATTRIBUTES if pipeline == "ssa" else ENGINE_ATTRIBUTES)
            elif kind is fo.Segmentation:
                self.dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=kind)
            else:
                self.dataset.add_sample_field(name, kind)

    def write(self, result: Result) -> None:
        """Queue one result. Raises InputError if the disk does not take its files."""
        if result.annotation is None:
            values: Document = {self.fields.error: result.error}
        else:
            try:
                values = self._values(result.id, result.annotation)
            except OSError as error:
                raise InputError(f"labels cannot be written below {self.folder}: {error.strerror or error}") from error
        values["last_modified_at"] = datetime.now(UTC).replace(tzinfo=None)
        self._updates.append(UpdateOne({"_id": ObjectId(result.id)}, {"$set": values}))
        self._pending.append(result.id)
        if len(self._pending) >= BATCH_SAMPLES or time.monotonic() - self._flushed > BATCH_SECONDS:
            self.flush()

    def _values(self, sample_id: str, annotation: Annotation) -> Document:
        masks_folder = self.folder / f"{self.fields.label}_masks" / sample_id
        values = {
            self.fields.label: annotation_document(annotation, masks_folder),
            self.fields.preset: self.stamp,
            self.fields.error: None,
        }
        for name, semantic in ((self.fields.semantic, annotation.semantic), (self.fields.branch, annotation.branch)):
            if semantic is not None:
                self._declare_classes(name, semantic)
                values[name] = segmentation_document(semantic, self.folder / name / f"{sample_id}.png")
        return values

    def _declare_classes(self, name: str, semantic: SemanticMap) -> None:
        """Set a map's mask targets when its first one comes; a field holds the maps of one list of classes only."""
        if self._classes.setdefault(name, semantic.names) != semantic.names:
            raise InputError(f"the class maps of {name!r} differ in their classes; give all images one list of classes")
        targets = mask_targets(semantic.names)
        existing = self.dataset.mask_targets.get(name)
        if existing == targets:
            return
        if existing and len(self.dataset.exists(name)) > len(self.todo.exists(name)):
            raise InputError(
                f"{name!r} holds class maps with other classes in samples that this run leaves alone; "
                "choose another label_field, or run on the whole dataset"
            )
        # Under new targets an old map would be read with wrong names; without its stamp the sample is redone.
        for stale in (name, self.fields.preset) if existing else ():
            self.todo.clear_sample_field(stale)
        self.dataset.mask_targets[name] = targets
        self.dataset.save()

    def flush(self) -> None:
        """Write what is queued."""
        updates, ids = self._updates, self._pending
        self._updates, self._pending, self._flushed = [], [], time.monotonic()
        if not updates:
            return
        try:
            self.dataset._sample_collection.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            for failure in error.details["writeErrors"]:
                self.refused[ids[failure["index"]]] = f"the database refuses its labels: {failure['errmsg']}"
        fo.Sample._reload_docs(self.dataset._sample_collection_name, sample_ids=ids)


def unfinished(samples: Any, fields: Fields, stamp: str, keep_branch: bool) -> Any:
    """The samples of a collection that lack something that a run with this stamp would write."""
    differs = F(fields.preset) != stamp
    return samples.match(differs | ~F(fields.branch).exists() if keep_branch else differs)
