"""Whole, part and subpart: where each mask of a field stands among the masks of its image, written beside its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
from bson import ObjectId
from pymongo import UpdateOne

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels import looked
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
from fiftyone_ssa.labels.documents import LEVEL_ATTRIBUTES, declare_detections
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.readable_masks import readable_masks
from fiftyone_ssa.labels.shown import check_masks
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.labels.updates import later
from fiftyone_ssa.masks.containment import LEVELS
from fiftyone_ssa.naming.part_names import nested
from fiftyone_ssa.types import MaskSet

TRIES = 5
"""How often a sample is looked at again that others change meanwhile."""
SAMPLES = 32
"""Samples whose masks are read with one query and written with one."""


@dataclass
class Levelled:
    """What `levels` found."""

    images: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    """"whole", "part" and "subpart" to masks."""
    duplicates: int = 0
    """Of these masks, those that repeat another one."""
    unreadable: int = 0
    """Masks that cannot be read, or are empty: they have no level."""
    rejected: int = 0
    """Masks that a person rejected: they have no level, and hold no part."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason."""

    def __str__(self) -> str:
        counts = ", ".join(counted(self.levels[level], level) for level in LEVELS)
        parts = [f"{counts} in {counted(self.images, 'image')}"]
        parts += [f"{counted(self.duplicates, 'mask')} of them repeated"] if self.duplicates else []
        parts += [f"{counted(self.rejected, 'rejected mask')} left out"] if self.rejected else []
        parts += [f"{counted(self.unreadable, 'mask')} without pixels that can be read"] if self.unreadable else []
        parts += [f"{counted(len(self.errors), 'image')} FAILED"] if self.errors else []
        return ", ".join(parts)


@needs_database()
def levels(samples: Any, label_field: str = "ssa", *, progress: bool | Callable[[Any], None] | None = None) -> Levelled:
    """Write to each mask whether it is a whole, a part or a subpart, what it is a part of, and what it repeats.

    The attributes `level` ("whole", "part" or "subpart"), `parent` (the id of the smallest mask around it) and
    `duplicate_of` (the id of a better mask of the same) follow from which mask lies in which (docs/parts.md). All masks
    of an image count, whatever the view shows of them, but those rejected in review. Names and reviews stay.

    Args:
        samples: a dataset or view of images
        label_field ("ssa"): a Detections field with masks
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Returns the counts; `errors` are by file path. Raises InputError if there is no such field.
    """
    check_masks(samples, label_field)
    check_whole_images(samples, "levels")
    dataset, done = root_dataset(samples), Levelled()
    with hold(dataset, SCHEMA, wait_seconds=30):
        refresh(dataset)
        declare_detections(dataset, label_field, LEVEL_ATTRIBUTES)
    paths = dict(zip(map(ObjectId, samples.values("id")), samples.values("filepath"), strict=True))
    with fou.ProgressBar(total=len(paths), progress=progress) as bar:
        for path, error in bar(_write_all(dataset, label_field, paths, done)):
            if error is not None:
                done.errors[path] = error
    return done


def levels_of(rows: Sequence[Mapping[str, Any]], masks: MaskSet) -> list[dict[str, str]]:
    """The three attributes of N detections with those masks, as far as each has them; N ids are in `rows`."""
    return nested(masks, [_name(row) for row in rows]).told([str(row["_id"]) for row in rows])


def _name(row: Mapping[str, Any]) -> str | None:
    label = row.get("label")
    return label if isinstance(label, str) else None


def with_levels(label: Document, size_hw: tuple[int, int], masks: MaskSet | None = None) -> Document:
    """A Detections document with the three attributes as they are now; `masks` are its detections', if known."""
    rows = whole_rows(label)
    told = _levels_of_image(rows, size_hw).told if masks is None else levels_of(rows, masks)
    by_row = {id(row): attributes for row, attributes in zip(rows, told, strict=True)}
    levelled = [
        {**{key: value for key, value in row.items() if key not in LEVEL_ATTRIBUTES}, **by_row[id(row)]}
        if id(row) in by_row
        else row
        for row in label["detections"]
    ]
    return {**label, "detections": levelled}


@dataclass(frozen=True)
class _Image:
    """What is to become of one image's masks."""

    rows: Sequence[Mapping[str, Any]]
    """All of them, as they stand in the database."""
    told: Sequence[Mapping[str, str]]
    unreadable: int
    rejected: int

    def change(self, label_field: str) -> Document:
        """By place: nothing is written unless the sample is as it was read."""
        change: dict[str, Document] = {}
        for place, (row, told) in enumerate(zip(self.rows, self.told, strict=True)):
            for name in LEVEL_ATTRIBUTES:
                if row.get(name) != told.get(name):
                    operator = "$set" if name in told else "$unset"
                    path = f"{label_field}.detections.{place}.{name}"
                    change.setdefault(operator, {})[path] = told.get(name)
        return change


def _write_all(
    dataset: fo.Dataset, label_field: str, paths: Mapping[ObjectId, str], done: Levelled
) -> Iterator[tuple[str, str | None]]:
    """Write all samples, some at a time; answers each path, with what is wrong with it."""
    remaining = iter(paths)
    while chunk := list(islice(remaining, SAMPLES)):
        waiting, failed = set(chunk), dict[ObjectId, str]()
        for _ in range(TRIES):
            if waiting:
                waiting = _write_some(dataset, label_field, {one: paths[one] for one in waiting}, failed, done)
        failed |= dict.fromkeys(waiting, "others keep changing this sample; ask again when they are done")
        reload_samples(dataset, list(map(str, chunk)))
        yield from ((paths[one], failed.get(one)) for one in chunk)


def _write_some(
    dataset: fo.Dataset, label_field: str, paths: Mapping[ObjectId, str], failed: dict[ObjectId, str], done: Levelled
) -> set[ObjectId]:
    """Read and write samples; answers those that somebody changed in between."""
    collection = samples_of(dataset)
    images: dict[ObjectId, tuple[_Image, Any, Any]] = {}
    updates = []
    for document in collection.find({"_id": {"$in": list(paths)}}, {label_field: 1, "last_modified_at": 1}):
        sample, read = document["_id"], document.get("last_modified_at")
        try:
            image = _levels_of_image(whole_rows(document.get(label_field)), image_size_hw(paths[sample]))
        except InputError as error:
            failed[sample] = str(error)
            continue
        change, stamp = image.change(label_field), later(read)
        images[sample] = image, read, stamp if change else read
        if change:
            change["$set"] = {**change.get("$set", {}), "last_modified_at": stamp}
            updates.append(UpdateOne({"_id": sample, "last_modified_at": read}, change))
    late = set[ObjectId]()
    if updates and collection.bulk_write(updates, ordered=False).matched_count < len(updates):
        now = collection.find({"_id": {"$in": list(images)}}, {"last_modified_at": 1})
        dates = {row["_id"]: row.get("last_modified_at") for row in now}
        late = {sample for sample, (_, _, stamp) in images.items() if sample in dates and dates[sample] != stamp}
    written = {sample: found for sample, found in images.items() if sample not in late}
    looked.move(dataset_id(dataset), {sample: (read, stamp) for sample, (_, read, stamp) in written.items()})
    for image, _, _ in written.values():
        _count(image, done)
    return late


def _levels_of_image(rows: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> _Image:
    """The levels of one image's masks."""
    found = readable_masks(rows, size_hw)
    told: list[Mapping[str, str]] = [{}] * len(rows)
    attributes = levels_of([rows[place] for place in found.places], found.masks)
    for place, attribute in zip(found.places, attributes, strict=True):
        told[place] = attribute
    return _Image(rows, told, found.unreadable + int((found.masks.areas_px == 0).sum()), found.rejected)


def _count(image: _Image, done: Levelled) -> None:
    done.images += 1
    done.levels.update(told["level"] for told in image.told if "level" in told)
    done.duplicates += sum("duplicate_of" in told for told in image.told)
    done.unreadable += image.unreadable
    done.rejected += image.rejected
