"""Masks that people edited with FiftyOne's own tools: found by what SSA wrote beside them, and counted as corrected."""

from __future__ import annotations

import time
from typing import Any

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.labels import looked
from fiftyone_ssa.labels.database import Document, dataset_id, needs_database, root_dataset, samples_of
from fiftyone_ssa.labels.journal import Said
from fiftyone_ssa.labels.review import CORRECTED, REVIEWS, is_drawn, is_edited
from fiftyone_ssa.labels.shown import check_masks, is_named, masks_of
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.labels.updates import edit_of, now, said, write


@needs_database()
def mark_edited(samples: Any, label_field: str = "ssa", *, seconds: float | None = None) -> int:
    """Set `review` to "corrected" where a mask's pixels, box or label are not what SSA wrote and no review says so.

    Only samples that others changed since they were last looked through are read. Masks that SSA never saw stay.

    Args:
        samples: a dataset or view of images, or of patches; all masks of its images count
        label_field ("ssa"): a Detections field
        seconds (None): stop after so long, the latest changes first; the next call goes on

    Returns the number of masks that were marked. Raises InputError if there is no such field.
    """
    check_masks(samples, label_field)
    if not is_named(samples, label_field):
        return 0
    dataset = root_dataset(samples)
    deadline = time.monotonic() + seconds if seconds is not None else None
    where: Document = {}
    if samples is not dataset:
        where["_id"] = {"$in": list({row["sample"] for row in masks_of(samples, label_field, {})})}
    rows = samples_of(dataset).find(where, {"last_modified_at": 1})
    dates = {row["_id"]: row.get("last_modified_at") for row in rows}
    marked = 0
    for sample_id in looked.unseen(dataset_id(dataset), label_field, dates):
        if deadline is not None and time.monotonic() > deadline:
            break
        marked += _mark(dataset, label_field, sample_id)
    return marked


def _mark(dataset: fo.Dataset, label_field: str, sample_id: ObjectId) -> int:
    """Look through one sample; one that others change meanwhile is left to the next time."""
    shown = {label_field: 1, "last_modified_at": 1}
    document: Document | None = samples_of(dataset).find_one({"_id": sample_id}, shown)
    if document is None or document.get("last_modified_at") is None:
        return 0
    rows = [row for row in whole_rows(document.get(label_field)) if row.get("review") not in REVIEWS]
    edited = [row for row in rows if not is_drawn(row) and is_edited(row)]
    date = document["last_modified_at"]
    if edited:
        pairs = {row["_id"]: (said(row), Said(row.get("label"), CORRECTED, now())) for row in edited}
        edit = edit_of(document, len(edited), pairs)
        if write(dataset, label_field, {sample_id: edit}):
            return 0
        date = edit.stamp
    looked.record(dataset_id(dataset), label_field, {sample_id: date})
    return len(edited)
