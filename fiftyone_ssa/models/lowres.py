"""From low-resolution mask logits to the mask's outline in the image, a few masks at a time.

A model answers on a grid of a few hundred cells a side. What the image's pixels would say is bounded there first, so
that only masks that can pass are enlarged. Enlarged ones are measured and dropped; those that all thresholds and their
overlaps leave are enlarged once more and become column-major runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from fiftyone_ssa.models.devices import double, upload
from fiftyone_ssa.types import Floats, Ints

ROUNDED = 1e-5
"""What float32 may miss a stability score's bound by, where there is no float64."""


@dataclass(frozen=True)
class Frame:
    """Where an image lies in the square a model sees: resized to `input_hw`, at the top left of `side` x `side`."""

    size_hw: tuple[int, int]
    """The image, in its own pixels."""
    input_hw: tuple[int, int]
    """The image inside the model's input, in input pixels."""
    side: int
    """The model's square input; what `input_hw` leaves of it is padding."""
    by_input: bool
    """Logits are enlarged to the input first, the padding is cut, and then to the image, as segment_anything does;
    otherwise straight to the image, as SAM 2 does."""

    def to_input(self, points_xy: Floats) -> Floats:
        """(P, 2) points from the image's pixels to the input's."""
        (height, width), (input_height, input_width) = self.size_hw, self.input_hw
        scale: Floats = np.array([input_width / width, input_height / height])
        return points_xy * scale

    def enlarge(self, logits: torch.Tensor) -> torch.Tensor:
        """(N, h, w) logits as (N, W, H) of the image's size, columns first, bilinear."""
        planes = logits.transpose(1, 2).contiguous()[:, None]  # turned while small: runs go down the columns
        if self.by_input:
            planes = functional.interpolate(planes, (self.side, self.side), mode="bilinear", align_corners=False)
            planes = planes[..., : self.input_hw[1], : self.input_hw[0]]
        return functional.interpolate(planes, self.size_hw[::-1], mode="bilinear", align_corners=False)[:, 0]

    def pixels_per_cell(self, grid_hw: tuple[int, int]) -> tuple[Floats, Floats]:
        """How many of the image's rows (h,) and columns (w,) lie nearest to each row and column of the logits."""
        counts = []
        for pixels, seen, cells in zip(self.size_hw, self.input_hw, grid_hw, strict=True):
            nearest = ((np.arange(pixels) + 0.5) * (seen / pixels) * (cells / self.side)).astype(np.int64)
            counts.append(np.bincount(np.minimum(nearest, cells - 1), minlength=cells).astype(np.float64))
        return counts[0], counts[1]


def stability_bound(logits: torch.Tensor, frame: Frame, offset: float) -> torch.Tensor:
    """(N,) float64 (on MPS float32) that no stability score in the image can exceed, from (N, h, w) logits.

    A pixel mixes logits at most one cell from its nearest: it is above a threshold only if the highest of those 3 x 3
    is, and surely where the lowest is.
    """
    rows, columns = (
        upload(torch.as_tensor(counts).to(double(logits.device)).numpy(), logits.device)
        for counts in frame.pixels_per_cell((logits.shape[1], logits.shape[2]))
    )
    highest, lowest = _highest_near(logits), -_highest_near(-logits)

    def area(inside: torch.Tensor) -> torch.Tensor:
        return (inside.float() @ columns.float()).to(rows.dtype) @ rows

    bound = area(highest > offset) / area(lowest > -offset).clamp(min=1)
    return bound if bound.dtype == torch.float64 else bound * (1 + ROUNDED)


def _highest_near(values: torch.Tensor) -> torch.Tensor:
    """The highest of each 3 x 3 of (N, h, w): as torch's max_pool2d, which takes ten times as long on the CPU."""
    for axis in (1, 2):
        count = values.shape[axis] - 1
        first, last = values.narrow(axis, 0, count), values.narrow(axis, 1, count)
        found = values.clone()
        found.narrow(axis, 0, count).copy_(torch.maximum(first, last))
        found.narrow(axis, 1, count).copy_(torch.maximum(found.narrow(axis, 1, count), first))
        values = found
    return values


@dataclass(frozen=True, eq=False)
class Outline:
    """One enlarged mask: where its runs begin and end, column by column."""

    columns: Ints
    """(2 R,) the column of each begin and end in turn."""
    rows: Ints
    """(2 R,) the row of each begin, and the row after each end."""


class Planes:
    """Enlarges masks whole, many at a time: for GPUs. Needs about ten bytes for each pixel of each mask."""

    def __init__(self, frame: Frame, offset: float) -> None:
        self.frame, self.offset = frame, offset

    def measure(self, logits: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Of (N, h, w) float32 logits (N, 6) int64 on their device, and what `outlines` takes of each mask.

        Pixels above the offset, pixels above minus the offset, first and last column and row of those above zero;
        0, 0, -1, -1 where there are none. Nothing here waits for the device.
        """
        planes = self.frame.enlarge(logits)
        above, below = areas(planes > self.offset), areas(planes > -self.offset)
        inside = planes > 0
        edges = [_first_and_last(inside.any(axis)) for axis in (2, 1)]
        return torch.stack([above, below, edges[0][0], edges[1][0], edges[0][1], edges[1][1]], 1), list(logits)

    def outlines(self, kept: Sequence[torch.Tensor]) -> list[Outline]:
        """The outlines of masks that were measured."""
        return outlines(self.frame.enlarge(torch.stack(list(kept))))


def areas(inside: torch.Tensor) -> torch.Tensor:
    """(N,) int64 pixels in each of N bool masks."""
    if inside.device.type == "cpu":  # torch sums bools ten times slower than numpy counts them
        return torch.from_numpy(np.array([np.count_nonzero(mask) for mask in inside.numpy()], np.int64))
    return inside.flatten(1).sum(1)


def _first_and_last(any_inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) the first and the last true place of (N, places) bools; 0 and -1 where none is."""
    places = torch.arange(any_inside.shape[1], device=any_inside.device)
    last = torch.where(any_inside, places, -1).amax(1)
    first = torch.where(any_inside, places, any_inside.shape[1]).amin(1)
    return torch.where(last < 0, 0, first), last


def outlines(planes: torch.Tensor) -> list[Outline]:
    """The outlines of (N, W, H) enlarged masks."""
    count, width, height = planes.shape
    # a 0 above every column and a column of 0 at the end: a run never leaves its column, begins and ends alternate
    inside = torch.zeros((count, width + 1, height + 1), dtype=torch.bool, device=planes.device)
    torch.gt(planes, 0, out=inside[:, :width, 1:])
    flat = inside.flatten(1)
    which, places = (flat[:, 1:] ^ flat[:, :-1]).nonzero().T.cpu().numpy()
    columns, rows = np.divmod(places, height + 1)
    bounds = np.searchsorted(which, np.arange(count + 1))
    return [Outline(columns[first:last], rows[first:last]) for first, last in pairwise(bounds)]
