"""Bilinear interpolation for the CPU, and the patches of an enlarged crop without enlarging it."""

from __future__ import annotations

import torch
from torch import nn

Sources = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
KERNELS_AT_A_TIME = 1 << 20
"""So many numbers of mixed kernels are held."""
ROWS_AT_A_TIME = 64
"""So few rows of an enlarged crop stay in the CPU's caches."""


class EnlargedPatches:
    """What a vision tower's patch embedding makes of a crop that is resized to side x side and normalised.

    `embed` is a convolution with a stride of its size, on the CPU; a pixel's `scale` and `shift` are (3, 1, 1).
    Interpolating and embedding are both linear, and each patch sees only a few of the crop's rows and columns. What it
    makes of one of these rows is a mix of its kernels' rows; so the kernels are mixed, not the pixels, in half the
    time: along the shorter side, which has fewer to mix. A few large products, as many small ones from two threads
    wait for each other's interpreter.
    """

    def __init__(self, embed: nn.Conv2d, side: int, scale: torch.Tensor, shift: torch.Tensor) -> None:
        kernels = embed.weight.detach().float()  # (width, 3, patch, patch)
        self._width, _, self._patch, _ = kernels.shape
        self._side, self._grid = side, side // self._patch
        scaled = kernels * scale
        self._upright = scaled.permute(2, 1, 3, 0).reshape(self._patch, -1)
        self._turned = scaled.permute(3, 1, 2, 0).reshape(self._patch, -1)
        self._bias = (kernels * shift).sum((1, 2, 3))
        if embed.bias is not None:
            self._bias += embed.bias.detach().float()

    def __call__(self, crop: torch.Tensor) -> torch.Tensor:
        """(1, grid * grid, width) float32 of a (h, w, 3) uint8 crop."""
        if crop.shape[0] <= crop.shape[1]:
            return self._embed(crop, self._upright).view(1, -1, self._width)
        return self._embed(crop.transpose(0, 1), self._turned).transpose(0, 1).reshape(1, -1, self._width)

    def _embed(self, crop: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
        """(grid, grid, width), of a crop and the kernels' rows, or of both turned."""
        grid, height = self._grid, crop.shape[0]
        columns, mixes = self._patch_sources(crop.shape[1])
        cells = crop.index_select(1, columns.flatten()).view(height, grid, -1, 3).permute(1, 0, 3, 2)
        wide = cells.to(torch.float32, memory_format=torch.contiguous_format).flatten(1, 2) @ mixes
        wide = wide.view(grid, height, -1)  # of each row, a patch's three channels side by side
        rows, mixes = self._patch_sources(height)
        step = max(1, KERNELS_AT_A_TIME // (rows.shape[1] * lines.shape[1]))
        patches = []
        for some, mix in zip(torch.split(rows, step), torch.split(mixes, step), strict=True):
            kernels = (mix.flatten(0, 1) @ lines).view(len(some), -1, self._width)
            seen = wide.index_select(1, some.flatten()).view(grid, len(some), -1).transpose(0, 1)
            patches.append(torch.baddbmm(self._bias, seen, kernels))
        return torch.cat(patches)

    def _patch_sources(self, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of `cells` along a side, those that each patch sees, (grid, k), and their shares, (grid, k, patch)."""
        found = sources(self._side, 0, self._grid * self._patch, cells, torch.device("cpu"))
        low, high, weight = (values.view(self._grid, 1, -1) for values in found)
        most = int((high[:, :, -1] - low[:, :, 0]).max()) + 1
        first = low[:, :, :1].clamp(max=cells - most)
        mixes = weight.new_zeros((self._grid, most, self._patch))
        mixes.scatter_(1, low - first, 1 - weight).scatter_add_(1, high - first, weight)
        return first[:, 0] + torch.arange(most), mixes


def sources(pixels: int, start: int, stop: int, cells: int, device: torch.device) -> Sources:
    """For start..stop - 1 of `pixels` along a side: the two of `cells` each lies between, and the second's weight."""
    place = (torch.arange(start, stop, device=device) + 0.5).mul_(cells / pixels).sub_(0.5).clamp_(min=0)
    low = place.long()
    return low, (low + 1).clamp_(max=cells - 1), place - low


def interpolate(turned: torch.Tensor, rows: Sources, columns: Sources) -> torch.Tensor:
    """Bilinear, without antialiasing: `functional.interpolate`'s arithmetic, one axis after the other.

    Several times faster on the CPU, as only whole rows are copied, some at a time: it takes the image turned,
    (..., w, h), for its columns, and gives it upright.
    """
    low, high, weight = columns
    wide = torch.lerp(turned.index_select(-2, low), turned.index_select(-2, high), weight[:, None]).mT.contiguous()
    low, high, weight = rows
    out = wide.new_empty((*wide.shape[:-2], len(low), wide.shape[-1]))
    step = ROWS_AT_A_TIME if wide.device.type == "cpu" else len(low)
    for start in range(0, len(low), step):
        part = slice(start, start + step)
        below, above = wide.index_select(-2, low[part]), wide.index_select(-2, high[part])
        torch.lerp(below, above, weight[part, None], out=out[..., part, :])
    return out
