"""Votes on class probabilities instead of one class a pixel, held at the segmenter's own resolution.

The mean over a mask of bilinearly upsampled probabilities is the mean over the grid's cells weighted by how much of
the mask each cell serves; so masks are brought down to the grid, and probabilities never up to the image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.grids import AxisSources, axis_sources
from fiftyone_ssa.models.scores import Owners
from fiftyone_ssa.types import Floats, MaskSet

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
    rows, columns = grid_sources(probabilities, masks.size_hw, align_corners)
    means = np.zeros((len(masks), len(probabilities)))
    for index in np.flatnonzero(masks.areas_px):
        for margin in (CORE_MARGIN_PX, 0) if core else (0,):
            weights = cell_weights(masks, int(index), rows, columns, probabilities.shape[1:], margin)
            if weights.sum() > CORE_MIN_PX - 0.5:  # each pixel's weights sum to 1, but for rounding
                break
        used = np.ix_(np.flatnonzero(weights.any(1)), np.flatnonzero(weights.any(0)))
        means[index] = np.tensordot(probabilities[:, used[0], used[1]], weights[used], 2) / weights.sum()
    return means


def cell_weights(
    masks: MaskSet,
    index: int,
    rows: AxisSources,
    columns: AxisSources,
    grid_hw: tuple[int, ...],
    margin: int = 0,
    owners: Owners | None = None,
) -> Floats:
    """(h, w) how many pixels of a mask, or of what is left of it, each cell of the grid serves.

    Left is what lies inside a margin, or, where `owners` (H, W) names the mask that each pixel belongs to, what is its.
    """
    weights = np.zeros(grid_hw)
    for x0, y0, mask in _bands(masks, index, margin):
        if owners is not None:
            mask = owners[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]] == index
        y, x = rows.part(y0, y0 + mask.shape[0]), columns.part(x0, x0 + mask.shape[1])
        weights[y.cells, x.cells] += y.matrix().T @ (mask.astype(np.float32) @ x.matrix())
    return weights


def grid_sources(
    probabilities: Probabilities, size_hw: tuple[int, int], align_corners: bool
) -> tuple[AxisSources, AxisSources]:
    """How an image's rows and columns lie on the grid of its probabilities."""
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
