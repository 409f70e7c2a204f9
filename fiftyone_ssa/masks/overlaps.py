"""How masks of one image lie in each other, from their runs: no mask is made dense."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.runs import Runs, runs_of
from fiftyone_ssa.types import Ints, MaskSet


def intersections(masks: MaskSet) -> Ints:
    """(N, N) pixels that each two masks share; a mask shares its area with itself."""
    runs = runs_of(masks)
    shared = np.zeros((len(runs), len(runs)), np.int64)
    corner, far = masks.boxes_xywh[:, :2], masks.boxes_xywh[:, :2] + masks.boxes_xywh[:, 2:]
    rank = np.argsort(np.argsort(masks.areas_px, kind="stable"), kind="stable")
    for index in np.flatnonzero(masks.areas_px).tolist():
        met = (corner < far[index]).all(1) & (far > corner[index]).all(1) & (rank <= rank[index])
        near = np.flatnonzero(met & (masks.areas_px > 0))
        shared[index, near] = shared_px(runs, index, near)
    return np.maximum(shared, shared.T)


def shared_px(runs: Runs, index: int, others: Ints) -> Ints:
    """(M,) how many pixels a mask shares with each of M others, none of them empty.

    How many of a mask's pixels lie before a place is linear between the ends of its runs, so what it shares with a run
    is a difference of two interpolations: one call for the runs of all others.
    """
    first, last = runs[index]
    knots = np.column_stack([first, last]).ravel()
    before = np.repeat(np.append(0, np.cumsum(last - first)), 2)[1:-1]
    counts = np.diff(runs.bounds)[others]
    offsets = np.append(0, np.cumsum(counts))
    places = np.arange(offsets[-1]) + np.repeat(runs.bounds[others] - offsets[:-1], counts)
    inside = np.interp(runs.ends[places], knots, before) - np.interp(runs.starts[places], knots, before)
    return np.rint(np.add.reduceat(inside, offsets[:-1])).astype(np.int64)


def parents(shared: Ints, *, inside: float = 0.9, smaller: float = 0.8) -> Ints:
    """(N,) the smallest mask that holds at least `inside` of each mask, which is smaller than `smaller` of it; or -1.

    Args:
        shared: (N, N) pixels, of `intersections`
        inside (0.9): share of the mask's pixels that its parent has to hold
        smaller (0.8): a mask larger than this share of another is the same thing seen twice, and no part
    """
    areas = np.diag(shared)
    holds = (shared >= inside * areas[:, None]) & (areas[:, None] < smaller * areas) & (areas[:, None] > 0)
    sizes = np.where(holds, areas, np.iinfo(np.int64).max)
    found: Ints = np.where(holds.any(1), sizes.argmin(1), -1) if len(areas) else np.zeros(0, np.int64)
    return found


def twins(shared: Ints, iou: float = 0.7) -> npt.NDArray[np.bool_]:
    """(N, N) which masks overlap by more than `iou` with each other, and so show the same; none with itself."""
    areas = np.diag(shared)
    united = areas[:, None] + areas - shared
    return (shared > iou * united) & ~np.eye(len(areas), dtype=np.bool_)
