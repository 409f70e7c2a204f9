"""Votes on class probabilities instead of one class a pixel, held at the segmenter's own resolution.

The mean over a mask of bilinearly upsampled probabilities is the mean over the grid's cells weighted by how much of
the mask each cell serves; so masks are brought down to the grid, and probabilities never up to the image. Only
`blend`, which decides pixel by pixel, interpolates, and only for classes that can win.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.grids import AxisSources, axis_sources
from fiftyone_ssa.naming.voting import paint
from fiftyone_ssa.types import Floats, Ints, MaskSet, SemanticMap, Votes, class_ids

Probabilities = npt.NDArray[np.float32]
"""(C, h, w) float32 that sum to 1 over the classes at every cell."""

CORE_MARGIN_PX = 2
"""How far `core` stays away from a mask's border: segmenters err there."""
CORE_MIN_PX = 30
"""A mask whose core is smaller votes as a whole."""
BAND_PX = 1 << 20
"""Pixels of a mask made dense at once."""


def mean_probabilities(
    masks: MaskSet, probabilities: Probabilities, *, align_corners: bool, core: bool = False
) -> Floats:
    """(N, C) mean class probabilities under each mask (or its core), as if upsampled bilinearly to the image first.

    Zeros where a mask is empty. `core` leaves out a margin of 2 px where at least 30 px remain.
    """
    rows, columns = _sources(probabilities, masks.size_hw, align_corners)
    means = np.zeros((len(masks), len(probabilities)))
    for index in np.flatnonzero(masks.areas_px):
        weights = np.zeros(probabilities.shape[1:])
        area = 0
        for whole in (False, True) if core else (True,):
            for x0, y0, mask in _bands(masks, int(index), margin=0 if whole else CORE_MARGIN_PX):
                y, x = rows.part(y0, y0 + mask.shape[0]), columns.part(x0, x0 + mask.shape[1])
                weights[y.cells, x.cells] += y.matrix().T @ (mask.astype(np.float32) @ x.matrix())
                area += int(mask.sum())
            if area >= CORE_MIN_PX or whole:
                break
            weights[:], area = 0, 0
        used = np.ix_(np.flatnonzero(weights.any(1)), np.flatnonzero(weights.any(0)))
        means[index] = np.tensordot(probabilities[:, used[0], used[1]], weights[used], 2) / area
    return means


def firmness(masks: MaskSet, votes: Votes) -> Floats:
    """(N,) how much each mask outweighs its pixels in `blend`: its winning share times what is known of the mask.

    Quality q is predicted IoU times stability, as far as they are known. The share is multiplied by how far the odds
    q / (1 - q) are above even, at most 48: a mask that is more likely wrong than right has no say, a good one decides
    nearly alone. A mask of unknown quality has its share alone, which is `blend 1` of the measured rules.
    """
    known = np.column_stack([masks.predicted_iou, masks.stability_score])
    quality = np.clip(np.prod(np.where(np.isnan(known), 1.0, known), axis=1), 0.0, 0.98)
    trust = np.where(np.isnan(known).all(1), 1.0, np.maximum(quality / (1 - quality) - 1, 0.0))
    firm: Floats = votes.shares * trust
    return firm


def blend(
    masks: MaskSet,
    probabilities: Probabilities,
    means: Floats,
    firm: Floats,
    branch: SemanticMap,
    *,
    align_corners: bool,
) -> SemanticMap:
    """Per pixel the class with the highest log p + firmness * log mean p of the smallest mask over it.

    Pixels under no mask keep the branch's class. `means` (N, C) and `firm` (N,) are those of the two functions above.
    """
    rows, columns = _sources(probabilities, masks.size_hw, align_corners)
    owner = paint(masks, np.arange(len(masks)), np.full(masks.size_hw, -1, np.int32))
    ids = branch.ids.copy()
    logs = np.log(np.maximum(means, 1e-12))
    for index in np.flatnonzero(masks.areas_px):
        for x0, y0, mask in _bands(masks, int(index), margin=0):
            height, width = mask.shape
            y, x = np.nonzero(owner[y0 : y0 + height, x0 : x0 + width] == index)
            if len(y):
                best = _best(probabilities, rows, columns, y + y0, x + x0, firm[index] * logs[index])
                ids[y + y0, x + x0] = class_ids(best, len(probabilities))
    return SemanticMap(ids, branch.names)


def _best(
    probabilities: Probabilities, rows: AxisSources, columns: AxisSources, y: Ints, x: Ints, prior: Floats
) -> Ints:
    cells = probabilities[:, int(rows.low[y.min()]) : int(rows.high[y.max()]) + 1]
    cells = np.log(np.maximum(cells[:, :, int(columns.low[x.min()]) : int(columns.high[x.max()]) + 1], 1e-12))
    upper, lower = cells.max((1, 2)) + prior, cells.min((1, 2)) + prior
    able = np.flatnonzero(upper >= lower.max())
    best = np.zeros(len(y), np.int64)
    top = np.full(len(y), -np.inf)
    wy, wx = rows.weight[y], columns.weight[x]
    for class_id in able:
        plane = probabilities[class_id]
        above = plane[rows.low[y], columns.low[x]] * (1 - wx) + plane[rows.low[y], columns.high[x]] * wx
        below = plane[rows.high[y], columns.low[x]] * (1 - wx) + plane[rows.high[y], columns.high[x]] * wx
        score = np.log(np.maximum(above * (1 - wy) + below * wy, 1e-12)) + prior[class_id]
        better = score > top
        best[better], top[better] = class_id, score[better]
    return best


def _sources(
    probabilities: Probabilities, size_hw: tuple[int, int], align_corners: bool
) -> tuple[AxisSources, AxisSources]:
    return (
        axis_sources(probabilities.shape[1], size_hw[0], align_corners),
        axis_sources(probabilities.shape[2], size_hw[1], align_corners),
    )


def _bands(masks: MaskSet, index: int, margin: int) -> Iterator[tuple[int, int, npt.NDArray[np.bool_]]]:
    """The mask's box in bands of columns, dense: (x0, y0, (h, w) bool), eroded by a square of `margin` pixels.

    Beyond the image's border counts as mask: a mask is not eroded where the image ends.
    """
    x, y, w, h = (int(v) for v in masks.boxes_xywh[index])
    height, width = masks.size_hw
    step = max(1, BAND_PX // h)
    for left in range(x, x + w, step):
        right = min(left + step, x + w)
        x0, y0, x1, y1 = (
            max(left - margin, 0),
            max(y - margin, 0),
            min(right + margin, width),
            min(y + h + margin, height),
        )
        mask = rle.decode_crop(masks.rles[index], masks.size_hw, (x0, y0, x1, y1))
        if margin:
            around = ((y0 - y + margin, y + h + margin - y1), (x0 - left + margin, right + margin - x1))
            mask = np.pad(mask, around, constant_values=True)
            for axis in (0, 1):
                mask = np.asarray(np.lib.stride_tricks.sliding_window_view(mask, 2 * margin + 1, axis).all(-1))
        yield left, y, mask
