"""What people did to a detection: the one place that says whether a mask is theirs to keep.

SSA writes with every mask `class_name` (what it said, never edited afterwards) and `mask_digest` (the mask as it was).
People change `label`, set `review` and `reviewed_at`, add tags, edit the mask or its box, or draw masks of their own.
Each function takes a detection as FiftyOne's object or as the document that MongoDB holds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import fiftyone as fo
import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.stored_masks import stored_mask, value, whole_rows

Detection: TypeAlias = fo.Detection | Mapping[str, Any]

ACCEPTED, CORRECTED, REJECTED = "accepted", "corrected", "rejected"
REVIEWS = (ACCEPTED, CORRECTED, REJECTED)
OPEN = "open"
STATES = (*REVIEWS, OPEN)
CORNER_STEPS = 16
"""Steps of a pixel in which a digest holds a box's corner: finer edits do not count, nor do rounded floats."""


def state(detection: str = "$$this", *, ours: bool = True) -> dict[str, Any]:
    """Which of `STATES` a mask is in, as a MongoDB expression over stored attributes: no mask is decoded.

    Args:
        detection ("$$this"): the expression that holds the detection
        ours (True): whether SSA named masks of this field (`class_name` is declared): a mask that has another label
            than SSA's is then a person's correction, in someone else's field it says nothing
    """
    review, label, name = ({"$ifNull": [f"{detection}.{key}", None]} for key in ("review", "label", "class_name"))
    relabelled = [{"case": {"$ne": [label, name]}, "then": CORRECTED}] if ours else []
    reviewed = {"case": {"$in": [review, list(REVIEWS)]}, "then": review}
    return {"$switch": {"branches": [reviewed, *relabelled], "default": OPEN}}


def state_of(detection: Detection, *, ours: bool = True) -> str:
    """What `state` says, of a detection that is here already."""
    review = value(detection, "review")
    if review in REVIEWS:
        return str(review)
    return CORRECTED if ours and value(detection, "label") != value(detection, "class_name") else OPEN


def listed(path: str) -> dict[str, Any]:
    """A stored list, as a MongoDB expression; of anything else, into which it cannot look, an empty one."""
    return {"$cond": [{"$isArray": path}, path, []]}


def which(condition: Callable[[str], dict[str, Any]]) -> fo.ViewExpression:
    """A condition of a mask, made for where the mask is found, for `filter_labels`: of lists, and of patches, in which
    FiftyOne has no "$$this".
    """
    return fo.ViewExpression({"$let": {"vars": {"mask": fo.ViewField()}, "in": condition("$$mask")}})


def state_is(name: str, *, ours: bool = True) -> fo.ViewExpression:
    """Whether a mask is in a state, for `view.filter_labels(label_field, state_is("open"))`."""
    return which(lambda mask: {"$eq": [state(mask, ours=ours), name]})


def is_touched(detection: Detection) -> bool:
    """Whether a person reviewed, relabelled, tagged or drew this mask, or changed its pixels or its box.

    A mask whose file is gone counts by its other attributes alone: there is nothing of a person's left to keep.
    """
    return (
        bool(value(detection, "review"))
        or bool(value(detection, "tags"))
        or is_drawn(detection)
        or is_edited(detection)
    )


def is_drawn(detection: Detection) -> bool:
    """Whether SSA never said anything of this mask: it has no `class_name`, nor the digest of one without a name."""
    return value(detection, "class_name") is None and value(detection, "mask_digest") is None


def is_edited(detection: Detection) -> bool:
    """Whether a mask's label, pixels or box are not those that SSA wrote."""
    return value(detection, "label") != value(detection, "class_name") or is_redrawn(detection)


def is_redrawn(detection: Detection) -> bool:
    """Whether a mask's pixels or box are not those that SSA wrote."""
    written = value(detection, "mask_digest")
    if written is None:
        return False  # written before digests were: what is not known cannot have changed
    try:
        return bool(digest_of(detection) != written)
    except InputError:
        return value(detection, "mask") is not None  # a file that is gone or damaged is no person's work


def is_rejected(detection: Detection) -> bool:
    """Whether a person said that this mask is wrong: it stays, suppresses others, and is painted nowhere."""
    return bool(value(detection, "review") == REJECTED)


def mask_digest(
    crop: npt.NDArray[Any], corner_xy: tuple[float, float], size_hw: tuple[float, float], *, tight: bool = False
) -> str:
    """Sixteen hex digits over a mask that is `crop` (h, w), > 0 inside, at `corner_xy` of an image of `size_hw`.

    Empty margins do not count; `tight` says that there are none. Two masks of one image have the same digest if, and
    but for chance only if, their pixels are the same, however they are stored.
    """
    flat: npt.NDArray[Any] = np.asarray(crop if crop.ndim == 2 else crop.any(axis=-1))
    inside: npt.NDArray[np.bool_] = flat if flat.dtype == np.bool_ else flat > 0
    x, y = (round(v * CORNER_STEPS) for v in corner_xy)
    if not tight:
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if len(rows) == 0:
            inside, x, y = inside[:0, :0], 0, 0
        else:
            inside = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            x, y = x + int(columns[0]) * CORNER_STEPS, y + int(rows[0]) * CORNER_STEPS
    height, width = (round(v) for v in size_hw)
    text = f"{height} {width} {y} {x} {inside.shape[0]} {inside.shape[1]} "
    return hashlib.blake2b(text.encode() + np.packbits(inside).tobytes(), digest_size=8).hexdigest()


def digest_of(detection: Detection) -> str | None:
    """`mask_digest` of a detection as it stands; None where it has no mask, or a box that is none.

    The image's size follows from the mask's and its share of the image, so that the image need not be opened.
    Raises InputError if the mask cannot be read.
    """
    mask, box = stored_mask(detection), value(detection, "bounding_box")
    if mask is None or mask.ndim < 2 or not _is_box(box):
        return None
    x, y, width, height = (float(v) for v in box)
    size_hw = (mask.shape[0] / height, mask.shape[1] / width)
    if not all(map(math.isfinite, size_hw)):
        return None
    corner = (x * round(size_hw[1]), y * round(size_hw[0]))
    return mask_digest(mask, corner, size_hw) if all(map(math.isfinite, corner)) else None


def label_digest(label: Mapping[str, Any] | None) -> str | None:
    """Sixteen hex digits over all that people may change of a stored Detections: names, reviews, tags, boxes, masks."""
    if label is None:
        return None
    said = [
        [
            *(str(row["_id"]), row.get("label"), row.get("review"), str(row.get("reviewed_at"))),
            *(list(row.get("tags") or []), row.get("bounding_box"), row.get("mask_path"), row.get("mask")),
        ]
        for row in whole_rows(label)
    ]
    return hashlib.blake2b(repr(said).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def painted_digest(pairs: Iterable[tuple[str | None, str | None]]) -> str:
    """Sixteen hex digits over what a class map was painted from: the name and the `digest_of` of each mask.

    Masks without a name paint nothing; order does not count.
    """
    rows = sorted(f"{name}\0{digest}" for name, digest in pairs if name is not None)
    return hashlib.blake2b("\n".join(rows).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def paintable(detections: Iterable[Detection]) -> Iterator[tuple[str | None, str | None]]:
    """The name and digest of each mask that a map painted now would show: rejected ones are left out."""
    for detection in detections:
        if not is_rejected(detection):
            try:
                yield value(detection, "label"), digest_of(detection)
            except InputError:
                yield value(detection, "label"), None


def _is_box(box: Any) -> bool:
    numbers = isinstance(box, list | tuple) and len(box) == 4 and all(isinstance(v, int | float) for v in box)
    return numbers and all(map(math.isfinite, box)) and bool(box[2] > 0 and box[3] > 0)
