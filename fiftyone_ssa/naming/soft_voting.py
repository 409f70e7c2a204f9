"""Votes on class probabilities instead of one class a pixel, held at the segmenter's own resolution.

The mean over a mask of bilinearly upsampled probabilities is the mean over the grid's cells weighted by how much of
the mask each cell serves; so masks are brought down to the grid, and probabilities never up to the image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.grids import Grid
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.types import Floats, Ints, MaskSet

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
    grid = Grid.over(masks.size_hw, probabilities.shape[1:], align_corners)
    runs, by_cell = runs_of(masks), cells_first(probabilities)
    means = np.zeros((len(masks), len(probabilities)))
    for index in np.flatnonzero(masks.areas_px).tolist():
        inner = _core(masks, index) if core else runs[index]
        cells, served = grid.served(*(inner if len(inner[0]) else runs[index]))
        means[index] = served @ by_cell[cells] / served.sum()
    return means


def cells_first(probabilities: Probabilities) -> Probabilities:
    """(h * w, C) float32: the classes of each cell beside each other."""
    return np.ascontiguousarray(probabilities.reshape(len(probabilities), -1).T)


def _core(masks: MaskSet, index: int) -> tuple[Ints, Ints]:
    """The runs of a mask without its margin, none where less than 30 px remain."""
    parts = [rle.crop_intervals(crop, (x, y), masks.size_hw) for x, y, crop in _bands(masks, index, CORE_MARGIN_PX)]
    starts, ends = (np.concatenate(edges) for edges in zip(*parts, strict=True))
    left = int((ends - starts).sum()) >= CORE_MIN_PX
    return (starts, ends) if left else (starts[:0], ends[:0])


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
        around = ((y0 - y + margin, y + h + margin - y1), (x0 - left + margin, right + margin - x1))
        mask = np.pad(mask, around, constant_values=True)
        for axis in (0, 1):
            mask = np.asarray(np.lib.stride_tricks.sliding_window_view(mask, 2 * margin + 1, axis).all(-1))
        yield left, y, mask
