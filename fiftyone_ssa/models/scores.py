"""Class scores at a segmenter's own resolution, and the class map they give at the image's, made tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.masks.grids import AxisSources, axis_sources
from fiftyone_ssa.types import SemanticMap, class_ids

TILE_BYTES = 64 << 20
"""Upsampled scores held at once; bounds memory whatever the image size and number of classes."""
TILE_CELLS = 8
"""Side of a tile on the CPU, in cells: small enough that few classes can win in it."""


@dataclass(frozen=True, eq=False)
class ClassScores:
    """What a segmenter says of every class at every cell of its own grid."""

    values: torch.Tensor
    """(C, h, w) float32: logits, or non-negative scores."""
    names: tuple[str, ...]
    size_hw: tuple[int, int]
    """Of the image, in pixels."""
    logits: bool
    align_corners: bool = False
    """How the grid lies on the image: `torch.nn.functional.interpolate`'s meaning."""
    antialias: bool = False
    """Whether an image smaller than the grid is averaged over its cells instead of sampled (OneFormer)."""

    def semantic_map(self) -> SemanticMap:
        """The best class of every pixel: bilinear upsampling, then argmax, ties to the lowest id.

        On the CPU a tile is upsampled only for the classes that can win in it: interpolation keeps order, so a class
        that is below the tile's strongest in every cell is out.
        """
        if self.antialias and (self.values.shape[1] > self.size_hw[0] or self.values.shape[2] > self.size_hw[1]):
            small = torch.nn.functional.interpolate(self.values[None], self.size_hw, mode="bilinear", antialias=True)
            return SemanticMap(class_ids(small[0].argmax(0).cpu().numpy(), len(self.names)), self.names)
        dtype = torch.uint8 if len(self.names) <= 255 else torch.int32
        ids = torch.empty(self.size_hw, dtype=dtype, device=self.values.device)
        on_cpu = self.values.device.type == "cpu"
        rows, columns = (
            axis_sources(cells, pixels, self.align_corners)
            for cells, pixels in zip(self.values.shape[1:], self.size_hw, strict=True)
        )
        for top, bottom, left, right in self._tiles(on_cpu):
            y, x = rows.part(top, bottom), columns.part(left, right)
            cells = self.values[:, y.cells, x.cells]
            if on_cpu:
                able = (cells >= cells[cells.sum((1, 2)).argmax()]).flatten(1).any(1).nonzero()[:, 0]
                if len(able) > 1:
                    able = able[argmax(mix(mix(cells[able], x, 2), y, 1)).long()]
                ids[top:bottom, left:right] = able.to(dtype)
            else:
                ids[top:bottom, left:right] = mix(mix(cells, x, 2), y, 1).argmax(0).to(dtype)
        return SemanticMap(class_ids(ids.cpu().numpy(), len(self.names)), self.names)

    def probabilities(self) -> npt.NDArray[np.float32]:
        """(C, h, w) float32 that sum to 1 over the classes at every cell."""
        if self.logits:
            shares = self.values.softmax(0)
        else:
            shares = self.values / self.values.sum(0, keepdim=True).clamp_min(1e-12)
        return shares.cpu().numpy()

    def _tiles(self, small: bool) -> Iterator[tuple[int, int, int, int]]:
        height, width = self.size_hw
        wide = min(width, max(1, TILE_CELLS * width // self.values.shape[2])) if small else width
        wide = min(wide, max(1, TILE_BYTES // (4 * len(self.names))))
        high = max(1, TILE_BYTES // (4 * len(self.names) * wide))
        high = min(high, max(1, TILE_CELLS * height // self.values.shape[1])) if small else high
        for top in range(0, height, high):
            for left in range(0, width, wide):
                yield top, min(top + high, height), left, min(left + wide, width)


def argmax(values: torch.Tensor) -> torch.Tensor:
    """`argmax(0)` of (K, h, w) as int16, ties to the lowest; several times faster than torch's own for small K."""
    best = values[0]
    winners = torch.zeros(best.shape, dtype=torch.int16, device=values.device)
    for index, candidate in enumerate(values[1:], 1):
        # the last to beat all before it wins
        winners = torch.maximum(winners, (candidate > best).to(torch.int16).mul_(index))
        best = torch.maximum(best, candidate)
    return winners


def mix(cells: torch.Tensor, sources: AxisSources, axis: int) -> torch.Tensor:
    """Interpolate (C, h, w) along an axis; the first cell along it must be the first that `sources` needs."""
    weight = torch.from_numpy(sources.weight).to(cells.device)
    if axis == 1:
        weight = weight[:, None]
    first = sources.cells.start
    low = cells.index_select(axis, torch.from_numpy(sources.low - first).to(cells.device))
    high = cells.index_select(axis, torch.from_numpy(sources.high - first).to(cells.device))
    return torch.addcmul(high.mul_(weight), low, 1 - weight)  # fused on the CPU, like `interpolate`'s own kernel
