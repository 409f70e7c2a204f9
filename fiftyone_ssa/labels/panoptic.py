"""One segment a pixel: the masks of a field resolved into a panoptic map, which is stored beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
import numpy as np
import numpy.typing as npt
from bson import ObjectId

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.files.images import image_size_hw, save_png
from fiftyone_ssa.labels import looked, runs
from fiftyone_ssa.labels.appearance import colour_names, try_to_prepare_app
from fiftyone_ssa.labels.clean import default_folder, remove, remove_leftovers
from fiftyone_ssa.labels.database import (
    Document,
    check_whole_images,
    dataset_id,
    needs_database,
    refresh,
    reload_samples,
    root_dataset,
    samples_of,
)
from fiftyone_ssa.labels.documents import declare_detections, masks_document
from fiftyone_ssa.labels.fields import Fields, check_field_types, check_label_field
from fiftyone_ssa.labels.lease import SCHEMA, Lease, hold
from fiftyone_ssa.labels.readable_masks import readable_masks
from fiftyone_ssa.labels.review import ACCEPTED, CORRECTED, label_digest
from fiftyone_ssa.labels.shown import check_masks
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.labels.updates import later
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.layouts.ontology_names import is_known_stuff
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.masks.containment import LEVELS, WHOLE, contain
from fiftyone_ssa.masks.panoptic import order_of, resolve
from fiftyone_ssa.naming.arguments import check_flag
from fiftyone_ssa.naming.stamp import Settings

TRIES = 5
"""How often a sample is resolved again that others change meanwhile."""
_MADE = "made_with"
"""Attribute of a map: the digest of its segments as they were made, which tells whether people changed them."""
PANOPTIC_ATTRIBUTES = ("area", "is_thing", "members")
Classes = Callable[[str], tuple[str, bool] | None]
"""From a name to its class and whether that is a thing, and not stuff; None where it has no class."""


@dataclass(frozen=True)
class Segment:
    """One segment of a panoptic map."""

    id: int
    """Its value in the map, from 1 on."""
    name: str
    """Of its class."""
    is_thing: bool
    counts: bytes
    """Its mask's compressed COCO code."""
    score: float
    """How sure the name is, NaN where unknown; of stuff the surest of its masks."""
    members: tuple[int, ...]
    """The detections that it is made of, by their places, the first to choose first."""


@dataclass
class Resolved:
    """What `panoptic` made."""

    images: int = 0
    segments: int = 0
    kept: int = 0
    """Images whose segments people changed, which stay as they are."""
    left_out: int = 0
    """Masks that are no segment: parts, repeats, those without a class, rejected, unreadable, or hidden by others."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason."""

    def __str__(self) -> str:
        parts = [f"{counted(self.segments, 'segment')} in {counted(self.images, 'image')}"]
        parts += [f"{counted(self.left_out, 'mask')} left out"] if self.left_out else []
        parts += [f"{counted(self.kept, 'image')} whose segments people changed stay"] if self.kept else []
        parts += [f"{counted(len(self.errors), 'image')} FAILED"] if self.errors else []
        return ", ".join(parts)


@needs_database()
def panoptic(
    samples: Any,
    label_field: str = "ssa",
    *,
    ontology: Ontology | str | Path | None = None,
    level: str = WHOLE,
    overwrite: bool = False,
    progress: bool | Callable[[Any], None] | None = None,
) -> Resolved:
    """Resolve overlapping masks into segments, of which every pixel has one at most.

    `<label_field>_panoptic` gets them as Detections without overlap (`index` is the segment's id, `is_thing` and
    `members`, the ids of its masks, beside it), `<label_field>_panoptic_map` as a Segmentation whose RGB pixels hold
    the id as COCO's panoptic files do: red + 256 green + 65,536 blue; 0 is no segment. Masks of one class of stuff make
    one segment. Rejected masks, masks without a class, repeated ones and such as others hide by half are left out.

    Args:
        samples: a dataset or view of images
        label_field ("ssa"): a Detections field with masks
        ontology (None): an `Ontology` or its file, whose classes segments get, and which says what is stuff; what maps
            to no class is left out. None: every name is a class, stuff where COCO or ADE20K say so
        level ("whole"): the finest masks that are segments of their own; "part" and "subpart" cut parts out of wholes
        overwrite (False): whether to make segments anew, too, that people renamed, reviewed, tagged or redrew
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Returns the counts; `errors` are by file path. Raises InputError for a bad argument, or where a field of those names
    holds something else.
    """
    check_masks(samples, label_field)
    check_whole_images(samples, "panoptic")
    if level not in LEVELS:
        raise InputError(f"level must be one of {', '.join(LEVELS)}, got {shown(level)}")
    classes = _classes(Ontology.load(ontology) if isinstance(ontology, str | Path) else ontology)
    dataset = root_dataset(samples)
    paths = dict(zip(samples.values("id"), samples.values("filepath"), strict=True))
    with hold(dataset, label_field) as lease:
        refresh(dataset)
        rules = _Rules(classes, level, check_flag("overwrite", overwrite))
        fields = check_label_field(label_field)
        writer = _Writer(dataset, fields, lease, rules)
        with fou.ProgressBar(total=len(paths), progress=progress) as bar:
            for sample_id, path in bar(paths.items()):
                writer.write(sample_id, path)
        runs.finish([writer.run])
    try_to_prepare_app(dataset, fields.panoptic, colour_names)
    return writer.done


def segments_of(
    rows: Sequence[Mapping[str, Any]], size_hw: tuple[int, int], classes: Classes, level: str = WHOLE
) -> tuple[npt.NDArray[np.int32], list[Segment]]:
    """(H, W) ids of the segments of one image of `size_hw`, and the segments; `rows` are detections as stored.

    Args:
        rows: detections as MongoDB holds them
        size_hw: height and width of the image
        classes: name to class name and whether it is a thing; None: no class
        level ("whole"): the finest masks that are segments of their own
    """
    found = readable_masks(rows, size_hw)
    named = [i for i, place in enumerate(found.places) if _class_of(rows[place], classes) and found.masks.areas_px[i]]
    masks, places = found.masks[np.array(named, np.int64)], [found.places[i] for i in named]
    kinds = [kind for place in places if (kind := _class_of(rows[place], classes)) is not None]
    nested = contain(masks, names=[name for name, _ in kinds])
    things = np.array([is_thing for _, is_thing in kinds], np.bool_)
    scores = np.array([_score(rows[place]) for place in places], np.float64)
    stuff = sorted({name for name, is_thing in kinds if not is_thing})
    groups = np.array([-1 if is_thing else stuff.index(name) for name, is_thing in kinds], np.int64)
    order = order_of(masks, depths=nested.depths, things=things, scores=scores)
    takes_part = (nested.depths <= LEVELS.index(level) if level != LEVELS[-1] else nested.depths >= 0) & (
        nested.duplicates < 0
    )
    chosen = resolve(masks, order[takes_part[order]], groups)
    segments = []
    for identity, counts in chosen.codes():
        members = chosen.members[identity - 1]
        name, is_thing = kinds[members[0]]
        score = float(np.max(scores[list(members)]))
        segments.append(Segment(identity, name, is_thing, counts, score, tuple(places[i] for i in members)))
    return chosen.ids, segments


def _classes(ontology: Ontology | None) -> Classes:
    @cache
    def of_name(name: str) -> tuple[str, bool] | None:
        if ontology is None:
            return name, not is_known_stuff(name)
        found = ontology.class_of(name)
        return None if found is None else (found.name, found.is_thing)

    return of_name


def _class_of(row: Mapping[str, Any], classes: Classes) -> tuple[str, bool] | None:
    label = row.get("label")
    return classes(label.strip()) if isinstance(label, str) and label.strip() else None


def _score(row: Mapping[str, Any]) -> float:
    """How sure a mask's name is; what a person said is certain."""
    confidence = row.get("confidence")
    reviewed = row.get("review") in (ACCEPTED, CORRECTED)
    if confidence is None or reviewed or not foreign.is_number(confidence):
        return float("nan")
    return float(confidence)


def id_pixels(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 of (H, W) ids, as COCO's panoptic PNGs have them: id = red + 256 green + 65,536 blue."""
    lowest_first = ids.astype("<i4", copy=False).view(np.uint8).reshape(*ids.shape, 4)
    return np.ascontiguousarray(lowest_first[..., :3])


@dataclass(frozen=True)
class _Rules:
    """What was asked for."""

    classes: Classes
    level: str
    overwrite: bool


class _Writer:
    """Resolves samples of one label field and stores what comes out; the field's lease must be held."""

    def __init__(self, dataset: fo.Dataset, fields: Fields, lease: Lease, rules: _Rules) -> None:
        self.done = Resolved()
        self._dataset, self._fields, self._lease = dataset, fields, lease
        self._rules = rules
        check_field_types(dataset, {fields.panoptic: fo.Detections, fields.panoptic_map: fo.Segmentation})
        remove_leftovers(fields.label, runs.killed(dataset, fields.label))
        self._folder = runs.last_folder(dataset, fields.label) or default_folder(dataset)
        settings = Settings({"panoptic": rules.level})
        self.run = runs.begin(dataset, fields.label, "panoptic", settings, self._folder, False)
        with hold(dataset, SCHEMA, wait_seconds=30):
            declare_detections(dataset, fields.panoptic, PANOPTIC_ATTRIBUTES)
            dataset.add_sample_field(fields.panoptic_map, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
            dataset.add_sample_field(f"{fields.panoptic_map}.{_MADE}", fo.StringField)

    def write(self, sample_id: str, path: str) -> None:
        """Resolve one sample's masks and store the map, unless somebody keeps changing the sample."""
        self._lease.check()
        names = (self._fields.label, self._fields.panoptic, self._fields.panoptic_map, "last_modified_at")
        for _ in range(TRIES):
            document = samples_of(self._dataset).find_one({"_id": ObjectId(sample_id)}, dict.fromkeys(names, 1))
            if document is None:
                return  # deleted meanwhile
            if self._is_persons(document) and not self._rules.overwrite:
                self.done.kept += 1
                return
            rows = whole_rows(document.get(self._fields.label))
            file = self._folder / self._fields.panoptic_map / f"{sample_id}-{self.run}.png"
            try:
                values, segments = self._values(rows, path, file)
            except InputError as error:
                self.done.errors[path] = str(error)
                return
            if self._store(document, values):
                self.done.images += 1
                self.done.segments += len(segments)
                self.done.left_out += len(rows) - len({place for segment in segments for place in segment.members})
                reload_samples(self._dataset, [sample_id])
                return
            remove([file])
        self.done.errors[path] = "others keep changing this sample; ask again when they are done"

    def _is_persons(self, document: Document) -> bool:
        """Whether the segments are not those that were made."""
        made = (document.get(self._fields.panoptic_map) or {}).get(_MADE)
        return made is not None and made != label_digest(document.get(self._fields.panoptic))

    def _values(self, rows: Sequence[Mapping[str, Any]], path: str, file: Path) -> tuple[Document, list[Segment]]:
        """What is to be stored of one image, its file written."""
        size_hw = image_size_hw(path)
        ids, segments = segments_of(rows, size_hw, self._rules.classes, self._rules.level)
        masks = rle.mask_set(size_hw, [segment.counts for segment in segments])
        columns: dict[str, Sequence[Any]] = {
            "label": [segment.name for segment in segments],
            "confidence": [segment.score for segment in segments],
            "index": [segment.id for segment in segments],
            "is_thing": [segment.is_thing for segment in segments],
            "members": [[str(rows[place]["_id"]) for place in segment.members] for segment in segments],
        }
        label = masks_document(masks, file.with_suffix(""), columns)
        for row in label["detections"]:
            row.pop("source_box", None)  # a segment has no source
        save_png(id_pixels(ids), file)
        image = {"_id": ObjectId(), "_cls": "Segmentation", "tags": [], "mask_path": str(file)}
        image[_MADE] = label_digest(label)
        return {self._fields.panoptic: label, self._fields.panoptic_map: image}, segments

    def _store(self, document: Document, values: Document) -> bool:
        read = document.get("last_modified_at")
        stamp = later(read)
        where = {"_id": document["_id"], "last_modified_at": read}
        update = {"$set": {**values, "last_modified_at": stamp}}
        if not samples_of(self._dataset).update_one(where, update).matched_count:
            return False
        looked.move(dataset_id(self._dataset), {document["_id"]: (read, stamp)})
        return True
