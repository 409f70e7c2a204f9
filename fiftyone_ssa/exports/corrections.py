"""What people changed of masks in another tool: what came back beside what left, mask by mask.

Masks are known by their ids where the tool keeps them, else by the same pixels, else by what they overlap most
(IoU from `SAME_IOU` on). Pure: what is written of it is `exports.bringing_back`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from fiftyone_ssa.labels.exported import ExportedMask
from fiftyone_ssa.types import MaskSet

What = Literal["unchanged", "renamed", "redrawn", "renamed and redrawn", "new", "deleted"]
SAME_IOU = 0.5
"""From which overlap on a mask without an id is taken for the one that left: then no other can overlap it as much."""


@dataclass(frozen=True)
class Came:
    """A mask as it came back."""

    row: int
    """Its place among the image's masks."""
    id: str
    """What the file calls it; empty where it has no name for it."""
    label: str | None
    pixels: str
    """`pixels_digest`."""
    by: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Correction:
    """What became of one mask."""

    what: What
    left: ExportedMask | None = None
    """None of a new one."""
    came: Came | None = None
    """None of a deleted one."""


def corrections(
    left: Sequence[ExportedMask], came: Sequence[Came], overlaps: Mapping[tuple[int, int], float] | None = None
) -> list[Correction]:
    """What became of each mask that left and of each that came back, in the order of what left.

    Args:
        left: the masks as they were exported
        came: the masks as they came back
        overlaps (None): IoU of places in `left` and in `came`, of those that overlap
    """
    pairs = _by_id(left, came)
    _by_pixels(left, came, pairs)
    _by_overlap(overlaps or {}, pairs)
    found = [_correction(mask, came[pairs[place]] if place in pairs else None) for place, mask in enumerate(left)]
    taken = set(pairs.values())
    return found + [Correction("new", came=mask) for place, mask in enumerate(came) if place not in taken]


def unpaired(left: Sequence[ExportedMask], came: Sequence[Came]) -> tuple[list[int], list[int]]:
    """The places whose masks only their overlap can pair."""
    pairs = _by_id(left, came)
    _by_pixels(left, came, pairs)
    taken = set(pairs.values())
    return [i for i in range(len(left)) if i not in pairs], [i for i in range(len(came)) if i not in taken]


def ious(left: MaskSet, came: MaskSet) -> dict[tuple[int, int], float]:
    """The IoU of each two masks that overlap, by their places."""
    from pycocotools import mask as coco

    if not len(left) or not len(came):
        return {}
    codes = [[{"size": list(masks.size_hw), "counts": code} for code in masks.rles] for masks in (left, came)]
    found = np.asarray(coco.iou(codes[0], codes[1], [0] * len(came)))
    return {(int(i), int(j)): float(found[i, j]) for i, j in np.argwhere(found > 0)}


def _by_id(left: Sequence[ExportedMask], came: Iterable[Came]) -> dict[int, int]:
    """Place in `left` to place in `came`; an id that comes twice, as of a copy, counts for the first."""
    places = {str(mask.id): place for place, mask in enumerate(left)}
    pairs: dict[int, int] = {}
    for place, mask in enumerate(came):
        if (known := places.get(mask.id)) is not None:
            pairs.setdefault(known, place)
    return pairs


def _by_pixels(left: Sequence[ExportedMask], came: Sequence[Came], pairs: dict[int, int]) -> None:
    taken = set(pairs.values())
    waiting: dict[str, list[int]] = {}
    for place, mask in enumerate(came):
        if place not in taken:
            waiting.setdefault(mask.pixels, []).append(place)
    for place, exported in enumerate(left):
        places = waiting.get(exported.pixels, []) if place not in pairs else []
        if places:
            same = next((index for index, other in enumerate(places) if came[other].label == exported.label), 0)
            pairs[place] = places.pop(same)


def _by_overlap(overlaps: Mapping[tuple[int, int], float], pairs: dict[int, int]) -> None:
    taken = set(pairs.values())
    for (place, other), iou in sorted(overlaps.items(), key=lambda item: (-item[1], item[0])):
        if iou < SAME_IOU:
            return
        if place not in pairs and other not in taken:
            pairs[place] = other
            taken.add(other)


def _correction(left: ExportedMask, came: Came | None) -> Correction:
    if came is None:
        return Correction("deleted", left)
    renamed, redrawn = came.label not in (None, left.label), came.pixels != left.pixels
    words = [word for word, said in (("renamed", renamed), ("redrawn", redrawn)) if said]
    what: What = " and ".join(words) or "unchanged"  # type: ignore[assignment]
    return Correction(what, left, came)
