"""The masks of one image that count: those that can be read and that nobody rejected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.review import is_rejected
from fiftyone_ssa.labels.stored_masks import mask_counts
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.types import MaskSet


@dataclass(frozen=True)
class Readable:
    """Masks of one image, with what their source said of their quality, and which of its detections they are."""

    masks: MaskSet
    places: Sequence[int]
    """(N,) each mask's place among the detections."""
    unreadable: int
    rejected: int


def readable_masks(rows: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> Readable:
    """Decode the detections of one image of `size_hw`, as MongoDB holds them; one that is damaged costs itself only."""
    places, codes, unreadable, rejected = [], [], 0, 0
    for place, row in enumerate(rows):
        if is_rejected(row):
            rejected += 1
            continue
        try:
            codes.append(mask_counts(row, size_hw))
        except InputError:
            unreadable += 1
        else:
            places.append(place)
    iou, stability = ([_number(rows[i].get(name)) for i in places] for name in ("predicted_iou", "stability_score"))
    masks = rle.mask_set(size_hw, codes, predicted_iou=iou, stability_score=stability)
    return Readable(masks, places, unreadable, rejected)


def _number(stored: Any) -> float:
    return float(stored) if foreign.is_number(stored) else math.nan
