"""Bilinear interpolation for the CPU, and the patches of an enlarged crop without enlarging it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

Sources = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
KERNELS_AT_A_TIME = 1 << 20
"""So many numbers of mixed kernels are held."""
ROWS_AT_A_TIME = 64
"""So few rows of an enlarged crop stay in the CPU's caches."""
SIDES_KEPT = 512
"""Lengths whose shares are kept, about 40 KB each: crops of one run have few different ones."""


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

    def __call__(self, image: torch.Tensor, turned: torch.Tensor, crop_xyxy: tuple[int, int, int, int]) -> torch.Tensor:
        """(1, grid * grid, width) float32 of a crop of (H, W, 3) uint8, which comes turned, (W, H, 3), too.

        Whole rows are copied of the one or the other: what a patch sees is not gathered pixel by pixel.
        """
        x0, y0, x1, y1 = crop_xyxy
        if y1 - y0 <= x1 - x0:
            return self._embed(turned[x0:x1, y0:y1], self._upright).view(1, -1, self._width)
        return self._embed(image[y0:y1, x0:x1], self._turned).transpose(0, 1).reshape(1, -1, self._width)

    def _embed(self, turned: torch.Tensor, lines: torch.Tensor) -> torch.Tensor:
        """(grid, grid, width), of a turned crop and the kernels' rows, or of an upright one and their columns."""
        grid, height = self._grid, turned.shape[1]
        columns, mixes = _patch_sources(self._side, grid, self._patch, turned.shape[0])
        cells = turned.index_select(0, columns.flatten()).float().view(grid, -1, height * 3)
        wide = (cells.mT @ mixes).view(grid, height, -1)  # of each row, a patch's three channels side by side
        rows, mixes = _patch_sources(self._side, grid, self._patch, height)
        step = max(1, KERNELS_AT_A_TIME // (rows.shape[1] * lines.shape[1]))
        patches = []
        for some, mix in zip(torch.split(rows, step), torch.split(mixes, step), strict=True):
            kernels = (mix.flatten(0, 1) @ lines).view(len(some), -1, self._width)
            seen = wide.index_select(1, some.flatten()).view(grid, len(some), -1).transpose(0, 1)
            patches.append(torch.baddbmm(self._bias, seen, kernels))
        return torch.cat(patches) if len(patches) > 1 else patches[0]


@lru_cache(maxsize=SIDES_KEPT)
def _patch_sources(side: int, grid: int, patch: int, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of `cells` along a side, those that each patch sees, (grid, k), and their shares, (grid, k, patch)."""
    found = sources(side, 0, grid * patch, cells, torch.device("cpu"))
    low, high, weight = (values.view(grid, 1, -1) for values in found)
    most = int((high[:, :, -1] - low[:, :, 0]).max()) + 1
    first = low[:, :, :1].clamp(max=cells - most)
    mixes = weight.new_zeros((grid, most, patch))
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
    wide = torch.lerp(turned.index_select(-2, low), turned.index_select(-2, high), weight[:, None])
    return interpolate_rows(wide.mT.contiguous(), rows)


def interpolate_rows(wide: torch.Tensor, rows: Sources) -> torch.Tensor:
    """(..., h, w) along its second-last axis."""
    low, high, weight = rows
    out = wide.new_empty((*wide.shape[:-2], len(low), wide.shape[-1]))
    step = ROWS_AT_A_TIME if wide.device.type == "cpu" else len(low)
    for start in range(0, len(low), step):
        part = slice(start, start + step)
        below, above = wide.index_select(-2, low[part]), wide.index_select(-2, high[part])
        torch.lerp(below, above, weight[part, None], out=out[..., part, :])
    return out
