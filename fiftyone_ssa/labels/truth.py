"""Which names are right for masks, by a field that holds the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import fiftyone as fo
import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import values_of
from fiftyone_ssa.labels.database import root_dataset
from fiftyone_ssa.labels.documents import semantic_map
from fiftyone_ssa.labels.source import class_names
from fiftyone_ssa.labels.stored_masks import readable_masks, stored_values
from fiftyone_ssa.layouts.class_names import match_names
from fiftyone_ssa.masks.overlaps import intersections
from fiftyone_ssa.naming.voting import count_classes
from fiftyone_ssa.types import MaskSet

SAME = 0.5
"""IoU from which a mask shows what a true mask shows."""


@dataclass(frozen=True)
class Truth:
    """What a field of a dataset knows."""

    names: frozenset[str]
    """Every name that it uses: of others it says nothing."""
    of: Callable[[fo.Sample, MaskSet], list[frozenset[str]]]
    """The right names of each mask of a sample, none where it does not tell. Raises InputError if it is unreadable."""

    def called(self, name: str | None) -> str | None:
        """The truth's own word for a name, however written (`match_names`); None where it has none."""
        return name if name is None or name in self.names else _called(name, self.names)

    def judge(self, right: frozenset[str], name: str | None) -> bool | None:
        """Whether a name is one of those that are right for its mask; None where that cannot be said."""
        called = self.called(name)
        return called in right if right and called is not None else None


@lru_cache(maxsize=1 << 14)
def _called(name: str, names: frozenset[str]) -> str | None:
    known = sorted(names)
    place = match_names([name], known).ids[0]
    return None if place is None else known[place]


def truth_of(samples: Any, gt_field: str) -> Truth:
    """Of a Segmentation field the class of most of a mask's pixels, of Detections the true mask that a mask fits."""
    dataset = root_dataset(samples)
    if gt_field in dataset.get_field_schema(embedded_doc_type=fo.Segmentation):
        targets = class_names(samples, gt_field)

        def by_pixels(sample: fo.Sample, masks: MaskSet) -> list[frozenset[str]]:
            values = stored_values(sample[gt_field])
            if values is None:
                raise InputError(f"{gt_field!r} has no class map")
            truth = semantic_map(values_of(values), targets)
            if truth.size_hw != masks.size_hw:
                raise InputError(f"{gt_field!r} is {truth.size_hw} (height, width) but the image is {masks.size_hw}")
            counts = count_classes(masks, truth)
            return [frozenset({truth.names[row.argmax()]} if row.any() else ()) for row in counts]

        return Truth(frozenset(targets.values()), by_pixels)

    def by_masks(sample: fo.Sample, masks: MaskSet) -> list[frozenset[str]]:
        true, rows = readable_masks(sample[gt_field], masks.size_hw), sample[gt_field].detections
        return list(_fitting(masks, true.masks, [rows[place].label for place in true.places]))

    return Truth(frozenset(samples.distinct(f"{gt_field}.detections.label")), by_masks)


def _fitting(masks: MaskSet, true: MaskSet, labels: list[str]) -> Iterator[frozenset[str]]:
    shared = intersections(MaskSet.merge([masks, true]))
    areas, count = np.diag(shared), len(masks)
    ious = shared[:count, count:] / np.maximum(areas[:count, None] + areas[count:] - shared[:count, count:], 1)
    for row in ious:
        best = row.max(initial=0.0)
        # a thing with one visible part is both: every true mask that fits as well counts
        yield frozenset(labels[i] for i in np.flatnonzero(row >= best)) if best >= SAME else frozenset()
