"""How pixels lie on a coarser grid of cells: the arithmetic of bilinear interpolation, axis by axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.types import Floats, Ints


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

    def served(self, cells: int) -> Floats:
        """(cells,) how many of the pixels each cell serves."""
        upper = np.bincount(self.high, self.weight, cells)
        return np.asarray(np.bincount(self.low, 1 - self.weight, cells) + upper)

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
