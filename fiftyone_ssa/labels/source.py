"""What a run reads of each sample: the image, and the masks and the class map where a file or a field has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import values_of
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.folders import sa1b_json
from fiftyone_ssa.folders.image_folder import masks_beside
from fiftyone_ssa.labels import stamps
from fiftyone_ssa.labels.database import Document, documents, root_dataset
from fiftyone_ssa.labels.documents import semantic_map
from fiftyone_ssa.labels.stamps import NOTHING, State, image_stamp
from fiftyone_ssa.labels.stored_masks import given_name, readable_masks, stored_values, whole_rows
from fiftyone_ssa.naming.run import Task
from fiftyone_ssa.types import Inputs

READ_SAMPLES = 64
"""Samples whose labels are fetched with one query."""


@dataclass(frozen=True)
class Taken:
    """What a sample's labels are made from."""

    image: str
    masks: str
    class_map: str
    mask_ids: tuple[ObjectId, ...] = ()
    """The ids of the masks that were taken from a field and could be read, in their order."""

    def stamp(self, written: int, run: str) -> str:
        """What `<label_field>_inputs` holds of it, with the number of masks that a run wrote."""
        return stamps.stamp((self.image, self.masks, self.class_map), written, run)


@dataclass(frozen=True)
class Source:
    """Where a run's images, masks and class maps come from."""

    samples: Any
    existing_masks: bool
    masks_field: str | None
    semantic_field: str | None
    targets: Mapping[int, str]
    """Pixel value to class name of `semantic_field`."""
    reads_names: bool = False
    """Whether the names that existing masks have count (`masks.names`)."""
    in_place: bool = False
    """Whether `masks_field` is the field that is written."""
    taken: dict[str, Taken] = field(default_factory=dict)
    """Sample id to what was read of it, until whoever writes its labels takes it out."""

    def tasks(self, paths: Mapping[str, str]) -> Iterator[Task]:
        """One task per sample id and file path, in that order; labels are fetched a bounded number at a time."""
        remaining = iter(paths)
        while chunk := list(islice(remaining, READ_SAMPLES)):
            found = self._documents(chunk)
            for sample_id in chunk:
                yield Task(sample_id, partial(self._read, sample_id, paths[sample_id], found.get(sample_id, {})))

    def changes(self, states: Sequence[State]) -> Iterator[str | None]:
        """Of each sample, which input is not what it was when its labels were made, or None."""
        for start in range(0, len(states), READ_SAMPLES):
            chunk = states[start : start + READ_SAMPLES]
            found = self._documents([state.id for state in chunk])
            for state in chunk:
                now = self._stamps(state.path, found.get(state.id, {}), state.parts[1])
                yield stamps.changed_input(state, now.image, now.masks, now.class_map)

    def _documents(self, sample_ids: list[str]) -> dict[str, Document]:
        """Sample id to its labels as the database holds them (a view may filter them), to be decoded by the readers."""
        wanted = [name for name in (self.masks_field, self.semantic_field) if name is not None]
        if not wanted:
            return {}
        view = self.samples.select(sample_ids).select_fields(wanted)
        return {str(document["_id"]): document for document in documents(view)}

    def _stamps(self, path: str, document: Document, known_masks: str = "") -> Taken:
        masks = class_map = NOTHING
        if self.masks_field is not None:
            detections = whole_rows(document.get(self.masks_field))
            masks = stamps.masks_stamp(detections, known=known_masks.partition("+")[0])
            if self.reads_names:
                boxes = (detection.get("bounding_box") for detection in detections)
                named = (given_name(detection, in_place=self.in_place) for detection in detections)
                masks += stamps.names_stamp(zip(boxes, named, strict=True))
        elif self.existing_masks:
            masks = image_stamp(masks_beside(Path(path)))
        if self.semantic_field is not None:
            class_map = stamps.map_stamp(document.get(self.semantic_field), self.targets)
        return Taken(image_stamp(path), masks, class_map)

    def _read(self, sample_id: str, path: str, document: Document) -> Inputs:
        taken = self._stamps(path, document)  # before anything is read: what changes meanwhile is done again
        image = read_image(path)
        size_hw = (image.shape[0], image.shape[1])
        masks = semantic = None
        bad: tuple[str, ...] = ()
        if self.masks_field is not None:
            label = document.get(self.masks_field)
            if label is None:
                raise InputError(f"{path} has no label in {self.masks_field!r}")
            read = readable_masks(label, size_hw, with_names=self.reads_names, in_place=self.in_place)
            masks, bad, rows = read.masks, read.sentences(path), label.get("detections")
            taken = replace(taken, mask_ids=tuple(rows[place].get("_id") for place in read.places))
        elif self.existing_masks:
            beside = masks_beside(Path(path))
            content = read_json(beside)
            masks, bad = sa1b_json.readable_masks(content, str(beside), size_hw, with_names=self.reads_names)
        if self.semantic_field is not None:
            label = document.get(self.semantic_field)
            values = stored_values(label) if label is not None else None
            if values is None:
                raise InputError(f"{path} has no class map in {self.semantic_field!r}")
            semantic = semantic_map(values_of(values), self.targets)
        self.taken[sample_id] = taken
        return Inputs(image, masks, semantic, bad)


def class_names(samples: Any, semantic_field: str) -> Mapping[int, str]:
    """Pixel value to class name of a Segmentation field. Raises InputError if it has none."""
    dataset = root_dataset(samples)
    targets: Mapping[int, str] = dataset.mask_targets.get(semantic_field) or dataset.default_mask_targets
    if not targets:
        raise InputError(
            f"{semantic_field!r} has no class names; set dataset.mask_targets[{semantic_field!r}] "
            "= {value: name, ...} and dataset.save()"
        )
    return targets
