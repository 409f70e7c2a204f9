"""A mask's place in its tree: what it is a part of, and what its parts are, as `levels` wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import needs_database, root_dataset, samples_of
from fiftyone_ssa.labels.shown import check_masks, object_ids
from fiftyone_ssa.masks.containment import SUBPART

CHOICES = ("parts", "whole", "tree")
MOST_LINES = 40
"""Masks of a tree that are listed."""


@dataclass(frozen=True)
class Member:
    """One mask of a tree."""

    id: str
    name: str | None
    level: str
    depth: int
    """Below the tree's whole, 0."""


@dataclass(frozen=True)
class Family:
    """The tree that a mask stands in, each mask before its parts."""

    dataset: fo.Dataset
    label_field: str
    sample_id: str
    id: str
    """The mask that was asked for."""
    members: tuple[Member, ...]

    def ids(self, which: str) -> list[str]:
        """Of "parts" (all parts in the mask, at any depth), "whole" (the tree's first), or "tree" (all)."""
        place = next(i for i, member in enumerate(self.members) if member.id == self.id)
        this, inside = self.members[place], list[str]()
        for member in self.members[place + 1 :]:
            if member.depth <= this.depth:
                break
            if member.level != this.level or this.level == SUBPART:  # else it shows less of the same
                inside.append(member.id)
        every = [member.id for member in self.members]
        return {"parts": inside, "whole": every[:1], "tree": every}[which]

    def view(self, which: str = "parts") -> Any:
        """A view of the image with these masks alone. Raises InputError for another word than those of `ids`."""
        if which not in CHOICES:
            raise InputError(f"which must be one of {', '.join(CHOICES)}, got {shown(which)}")
        ids = [ObjectId(one) for one in self.ids(which)]
        return self.dataset.select(self.sample_id).filter_labels(self.label_field, fo.ViewField("_id").is_in(ids))

    def __str__(self) -> str:
        """The tree as a list in Markdown, this mask in bold."""
        lines = []
        for member in self.members[:MOST_LINES]:
            name = member.name or "(no name)"
            told = f"**{name}**" if member.id == self.id else name
            lines.append(f"{'    ' * member.depth}- {told} ({member.level})")
        more = len(self.members) - MOST_LINES
        return "\n".join([*lines, *([f"- and {more} more"] if more > 0 else [])])


@needs_database()
def family_of(samples: Any, mask_id: str, label_field: str = "ssa") -> Family:
    """The tree that a mask stands in, as `levels` last wrote it; masks that repeat others are left out of it.

    Args:
        samples: a dataset or view of images, or of patches
        mask_id: the mask's id
        label_field ("ssa"): its Detections field

    Raises InputError if there is no such mask, or it has no level yet.
    """
    check_masks(samples, label_field)
    dataset = root_dataset(samples)
    (wanted,) = object_ids("mask_id", [mask_id])
    path = f"{label_field}.detections"
    columns = {f"{path}.{name}": 1 for name in ("_id", "label", "level", "parent", "duplicate_of")}
    document = samples_of(dataset).find_one({f"{path}._id": wanted}, columns)
    rows = {str(row["_id"]): row for row in ((document or {}).get(label_field) or {}).get("detections") or []}
    if document is None or mask_id not in rows:
        raise InputError(f"{label_field!r} has no mask {mask_id}; it was deleted, or belongs to another field")
    if rows[mask_id].get("level") is None:
        raise InputError("this mask has no level yet; sort the masks first (levels, or its operator)")
    top = mask_id
    seen = {top}
    while (above := rows[top].get("parent")) in rows and above not in seen:
        top = above
        seen.add(top)
    below: dict[str, list[str]] = {}
    for identity, row in rows.items():
        if row.get("parent") and (row.get("duplicate_of") is None or identity == mask_id):
            below.setdefault(row["parent"], []).append(identity)

    placed = set[str]()

    def members(identity: str, depth: int) -> Iterator[Member]:
        if identity in placed:  # somebody's own attributes may go round in a circle
            return
        placed.add(identity)
        row = rows[identity]
        yield Member(identity, row.get("label"), str(row.get("level")), depth)
        for part in below.get(identity, ()):
            yield from members(part, depth + 1)

    return Family(dataset, label_field, str(document["_id"]), mask_id, tuple(members(top, 0)))
