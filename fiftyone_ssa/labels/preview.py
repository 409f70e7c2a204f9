"""What a label field holds before a run, and what a run would do to it: cheap enough to ask while one types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.annotate import Job
from fiftyone_ssa.labels.database import Document, samples_of
from fiftyone_ssa.labels.fields import Fields

LOOKED_AT = 500
"""Samples that are looked at; the 50,000 masks of as many take .1 s."""


@dataclass(frozen=True)
class Preview:
    """Numbers of the images of a run, or of the first so many of them."""

    field: str
    images: int
    """Of the run, all of them."""
    looked_at: int
    """The numbers below are of so many."""
    done: int
    """Images that are finished with these settings."""
    failed: int
    masks: int
    """What the label field holds there."""
    touched: int
    """Of these, masks that a person reviewed, renamed, tagged or drew; edited pixels are not looked for."""
    presets: Mapping[str, int]
    """Preset to the images that were done with it."""
    overwrite: bool | str = False

    @property
    def to_do(self) -> int:
        """Images that a run would do, as far as what was looked at stands for the rest."""
        if self.overwrite or not self.looked_at:
            return self.images
        return round(self.images * (1 - self.done / self.looked_at))

    def __str__(self) -> str:
        if not self.masks and not self.presets and not self.failed:
            return f"{self.field} holds nothing yet: {counted(self.images, 'image')} will be named."
        return f"{self._holds()} {self._becomes()}"

    def _holds(self) -> str:
        part = f"In the first {counted(self.looked_at, 'image')} " if self.looked_at < self.images else ""
        made = [f"{name} in {counted(count, 'image')}" for name, count in self.presets.items()]
        touched = f", {self.touched:,} touched by people" if self.touched else ""
        source = f" ({', '.join(made)})" if made else ""
        return f"{part}{self.field} holds {counted(self.masks, 'mask')}{source}{touched}."

    def _becomes(self) -> str:
        if self.overwrite == "everything":
            lost = f", the {self.touched:,} touched ones, too" if self.touched else ""
            return f"All are replaced{lost}."
        if self.overwrite:
            kept = f"; the {counted(self.touched, 'touched mask')} stay as they are" if self.touched else ""
            return f"All {counted(self.images, 'image')} are redone{kept}."
        parts = [f"{counted(self.done, 'image')} done with these settings: skipped"] if self.done else []
        if rest := self.looked_at - self.done:
            again = f", {self.failed:,} of them failed before" if self.failed else ""
            parts.append(f"{counted(rest, 'image')} to do{again}")
        return f"{'; '.join(parts)}."


def preview(job: Job, at_most: int = LOOKED_AT) -> Preview:
    """What a job's label field holds in its samples; of more than `at_most`, in the first of them."""
    samples, fields = job.source.samples, job.fields
    ids = list(map(ObjectId, samples.limit(at_most).values("id")))
    images = len(ids) if len(ids) < at_most else samples.count()
    fingerprint = job.settings().fingerprint if job.dataset.has_sample_field(fields.preset) else None
    presets: Counter[str] = Counter()
    done = failed = masks = touched = 0
    for group in _groups(job.dataset, fields, ids):
        key, count = group["_id"], group["samples"]
        masks, touched = masks + group["masks"], touched + group["touched"]
        failed += count * key["failed"]
        if key.get("preset") is not None and not key["failed"]:
            presets[_preset_name(key["preset"])] += count
            done += count * (key["preset"] == fingerprint)
    return Preview(fields.label, images, len(ids), done, failed, masks, touched, presets, job.overwrite)


def _groups(dataset: Any, fields: Fields, ids: list[ObjectId]) -> list[Document]:
    """The samples by what they were done with, with sums over their masks; no mask is decoded."""
    masks = {"$ifNull": [f"${fields.label}.detections", []]}
    key = {"preset": f"${fields.preset}", "failed": {"$eq": [{"$type": f"${fields.error}"}, "string"]}}
    touched = {"$size": {"$filter": {"input": masks, "as": "mask", "cond": _touched("$$mask")}}}
    sums = {"samples": {"$sum": 1}, "masks": {"$sum": {"$size": masks}}, "touched": {"$sum": touched}}
    return list(samples_of(dataset).aggregate([{"$match": {"_id": {"$in": ids}}}, {"$group": {"_id": key, **sums}}]))


def _touched(mask: str) -> Document:
    """`review.is_touched` as far as the database can tell it, without decoding masks."""
    name, digest = ({"$ifNull": [f"{mask}.{key}", None]} for key in ("class_name", "mask_digest"))
    return {
        "$or": [
            {"$gt": [f"{mask}.review", None]},
            {"$gt": [{"$size": {"$ifNull": [f"{mask}.tags", []]}}, 0]},
            {"$ne": [{"$ifNull": [f"{mask}.label", None]}, name]},
            {"$and": [{"$eq": [name, None]}, {"$eq": [digest, None]}]},
        ]
    }


def _preset_name(fingerprint: str) -> str:
    recorded = runs.settings_of(fingerprint)
    return f"preset {recorded[0]}" if recorded else "an earlier version"
