"""Class scores at a segmenter's own resolution, and the class map they give at the image's, made tile by tile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from fiftyone_ssa.masks.grids import AxisSources, axis_sources
from fiftyone_ssa.models.devices import make_room, upload
from fiftyone_ssa.models.faults import is_out_of_memory
from fiftyone_ssa.types import ClassIds, Floats, SemanticMap, class_ids

logger = logging.getLogger(__name__)

Owners = npt.NDArray[np.integer[Any]]
"""(h, w) the mask that each pixel belongs to, -1 for none."""

TILE_BYTES = 64 << 20
"""Upsampled scores held at once; bounds memory whatever the image size and number of classes."""
DEVICE_TILE_BYTES = 512 << 20
"""The same on a GPU, where every tile is launched anew."""
LEAST_TILE_BYTES = 1 << 20
"""No tile is made smaller where memory runs out."""
FEW = 40
"""Classes that are compared one by one; of more numpy finds the best sooner."""
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

    @property
    def dense(self) -> bool:
        """Whether all classes are enlarged: few launches; on the CPU only those that can win in a tile."""
        return self.values.device.type != "cpu"

    def semantic_map(self, owners: Owners | None = None, priors: Floats | None = None) -> SemanticMap:
        """The best class of every pixel: bilinear upsampling, then argmax, ties to the lowest id.

        On the CPU a tile is upsampled only for the classes that can win in it: interpolation keeps order, so a class
        that is below the tile's strongest in every cell is out.

        Args:
            owners (None): (H, W) integers, the mask that each pixel belongs to, -1 for none
            priors (None): (N, C) what is added to the logits, or to the logarithm of the scores, of each mask's pixels
        """
        if self.antialias and (self.values.shape[1] > self.size_hw[0] or self.values.shape[2] > self.size_hw[1]):
            # a grid of the image's own size is then sampled cell by cell
            return self._averaged().semantic_map(owners, priors)
        most = TILE_BYTES if not self.dense else DEVICE_TILE_BYTES
        while True:
            try:
                return SemanticMap(self._best(owners, priors, most), self.names)
            except Exception as error:
                if most <= LEAST_TILE_BYTES or not is_out_of_memory(error):
                    raise
            most //= 2
            logger.warning("out of memory in a class map: going on with tiles of %d MB", most >> 20)
            make_room()

    def _best(self, owners: Owners | None, priors: Floats | None, most: int) -> ClassIds:
        """(H, W) the best class of every pixel, `most` bytes of enlarged scores at a time."""
        dtype = torch.uint8 if len(self.names) <= 255 else torch.int32
        ids = torch.empty(self.size_hw, dtype=dtype, device=self.values.device)
        rows, columns = (
            axis_sources(cells, pixels, self.align_corners)
            for cells, pixels in zip(self.values.shape[1:], self.size_hw, strict=True)
        )
        changes = None if priors is None else self._changes(priors)
        for top, bottom, left, right in self._tiles(most):
            y, x = rows.part(top, bottom), columns.part(left, right)
            tile = ids[top:bottom, left:right]
            owned = None if owners is None else owners[top:bottom, left:right]
            if self.dense:
                tile[:] = self._enlarged(y, x, owned, changes).argmax(0).to(dtype)
            elif owned is None or changes is None:
                tile[:] = winners(self.values[:, y.cells, x.cells], y, x).to(dtype)
            else:
                self._decide(tile, y, x, owned, changes)
        found: ClassIds = ids.cpu().numpy()
        return found if found.dtype == np.uint8 else class_ids(found, len(self.names))

    def _averaged(self) -> ClassScores:
        small = torch.nn.functional.interpolate(self.values[None], self.size_hw, mode="bilinear", antialias=True)
        return replace(self, values=small[0], antialias=False, align_corners=False)

    def _changes(self, priors: Floats) -> torch.Tensor:
        """(N + 1, C) what each mask's values are changed by; nothing in the last row, which owner -1 takes.

        Logits are shifted, other scores scaled: both leave the order that interpolation keeps.
        """
        rows = np.vstack([priors, np.zeros((1, len(self.names)))])
        if not self.logits:
            rows = np.maximum(np.exp(rows - rows.max(1, keepdims=True)), 1e-30)
        return upload(rows.astype(np.float32), self.values.device)

    def _changed(self, cells: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        return cells + change if self.logits else cells * change

    def _decide(self, tile: torch.Tensor, y: AxisSources, x: AxisSources, owned: Owners, changes: torch.Tensor) -> None:
        """Fill a tile mask by mask, each within its own part of it, where still fewer classes can win."""
        for owner in np.flatnonzero(np.bincount(owned.ravel() + 1)) - 1:
            mine = owned == owner
            down, across = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
            box = slice(int(down[0]), int(down[-1]) + 1), slice(int(across[0]), int(across[-1]) + 1)
            part_y, part_x = y.part(box[0].start, box[0].stop), x.part(box[1].start, box[1].stop)
            cells = self._changed(self.values[:, part_y.cells, part_x.cells], changes[owner][:, None, None])
            best = winners(cells, part_y, part_x).to(tile.dtype)
            tile[box] = torch.where(torch.from_numpy(mine[box]), best, tile[box])

    def _enlarged(
        self, y: AxisSources, x: AxisSources, owned: Owners | None, changes: torch.Tensor | None
    ) -> torch.Tensor:
        """(C, h, w) all classes of a tile, in one launch."""
        cells = self.values[None, :, y.cells, x.cells]
        down, across = (upload(of.normalised(), cells.device) for of in (y, x))
        places = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
        mixed = functional.grid_sample(cells, places[None], align_corners=False)[0]
        if owned is None or changes is None:
            return mixed
        return self._changed(mixed, changes[upload(np.ascontiguousarray(owned), mixed.device).long()].permute(2, 0, 1))

    def probabilities(self) -> npt.NDArray[np.float32]:
        """(C, h, w) float32 that sum to 1 over the classes at every cell."""
        if self.logits:
            shares = self.values.softmax(0)
        else:
            shares = self.values / self.values.sum(0, keepdim=True).clamp_min(1e-12)
        return shares.cpu().numpy()

    def _tiles(self, most: int) -> Iterator[tuple[int, int, int, int]]:
        height, width = self.size_hw
        wide = width if self.dense else min(width, max(1, TILE_CELLS * width // self.values.shape[2]))
        wide = min(wide, max(1, most // (4 * len(self.names))))
        high = max(1, most // (4 * len(self.names) * wide))
        high = high if self.dense else min(high, max(1, TILE_CELLS * height // self.values.shape[1]))
        for top in range(0, height, high):
            for left in range(0, width, wide):
                yield top, min(top + high, height), left, min(left + wide, width)


def winners(cells: torch.Tensor, y: AxisSources, x: AxisSources) -> torch.Tensor:
    """The best class of a tile's pixels from the cells that they need, (C, h, w); one number if no other can win."""
    able = (cells >= cells[cells.sum((1, 2)).argmax()]).flatten(1).any(1).nonzero()[:, 0]
    return able[argmax(mix(mix(cells[able], x, 2), y, 1)).long()] if len(able) > 1 else able


def argmax(values: torch.Tensor) -> torch.Tensor:
    """`argmax(0)` of (K, h, w) on the CPU as int16, ties to the lowest; several times faster than torch's own."""
    if len(values) > FEW:
        return torch.from_numpy(values.numpy().argmax(0).astype(np.int16))
    best = values[0]
    winners = torch.zeros(best.shape, dtype=torch.int16, device=values.device)
    for index, candidate in enumerate(values[1:], 1):
        # the last to beat all before it wins
        winners = torch.maximum(winners, (candidate > best).to(torch.int16).mul_(index))
        best = torch.maximum(best, candidate)
    return winners


def mix(cells: torch.Tensor, sources: AxisSources, axis: int) -> torch.Tensor:
    """Interpolate (C, h, w) along an axis; the first cell along it must be the first that `sources` needs."""
    weight = upload(sources.weight, cells.device)
    if axis == 1:
        weight = weight[:, None]
    first = sources.cells.start
    low = cells.index_select(axis, upload(sources.low - first, cells.device))
    high = cells.index_select(axis, upload(sources.high - first, cells.device))
    return torch.addcmul(high.mul_(weight), low, 1 - weight)  # fused on the CPU, like `interpolate`'s own kernel
