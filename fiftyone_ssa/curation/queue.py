"""The order in which a person reviews masks, most doubtful first, and what a panel shows of a few of them."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
from bson import ObjectId
from bson.errors import InvalidId

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import Document, needs_database, root_dataset, samples_of
from fiftyone_ssa.labels.doubt import doubt
from fiftyone_ssa.labels.edited import mark_edited
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.review import OPEN, REVIEWS, STATES, state, state_of
from fiftyone_ssa.labels.shown import (
    check_collection,
    check_masks,
    detections_fields,
    field_shown,
    is_named,
    masks_of,
    object_ids,
)
from fiftyone_ssa.labels.stored_masks import stored_mask, stored_proposals

_RANKED = {
    "id": "$$this._id",
    "label": "$$this.label",
    "doubt": doubt(),
    "area": {
        "$ifNull": ["$$this.area", {"$multiply": [{"$arrayElemAt": ["$$this.bounding_box", side]} for side in (2, 3)]}]
    },
}
_SORTED = {
    "doubt": {"mask.doubt": -1, "mask.id": 1},
    "area": {"mask.area": -1, "mask.id": 1},
    "class": {"mask.label": 1, "mask.doubt": -1, "mask.id": 1},
}
ORDERS = tuple(_SORTED)
LIMIT = 1000
"""Masks that a queue lists."""
MOST_LISTED = 2**31 - 1
"""What a database can count to."""
LOOKING_SECONDS = 0.5
"""How long a queue may look for masks that people edited with FiftyOne's own tools, before it is made."""
MOST_ITEMS = 20
"""Masks whose pixels are fetched at once."""
SHOWN_PIXELS = 1024
"""Longest side of a mask's picture; a larger one is thinned out."""
_SHOWN = (
    *("label", "class_name", "review", "class_proposals", "proposal_scores", "confidence", "vote_margin", "area"),
    *("label_source", "caption", "bounding_box", "mask", "mask_path"),
)


@dataclass(frozen=True)
class Queue:
    """Masks to review."""

    label_field: str
    fields: list[str]
    """The dataset's Detections fields."""
    total: int
    """Masks that the view shows, of the class that was asked for."""
    open: int
    reviewed: int
    rows: list[tuple[str, str, float]]
    """Sample id, mask id and doubt, in order."""
    names: list[str]
    """Names that the dataset's masks have, most frequent first, and after them other classes of its maps."""


@needs_database()
def review_queue(
    samples: Any,
    label_field: str | None = None,
    *,
    order: str = "doubt",
    states: Sequence[str] = (OPEN,),
    class_name: str | None = None,
    sample_ids: Sequence[str] | None = None,
    limit: int = LIMIT,
) -> Queue:
    """The masks of a view that are to be reviewed, in order; no mask is decoded.

    Args:
        samples: a dataset or view of images, or of patches
        label_field (None): a Detections field; None is the one that the view shows
        order ("doubt"): doubt (most doubtful first), area (largest first) or class (by name, doubtful first)
        states (("open",)): which of open, accepted, corrected and rejected to list
        class_name (None): look at masks with this label only
        sample_ids (None): look at these images only
        limit (1000): masks to list at most

    Raises InputError for a bad argument.
    """
    field = check_queue(samples, label_field, order, states, limit)
    if class_name is not None and not isinstance(class_name, str):
        raise InputError(f"class_name must be a name or None, got {shown(class_name)}")
    mark_edited(samples, field, seconds=LOOKING_SECONDS)
    ours = is_named(samples, field)
    images = None if sample_ids is None else object_ids("sample_ids", sample_ids)
    is_asked = {"$eq": ["$$this.label", {"$literal": class_name}]} if class_name is not None else True
    of_class = {"state": {"$cond": [is_asked, state(ours=ours), None]}}
    groups = masks_of(
        samples, field, of_class, sample_ids=images, then=[{"$unwind": "$state"}, {"$sortByCount": "$state"}]
    )
    counts = Counter({group["_id"]: group["count"] for group in groups if group["_id"] is not None})
    rows = masks_of(
        samples,
        field,
        {"mask": _RANKED},
        where={"$and": [is_asked, {"$in": [state(ours=ours), list(states)]}]},
        sample_ids=images,
        then=[{"$unwind": "$mask"}, {"$sort": _SORTED[order]}, {"$limit": min(limit, MOST_LISTED)}],
    )
    return Queue(
        field,
        detections_fields(samples),
        counts.total(),
        counts[OPEN],
        sum(counts[name] for name in REVIEWS),
        [(str(row["sample"]), str(row["mask"]["id"]), round(float(row["mask"]["doubt"]), 3)) for row in rows],
        names_of(samples, field),
    )


def names_of(samples: Any, label_field: str) -> list[str]:
    """Names that a dataset's masks have, most frequent first, and after them other classes of its maps."""
    dataset, labels = root_dataset(samples), f"${label_field}.detections.label"
    groups = samples_of(dataset).aggregate(
        [{"$project": {"label": labels}}, {"$unwind": "$label"}, {"$sortByCount": "$label"}]
    )
    targets = dataset.mask_targets.get(Fields(label_field).semantic) or {}
    found = dict.fromkeys([row["_id"] for row in groups] + list(targets.values()))
    return [name for name in found if isinstance(name, str)]


def check_queue(samples: Any, label_field: Any, order: Any, states: Any, limit: Any) -> str:
    """The field of a queue. Raises InputError where an argument of it cannot be used."""
    if label_field is None:
        check_collection(samples)
    field: str = label_field if label_field is not None else field_shown(samples)
    check_masks(samples, field)
    if order not in ORDERS:
        raise InputError(f"order must be one of {', '.join(ORDERS)}; got {shown(order)}")
    if not isinstance(states, Sequence) or isinstance(states, str) or any(name not in STATES for name in states):
        raise InputError(f"states must be a list of {', '.join(STATES)}; got {shown(states)}")
    if type(limit) is not int or limit < 1:
        raise InputError(f"limit must be a whole number from 1 on, got {shown(limit)}")
    return field


def review_items(samples: Any, label_field: str, items: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """What there is to see of a few masks, ready for JSON; those that are gone are left out.

    Args:
        samples: a dataset or view
        label_field: a Detections field
        items: pairs of sample id and mask id, at most 20

    Raises InputError for a bad argument.
    """
    check_masks(samples, label_field)
    pairs = check_pairs(items)
    rows = f"${label_field}.detections"
    ids = [mask_id for _, mask_id in pairs]
    wanted = {"$filter": {"input": {"$ifNull": [rows, []]}, "cond": {"$in": ["$$this._id", ids]}}}
    picked = {"$map": {"input": wanted, "in": {name: f"$$this.{name}" for name in ("_id", *_SHOWN)}}}
    found = samples_of(root_dataset(samples)).aggregate(
        [
            {"$match": {"_id": {"$in": [sample_id for sample_id, _ in pairs]}}},
            {"$project": {"filepath": 1, "metadata.width": 1, "metadata.height": 1, "masks": picked}},
        ]
    )
    ours = is_named(samples, label_field)
    shown_items = {(doc["_id"], mask["_id"]): _item(doc, mask, ours) for doc in found for mask in doc["masks"]}
    return [shown_items[pair] for pair in pairs if pair in shown_items]


def check_pairs(items: Any) -> list[tuple[ObjectId, ObjectId]]:
    """Pairs of ids. Raises InputError unless `items` are such, and few enough to show."""
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) > MOST_ITEMS:
        raise InputError(f"items must be at most {MOST_ITEMS} pairs of a sample's and a mask's id, got {shown(items)}")
    try:
        return [(ObjectId(sample_id), ObjectId(mask_id)) for sample_id, mask_id in items]
    except (InvalidId, TypeError, ValueError) as error:
        raise InputError(f"items must be pairs of a sample's and a mask's id, got {shown(items)}") from error


def _item(sample: Document, mask: Document, ours: bool) -> dict[str, Any]:
    try:
        pixels = stored_mask(mask)
    except InputError:
        pixels = None
    width, height = _size(sample, mask, pixels)
    x, y, w, h = mask.get("bounding_box") or (0.0, 0.0, 1.0, 1.0)
    proposals = stored_proposals(mask)
    return {
        "sample_id": str(sample["_id"]),
        "mask_id": str(mask["_id"]),
        "filepath": sample["filepath"],
        "width": width,
        "height": height,
        "label": mask.get("label"),
        "class_name": mask.get("class_name"),
        "state": state_of(mask, ours=ours),
        "proposals": [
            {"name": name, "score": None if math.isnan(score) else score}
            for name, score in zip(proposals.names, proposals.scores, strict=True)
        ],
        "confidence": mask.get("confidence"),
        "margin": mask.get("vote_margin"),
        "area": mask.get("area"),
        "source": mask.get("label_source"),
        "caption": mask.get("caption"),
        "box": [round(v, 2) for v in (x * width, y * height, w * width, h * height)],
        "mask": _png(pixels) if pixels is not None and pixels.size else "",
    }


def _size(sample: Document, mask: Document, pixels: Any) -> tuple[int, int]:
    """Width and height of an image: as its metadata says, or the mask's share of it, or the file."""
    metadata = sample.get("metadata") or {}
    if metadata.get("width") and metadata.get("height"):
        return metadata["width"], metadata["height"]
    box = mask.get("bounding_box")
    if pixels is not None and box and box[2] > 0 and box[3] > 0:
        return round(pixels.shape[1] / box[2]), round(pixels.shape[0] / box[3])
    try:
        with PIL.Image.open(sample["filepath"]) as image:
            return image.size
    except OSError:
        return (1, 1)


def _png(pixels: Any) -> str:
    """A mask as a base64 PNG, 8 bits, 255 inside."""
    step = max(1, -(-max(pixels.shape) // SHOWN_PIXELS))
    picture = PIL.Image.fromarray(np.ascontiguousarray(pixels[::step, ::step]).astype(np.uint8) * 255)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()
