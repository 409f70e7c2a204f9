"""One class map after another painted from its labels, into a dataset that people may work on meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import fiftyone as fo
import numpy as np
import numpy.typing as npt
from bson import ObjectId

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.files.class_maps import values_of
from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.labels import looked, runs
from fiftyone_ssa.labels.clean import default_folder, remove, remove_leftovers
from fiftyone_ssa.labels.database import Document, dataset_id, reload_samples, samples_of
from fiftyone_ssa.labels.documents import extended_targets, segmentation_document
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.lease import SCHEMA, Lease, hold
from fiftyone_ssa.labels.painted import painted_now
from fiftyone_ssa.labels.review import is_rejected
from fiftyone_ssa.labels.stored_masks import read_masks, stored_values
from fiftyone_ssa.labels.updates import later
from fiftyone_ssa.layouts.class_names import fold
from fiftyone_ssa.naming.stamp import Settings
from fiftyone_ssa.naming.voting import paint
from fiftyone_ssa.types import SemanticMap

TRIES = 5
"""How often a sample is painted again that others change meanwhile."""
Pixels = npt.NDArray[np.uint16]
"""(H, W) values as the field's mask targets name them; 0 is no class."""


@dataclass
class Repainted:
    """What a repaint did."""

    painted: int = 0
    unchanged: int = 0
    """Maps that show their labels already."""
    without_branch: int = 0
    """Painted maps that began with what they showed before, for want of the segmenter's own map."""
    unpaintable: int = 0
    """Masks that could not be painted: boxes alone, damaged masks."""
    new_classes: list[str] = field(default_factory=list)
    """Names that people gave, now classes of the field's maps."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason."""

    def __str__(self) -> str:
        parts = [f"{counted(self.painted, 'class map')} painted, {self.unchanged} unchanged"]
        if self.without_branch:
            parts.append(
                f"{self.without_branch} had no map of the segmenter's own to begin with, so that what is under no mask "
                "(or under a rejected one) stays as it was"
            )
        if self.new_classes:
            parts.append(f"new classes: {', '.join(self.new_classes)}")
        if self.unpaintable:
            parts.append(f"{counted(self.unpaintable, 'mask')} without pixels that can be read not painted")
        if self.errors:
            parts.append(f"{len(self.errors)} failed")
        return "; ".join(parts)


@dataclass(frozen=True)
class _Painting:
    """What is to be stored of one sample."""

    labels: Document
    """Field to Segmentation."""
    from_branch: bool
    """Whether the map began with the segmenter's own."""
    unpaintable: int


class Painter:
    """Paints samples of one label field; the field's lease must be held."""

    def __init__(self, dataset: fo.Dataset, fields: Fields, lease: Lease) -> None:
        self.dataset, self.fields, self.lease = dataset, fields, lease
        self.done = Repainted()
        remove_leftovers(fields.label, runs.killed(dataset, fields.label))
        self._folder = runs.last_folder(dataset, fields.label) or default_folder(dataset)
        self._run = runs.begin(dataset, fields.label, "repaint", Settings({"repaint": True}), self._folder, False)

    def declare(self, *, with_branch: bool) -> None:
        """Declare the fields that are filled."""
        maps = [self.fields.semantic, *([self.fields.branch] if with_branch else [])]
        with hold(self.dataset, SCHEMA, wait_seconds=30):
            for name in maps:
                self.dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
            self.dataset.add_sample_field(f"{self.fields.semantic}.painted_from", fo.StringField)

    def paint(self, sample_id: str, path: str, branch: SemanticMap | str | None) -> None:
        """Paint one sample's map and store it; `branch` is what it begins with, or why there is none."""
        if isinstance(branch, str):
            self.done.errors[path] = branch
            return
        self.lease.check()
        for _ in range(TRIES):
            document = self._document(sample_id)
            if document is None or document.get(self.fields.label) is None:
                return  # deleted meanwhile, or its labels
            if branch is None and self._is_up_to_date(document):
                self.done.unchanged += 1
                return
            try:
                painting = self._painted(document, branch)
            except InputError as error:
                self.done.errors[path] = str(error)
                return
            where = {"_id": document["_id"], "last_modified_at": document.get("last_modified_at")}
            now = later(document.get("last_modified_at"))
            update = {"$set": {**painting.labels, "last_modified_at": now}}
            if samples_of(self.dataset).update_one(where, update).matched_count:
                looked.move(dataset_id(self.dataset), {document["_id"]: (document.get("last_modified_at"), now)})
                self.done.painted += 1
                self.done.without_branch += not painting.from_branch
                self.done.unpaintable += painting.unpaintable
                reload_samples(self.dataset, [sample_id])
                return
            remove(Path(label["mask_path"]) for label in painting.labels.values())
        self.done.errors[path] = "others keep changing this sample; paint it again when they are done"

    def finish(self) -> None:
        """Record that all was painted."""
        runs.finish([self._run])

    def _document(self, sample_id: str) -> Document | None:
        names = (self.fields.label, self.fields.semantic, self.fields.branch, "last_modified_at")
        found: Document | None = samples_of(self.dataset).find_one(
            {"_id": ObjectId(sample_id)}, dict.fromkeys(names, 1)
        )
        return found

    def _is_up_to_date(self, document: Document) -> bool:
        label = document.get(self.fields.semantic)
        if not label or label.get("painted_from") != painted_now(document[self.fields.label]):
            return False
        return label.get("mask") is not None or Path(label.get("mask_path") or "").is_file()

    def _painted(self, document: Document, branch: SemanticMap | None) -> _Painting:
        """A sample's maps, their files written."""
        labels: Document = {}
        name = f"{document['_id']}-{self._run}.png"
        if branch is not None:
            numbers = self._numbers(self.fields.branch, branch.names)
            path = self._folder / self.fields.branch / name
            labels[self.fields.branch] = segmentation_document(branch, path, numbers)
        start = self._start(document, branch)
        named = [
            row
            for row in document[self.fields.label].get("detections") or ()
            if row.get("label") is not None and not is_rejected(row)
        ]
        pixels, unpaintable = self._with_masks(named, start)
        path = self._folder / self.fields.semantic / name
        save_png(pixels.astype(np.uint8) if pixels.max(initial=0) <= 254 else pixels, path)
        old = document.get(self.fields.semantic) or {"_id": ObjectId(), "_cls": "Segmentation", "tags": []}
        kept = {key: value for key, value in old.items() if key != "mask"}
        painted_from = painted_now(document[self.fields.label])
        labels[self.fields.semantic] = {**kept, "mask_path": str(path), "painted_from": painted_from}
        from_branch = branch is not None or document.get(self.fields.branch) is not None
        return _Painting(labels, from_branch, unpaintable)

    def _with_masks(self, rows: Sequence[Document], start: Pixels) -> tuple[Pixels, int]:
        """A map with masks painted on it, large ones first, and how many of them have no pixels that can be read."""
        size_hw = (start.shape[0], start.shape[1])
        read = read_masks(rows, size_hw)
        values = [self._number(rows[place]["label"]) for place in read.places]
        return paint(read.masks, np.array(values, np.int64), start), len(read.problems)

    def _start(self, document: Document, branch: SemanticMap | None) -> Pixels:
        """The map on which masks are painted."""
        own, kept = document.get(self.fields.semantic), document.get(self.fields.branch)
        if branch is not None:
            table = np.zeros(branch.ignore_id + 1, np.uint16)
            table[: len(branch.names)] = self._numbers(self.fields.semantic, branch.names)
            return np.asarray(table[branch.ids])
        if kept is not None and (values := stored_values(kept)) is not None:
            targets = {value: name for value, name in self._targets(self.fields.branch).items() if value > 0}
            table = np.zeros(1 << 16, np.uint16)
            table[list(targets)] = self._numbers(self.fields.semantic, list(targets.values()))
            return np.asarray(table[_sixteen_bits(values_of(values))])
        if own is not None and (values := stored_values(own)) is not None:
            return _sixteen_bits(values_of(values))
        raise InputError("there is no class map to begin with; pass preset=, whose segmenter makes it")

    def _number(self, name: str) -> int:
        """The pixel value of a class, a new one where neither the name nor another spelling of it is a class yet."""
        targets = self._targets(self.fields.semantic)
        alike = [value for value, known in targets.items() if value > 0 and fold(known) == fold(name)]
        if name not in targets.values() and len(alike) == 1:
            return alike[0]
        if name not in targets.values():
            self.done.new_classes.append(name)
        return self._numbers(self.fields.semantic, [name])[0]

    def _numbers(self, field_name: str, names: Sequence[str]) -> list[int]:
        """The pixel values of classes in a field's mask targets, which hold them from now on."""
        targets = self._targets(field_name)
        extended, values = extended_targets(targets, names)
        if max(values, default=0) > 65535:
            raise InputError(f"{field_name!r} has held more class names than pixels can")
        if extended != targets:
            self.dataset.mask_targets[field_name] = extended
            self.dataset.save()
        return values

    def _targets(self, field_name: str) -> dict[int, str]:
        targets = self.dataset.mask_targets.get(field_name) or self.dataset.default_mask_targets or {}
        if not all(isinstance(value, int) for value in targets):
            raise InputError(f"{field_name!r} has mask targets that are no whole numbers; only such maps are painted")
        return dict(targets)


def _sixteen_bits(values: npt.NDArray[np.integer]) -> Pixels:
    return np.where((values >= 0) & (values < 1 << 16), values, 0).astype(np.uint16)
