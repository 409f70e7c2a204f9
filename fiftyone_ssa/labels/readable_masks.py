"""The masks of one image that count: those that can be read and that nobody rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fiftyone_ssa.labels.review import is_rejected
from fiftyone_ssa.labels.stored_masks import read_masks
from fiftyone_ssa.masks import foreign
from fiftyone_ssa.masks.runs import keep, runs_of
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
    counting = [place for place, row in enumerate(rows) if not is_rejected(row)]
    read = read_masks([rows[place] for place in counting], size_hw)
    places = [counting[place] for place in read.places]
    iou, stability = (
        np.array([foreign.number_or_nan(rows[place].get(name)) for place in places], np.float64)
        for name in ("predicted_iou", "stability_score")
    )
    masks = keep(replace(read.masks, predicted_iou=iou, stability_score=stability), runs_of(read.masks))
    return Readable(masks, places, len(read.problems), len(rows) - len(counting))
