"""Masks that overlap, resolved: every pixel belongs to one segment, or to none. Pure functions on numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.rle import class_rles, tight_crops
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.types import Floats, Ints, MaskSet

LEAST_LEFT = 0.5
"""A mask of which better ones leave less than this share is left out, as in panoptic segmentation's usual merging."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PanopticMap:
    """One segment a pixel."""

    ids: npt.NDArray[np.int32]
    """(H, W) segments from 1 on; 0 is no segment."""
    members: tuple[tuple[int, ...], ...]
    """Of each segment the masks that it is made of, the one that came first first; segment i + 1 is `members[i]`."""

    def codes(self) -> Iterator[tuple[int, bytes]]:
        """Each segment that has a pixel, with its mask's compressed code, ascending."""
        return class_rles(self.ids, 0)


def order_of(masks: MaskSet, *, depths: Ints, things: Flags, scores: Floats) -> Ints:
    """(N,) the order in which masks take their pixels.

    What lies in another mask comes before that, things before stuff, the surer name before the other, the smaller
    mask before the larger, then as they stand.

    Args:
        masks: of one image
        depths: (N,) how many masks lie around each (`containment.Containment.depths`)
        things: (N,) whether each is a countable thing, and not stuff
        scores: (N,) how sure each is; NaN counts as certain
    """
    return np.lexsort((masks.areas_px, -np.nan_to_num(scores, nan=1.0), ~things, -depths))


def resolve(masks: MaskSet, order: Ints, groups: Ints, *, least_left: float = LEAST_LEFT) -> PanopticMap:
    """Give every pixel to the first mask that covers it.

    Args:
        masks: of one image
        order: indices of the masks that take part, the first to choose first
        groups: (N,) masks of one group (not negative), as of a class of stuff, make one segment of all that is left of
            them; those of -1 are segments of their own
        least_left (0.5): share of such a mask's pixels that has to be free, or it is left out and takes none
    """
    ids = np.zeros(masks.size_hw, np.int32)
    order = order[masks.areas_px[order] > 0]
    crops = tight_crops(runs_of(masks[order]), masks.boxes_xywh[order], masks.size_hw[0])
    segments: list[list[int]] = []
    of_group: dict[int, int] = {}
    for index, crop in zip(order.tolist(), crops, strict=True):
        x, y, w, h = masks.boxes_xywh[index].tolist()
        window = ids[y : y + h, x : x + w]
        free = crop & (window == 0)
        left = int(np.count_nonzero(free))
        group = int(groups[index])
        if left == 0 or (group < 0 and left < least_left * masks.areas_px[index]):
            continue
        segment = of_group.get(group) if group >= 0 else None
        if segment is None:
            segments.append([])
            segment = of_group[group] = len(segments)
        segments[segment - 1].append(index)
        window[free] = segment
    return PanopticMap(ids, tuple(map(tuple, segments)))
