"""A sample's new masks beside those that people touched, and new names on masks that stay."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import fiftyone as fo
import numpy as np
import numpy.typing as npt
from bson import ObjectId
from pycocotools import mask as coco

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import Document
from fiftyone_ssa.labels.documents import ATTRIBUTES, NAMED
from fiftyone_ssa.labels.review import ACCEPTED, digest_of, is_drawn, is_touched, painted_digest
from fiftyone_ssa.labels.stored_masks import mask_counts, stored_mask, stored_proposals
from fiftyone_ssa.labels.updates import now
from fiftyone_ssa.types import MaskSet

GIVE_WAY_IOU = 0.5
"""A new mask that overlaps one that a person touched by so much is taken for the same, and left out."""

WRITTEN = frozenset({"_id", "_cls", *fo.Detection._fields, *ATTRIBUTES})
"""What runs and tools of ours, or FiftyOne itself, write into a detection."""


@dataclass(frozen=True)
class Merged:
    """A label as it is to be stored."""

    label: Document
    kept: int = 0
    """Masks that stay as people left them."""
    painted: str = ""
    """`review.painted_digest` of the masks that the run's class map shows."""
    unused_files: tuple[str, ...] = ()
    """Files of new masks that gave way."""


def beside_touched(
    new: Document,
    old: Sequence[Document],
    masks: MaskSet,
    *,
    from_before: bool = False,
    evaluated: Collection[str] = (),
) -> Merged:
    """The new Detections, and after them those of the old ones that people touched, as they are.

    A new mask has the attributes that people gave to an old one of the very same pixels. `masks` are the new ones',
    `from_before` says that the old ones are of a version that wrote no `class_name`, and `evaluated` are attributes of
    evaluations.
    """
    new = _with_own_attributes(new, old, evaluated)
    found: list[Document] = new["detections"]
    painted = painted_digest((row.get("label"), row.get("mask_digest")) for row in found)
    touched = [row for row in old if is_touched(_with_class_name(row) if from_before else row)]
    if not touched:
        return Merged(new, painted=painted)
    stays = ~overlap(masks, touched)
    fresh = [row for row, stay in zip(found, stays, strict=True) if stay]
    unused = [row["mask_path"] for row, stay in zip(found, stays, strict=True) if not stay and "mask_path" in row]
    return Merged({**new, "detections": fresh + touched}, len(touched), painted, tuple(unused))


def _with_own_attributes(new: Document, old: Sequence[Document], evaluated: Collection[str]) -> Document:
    """The new Detections with what people added to masks of the same digest; itself where that is nothing."""
    own: dict[str, Document] = {}
    for row in old:
        added = {key: value for key, value in row.items() if key not in WRITTEN and key not in evaluated}
        if added and isinstance(digest := row.get("mask_digest"), str):
            own.setdefault(digest, added)
    if not own:
        return new
    return {**new, "detections": [{**own.get(row.get("mask_digest"), {}), **row} for row in new["detections"]]}


def in_place(old: Document, names: Mapping[ObjectId, Document], *, everything: bool = False) -> Merged:
    """The same masks with new names: ids, tags and all that says what a mask is stay, and masks not in `names`.

    A mask that a person touched stays as it is, unless `everything`. One that SSA never saw keeps a label that it has:
    `class_name` then says what SSA calls it, and where the two agree it counts as accepted.
    """
    rows, painted, kept = [], [], 0
    for row in old["detections"]:
        told = names.get(row["_id"])
        if told is None:
            rows.append(row)
            continue
        digest = _digest(row)
        painted.append((told.get("label"), digest))
        if everything or not is_touched(row):
            rows.append(_renamed(row, told, digest))
        elif is_drawn(row) and not row.get("review"):
            rows.append(_renamed(row, told, digest) if row.get("label") is None else _told(row, told, digest))
            kept += row.get("label") is not None
        else:
            rows.append(row)
            kept += 1
    return Merged({**old, "detections": rows}, kept, painted_digest(painted))


def _renamed(row: Document, told: Document, digest: str | None) -> Document:
    """A mask with a run's name, as if no person had been there."""
    gone = (*NAMED, "review", "reviewed_at", "reviewed_by")
    kept = {key: value for key, value in row.items() if key not in gone}
    return {**kept, **told, **({"mask_digest": digest} if digest else {})}


def _told(row: Document, told: Document, digest: str | None) -> Document:
    """A mask that keeps its label, with what SSA says of it beside."""
    said = {key: value for key, value in told.items() if key not in ("label", "confidence")}
    agreed = {"review": ACCEPTED, "reviewed_at": now()} if row["label"] == told.get("class_name") else {}
    return {**row, **said, **({"mask_digest": digest} if digest else {}), **agreed}


def _with_class_name(row: Document) -> Document:
    """A mask of a version before `class_name`, with the best proposal for it, and an edited mask told by its area."""
    if not isinstance(row.get("class_proposals"), list) or "area" not in row:
        return {**row, "class_name": None, "mask_digest": None}
    try:
        mask = stored_mask(row)
    except InputError:
        mask = None
    edited = mask is not None and np.count_nonzero(mask) != row["area"]
    return {
        **row,
        "class_name": next(iter(stored_proposals(row).names), None),
        "mask_digest": "edited" if edited else _digest(row),
    }


def _digest(row: Document) -> str | None:
    try:
        return digest_of(row)
    except InputError:
        return None


def overlap(masks: MaskSet, touched: Sequence[Document]) -> npt.NDArray[np.bool_]:
    """(N,) whether a mask is one of those touched, by `GIVE_WAY_IOU`; a box without a mask counts as filled."""
    codes = [code for row in touched for code in _codes(row, masks.size_hw)]
    if not codes or not len(masks):
        return np.zeros(len(masks), bool)
    theirs, ours = ([{"size": list(masks.size_hw), "counts": code} for code in group] for group in (codes, masks.rles))
    iou = coco.iou(ours, theirs, [0] * len(theirs))
    return np.asarray((np.nan_to_num(iou) >= GIVE_WAY_IOU).any(axis=1))


def _codes(row: Document, size_hw: tuple[int, int]) -> tuple[bytes, ...]:
    """A detection's mask in the image's pixels; none where it cannot be read."""
    has_mask = row.get("mask") is not None or row.get("mask_path")
    try:
        return (mask_counts(row if has_mask else {**row, "mask": np.ones((1, 1), bool)}, size_hw),)
    except InputError:
        return ()
