"""The part of an image in which a mask can be, enlarged bit by bit as the whole image would be: for the CPU.

Most masks cover a small part of an image, and what lies outside is known from the few hundred cells of their logits. So
only the columns and rows that a mask can reach are enlarged, in `torch.nn.functional.interpolate`'s own arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from fiftyone_ssa.masks.grids import AxisSources, axis_sources
from fiftyone_ssa.models.lowres import Frame, Outline, outlines
from fiftyone_ssa.models.scores import mix
from fiftyone_ssa.types import Ints

STRIP_PIXELS = 1 << 17
"""Pixels of a window that are enlarged at a time, so that they stay in the processor's caches."""
WORTH_PIXELS = 1 << 17
"""Smaller images are enlarged whole: many masks in one call cost less than a dozen calls for each."""
SLACK = 1e-4
"""Of the strongest logit: mixing rounds, so that a pixel may exceed the cells around it by a few parts in a million."""


@dataclass(frozen=True, eq=False)
class Axis:
    """From the logits' cells to the image's pixels along one side."""

    cells: AxisSources | None
    """Of each pixel of the model's input, where logits are enlarged to that first."""
    pixels: AxisSources
    """Of each pixel of the image."""
    low: Ints
    """(P,) ascending: the first cell that a pixel is mixed of."""
    high: Ints
    """(P,) ascending: the last one."""

    def reach(self, first: int, last: int) -> tuple[int, int]:
        """The pixels that any of the cells first..last has a share in, the end exclusive."""
        return int(np.searchsorted(self.high, first)), int(np.searchsorted(self.low, last, "right"))

    def steps(self, start: int, stop: int) -> list[AxisSources]:
        """What pixels start..stop - 1 are mixed of, step by step."""
        last = self.pixels.part(start, stop)
        return [last] if self.cells is None else [self.cells.part(last.cells.start, last.cells.stop), last]


@dataclass(frozen=True, eq=False)
class Window:
    """A mask's logits where it can be, and which part of the image those make."""

    cells: torch.Tensor
    """(1, w, h) of them, turned: runs go down the columns."""
    columns: list[AxisSources]
    rows: list[AxisSources]
    corner_xy: tuple[int, int]

    def strips(self) -> Iterator[tuple[int, torch.Tensor]]:
        """That part of the image, some columns at a time: the first one's number and (1, W, H) values."""
        values = self.cells
        for rows, columns in zip(self.rows[:-1], self.columns[:-1], strict=True):
            values = mix(mix(values, rows, 2), columns, 1)
        columns = self.columns[-1]
        values = mix(values, self.rows[-1], 2)
        wide = max(1, STRIP_PIXELS // values.shape[2])
        for start in range(0, len(columns.low), wide):
            part = columns.part(start, start + wide)
            seen = slice(part.cells.start - columns.cells.start, part.cells.stop - columns.cells.start)
            yield start, mix(values[:, seen], part, 1)


class Windows:
    """What `lowres.Planes` is, mask by mask, and of each only the part of the image that it can reach."""

    def __init__(self, frame: Frame, offset: float) -> None:
        self.frame, self.offset = frame, offset

    def measure(self, logits: torch.Tensor) -> tuple[torch.Tensor, list[Window]]:
        """As `Planes.measure`; a window of an empty mask is none to outline."""
        floor = -abs(self.offset) - SLACK * (1 + logits.abs().amax())
        inside = logits > floor
        used = [inside.any(axis).numpy() for axis in (2, 1)]
        windows = [self._window(mask, *places) for mask, *places in zip(logits, *used, strict=True)]
        return torch.from_numpy(np.array([self._measure(w) for w in windows], np.int64).reshape(-1, 6)), windows

    def outlines(self, kept: Sequence[Window]) -> list[Outline]:
        """The outlines of masks that were measured."""
        return [self._outline(window) for window in kept]

    def _outline(self, window: Window) -> Outline:
        x, y = window.corner_xy
        strips = [(start + x, outlines(strip)[0]) for start, strip in window.strips()]
        columns, rows = (
            [outline.columns + left for left, outline in strips],
            [outline.rows + y for _, outline in strips],
        )
        return Outline(np.concatenate(columns), np.concatenate(rows))

    def _window(self, logits: torch.Tensor, rows_used: np.ndarray, columns_used: np.ndarray) -> Window:
        spans = []
        for axis, used in zip(axes(self.frame, tuple(logits.shape)), (rows_used, columns_used), strict=True):
            places = np.flatnonzero(used)
            start, stop = axis.reach(int(places[0]), int(places[-1])) if len(places) else (0, 1)
            spans.append((axis.steps(start, stop) if stop > start else axis.steps(0, 1), start))
        (rows, y), (columns, x) = spans
        cells = logits[rows[0].cells, columns[0].cells].mT.contiguous()[None]
        return Window(cells.clone() if cells._base is not None else cells, columns, rows, (x, y))

    def _measure(self, window: Window) -> tuple[int, ...]:
        above = below = 0
        columns_used, rows_used = [], []
        for _, strip in window.strips():
            values = strip[0].numpy()
            above += int(np.count_nonzero(values > self.offset))
            below += int(np.count_nonzero(values > -self.offset))
            inside = values > 0
            columns_used.append(inside.any(1))
            rows_used.append(inside.any(0))
        columns, rows = np.flatnonzero(np.concatenate(columns_used)), np.flatnonzero(np.any(rows_used, axis=0))
        if not len(rows):
            return above, below, 0, 0, -1, -1
        x, y = window.corner_xy
        return above, below, columns[0] + x, rows[0] + y, columns[-1] + x, rows[-1] + y


@lru_cache(64)
def axes(frame: Frame, grid_hw: tuple[int, int]) -> tuple[Axis, Axis]:
    """Those of the rows and of the columns."""
    return _axis(grid_hw[0], frame, 0), _axis(grid_hw[1], frame, 1)


def _axis(cells: int, frame: Frame, side: int) -> Axis:
    pixels = frame.size_hw[side]
    if not frame.by_input:
        only = axis_sources(cells, pixels, align_corners=False)
        return Axis(None, only, only.low, only.high)
    first = axis_sources(cells, frame.side, align_corners=False)
    second = axis_sources(frame.input_hw[side], pixels, align_corners=False)
    return Axis(first, second, first.low[second.low], first.high[second.high])


@lru_cache(64)
def are_worth_it(frame: Frame, grid_hw: tuple[int, int]) -> bool:
    """Whether windows cost less than whole images, and are theirs bit by bit on this processor.

    Not every one fuses additions and products as torch's kernels do; so it is tried out, once a size.
    """
    if frame.size_hw[0] * frame.size_hw[1] < WORTH_PIXELS:
        return False
    noise = 4 * torch.randn((1, *grid_hw), generator=torch.Generator().manual_seed(0))
    rows, columns = axes(frame, grid_hw)
    height, width = frame.size_hw
    whole = Window(noise.mT.contiguous(), columns.steps(0, width), rows.steps(0, height), (0, 0))
    return torch.equal(torch.cat([strip for _, strip in whole.strips()], 1), frame.enlarge(noise))
