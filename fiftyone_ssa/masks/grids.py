"""How pixels lie on a coarser grid of cells: the arithmetic of bilinear interpolation, axis by axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.rle import within_columns
from fiftyone_ssa.types import Floats, Ints

PIECES = 1 << 20
"""Numbers held at once, about, of what the runs of one mask cover of the grid's rows."""
LEAST_PX = 1e-6
"""A cell that serves less of a mask is none of its cells, but a difference of rounded sums."""


@dataclass(frozen=True, eq=False)
class AxisSources:
    """For each of P pixels along an axis: the two cells it lies between, and the upper one's weight."""

    low: Ints
    """(P,) ascending."""
    high: Ints
    """(P,) `low` or one more."""
    weight: npt.NDArray[np.float32]
    """(P,) in [0, 1): the share of `high`; `low` has the rest."""

    @property
    def cells(self) -> slice:
        """The cells these pixels need."""
        return slice(int(self.low[0]), int(self.high[-1]) + 1)

    def part(self, start: int, stop: int) -> AxisSources:
        """The sources of pixels start..stop - 1."""
        return AxisSources(self.low[start:stop], self.high[start:stop], self.weight[start:stop])

    def normalised(self) -> npt.NDArray[np.float32]:
        """(P,) where they lie among `cells`, as `torch.nn.functional.grid_sample` counts without aligned corners."""
        cells = self.cells
        places = self.low + self.weight * (self.high - self.low) - cells.start
        return np.asarray((places * 2 + 1) / (cells.stop - cells.start) - 1, np.float32)

    def served(self, cells: int) -> Floats:
        """(cells,) how many of the pixels each cell serves."""
        upper = np.bincount(self.high, self.weight, cells)
        return np.asarray(np.bincount(self.low, 1 - self.weight, cells) + upper)

    def gathered(self, values: Floats) -> Floats:
        """(cells, K) what of (P, K) values a pixel each cell is due, the first cell being the first needed."""
        out = np.zeros((self.cells.stop - self.cells.start, values.shape[1]))
        first = np.flatnonzero(np.diff(self.low, prepend=-1))  # `low` ascends, and tells `high`
        weight = self.weight[:, None]
        out[self.low[first] - self.cells.start] += np.add.reduceat(values * (1 - weight), first)
        np.add.at(out, self.high[first] - self.cells.start, np.add.reduceat(values * weight, first))  # the last twice
        return out

    def matrix(self) -> npt.NDArray[np.float32]:
        """(P, cells) weights, the first column being the first cell needed."""
        out = np.zeros((len(self.low), self.cells.stop - self.cells.start), np.float32)
        pixels = np.arange(len(self.low))
        out[pixels, self.low - self.cells.start] += 1 - self.weight
        out[pixels, self.high - self.cells.start] += self.weight
        return out


def axis_sources(cells: int, pixels: int, align_corners: bool) -> AxisSources:
    """Where each of `pixels` lies among `cells`, in the float32 arithmetic of `torch.nn.functional.interpolate`."""
    position = np.arange(pixels, dtype=np.float64)
    if align_corners:
        scale = np.float32(cells - 1) / np.float32(pixels - 1) if pixels > 1 else np.float32(0)
        source = (position * scale).astype(np.float32)
    else:
        scale = np.float32(cells) / np.float32(pixels)
        source = np.maximum(((position + 0.5) * np.float64(scale) - 0.5).astype(np.float32), np.float32(0))
    low = np.minimum(source.astype(np.int64), cells - 1)
    return AxisSources(low, np.minimum(low + 1, cells - 1), (source - low).astype(np.float32))


def middles(cells: int, pixels: int, align_corners: bool) -> Ints:
    """(cells,) the pixel in the middle of each cell along an axis, or next to it."""
    if align_corners:
        return np.rint(np.linspace(0, pixels - 1, cells)).astype(np.int64)
    return np.asarray((np.arange(cells) + 0.5) * pixels / cells, np.int64)


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid of cells over an image."""

    rows: AxisSources
    columns: AxisSources
    shape_hw: tuple[int, int]
    """In cells."""

    @classmethod
    def over(cls, size_hw: tuple[int, int], shape_hw: tuple[int, int], align_corners: bool) -> Grid:
        """The grid of so many cells over an image of so many pixels."""
        down, across = (
            axis_sources(cells, pixels, align_corners) for cells, pixels in zip(shape_hw, size_hw, strict=True)
        )
        return cls(down, across, shape_hw)

    @cached_property
    def full(self) -> Floats:
        """(h, w) how many of the image's pixels each cell serves."""
        return np.outer(self.rows.served(self.shape_hw[0]), self.columns.served(self.shape_hw[1]))

    @cached_property
    def _above(self) -> Floats:
        """(H + 1, h) how many of the rows of pixels before each place every row of cells serves."""
        above = np.zeros((len(self.rows.low) + 1, self.shape_hw[0]))
        above[1:, self.rows.cells] = np.cumsum(self.rows.matrix(), 0, np.float64)
        return above

    def served(self, starts: Ints, ends: Ints) -> tuple[Ints, Floats]:
        """The cells (K,) of the flat grid that a mask with these runs meets, and how many of its pixels each serves.

        Not made dense: a column of the mask serves what lies above its ends less what lies above its beginnings.
        """
        starts, ends = within_columns(starts, ends, len(self.rows.low))
        columns, tops = np.divmod(starts, len(self.rows.low))
        bottoms = tops + ends - starts
        down = slice(int(self.rows.low[tops.min()]), int(self.rows.high[bottoms.max() - 1]) + 1)
        across = self.columns.part(int(columns[0]), int(columns[-1]) + 1)
        above = self._above[:, down]
        of_columns = np.zeros((len(across.low), down.stop - down.start))
        step = max(1, PIECES // above.shape[1])
        for some in (slice(first, first + step) for first in range(0, len(columns), step)):
            new = np.flatnonzero(np.diff(columns[some], prepend=-1))
            of_columns[columns[some][new] - columns[0]] += np.add.reduceat(
                above[bottoms[some]] - above[tops[some]], new
            )
        weights = across.gathered(of_columns).T
        y, x = np.nonzero(weights > LEAST_PX)
        return (y + down.start) * self.shape_hw[1] + x + across.cells.start, weights[y, x]
