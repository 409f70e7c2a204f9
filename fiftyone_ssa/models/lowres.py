"""From low-resolution mask logits to the mask's outline in the image, a few masks at a time.

A model answers on a grid of a few hundred cells a side. What the image's pixels would say is bounded there first, so
that only masks that can pass are enlarged; enlarged ones become column-major runs at once and are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from fiftyone_ssa.types import Floats, Ints


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
    """(N,) float64 that no stability score in the image can exceed, from (N, h, w) logits.

    A pixel mixes logits at most one cell from its nearest: it is above a threshold only if the highest of those 3 x 3
    is, and surely where the lowest is.
    """
    rows, columns = (
        torch.as_tensor(counts, device=logits.device)
        for counts in frame.pixels_per_cell((logits.shape[1], logits.shape[2]))
    )
    highest, lowest = _highest_near(logits), -_highest_near(-logits)

    def area(inside: torch.Tensor) -> torch.Tensor:
        return (inside.float() @ columns.float()).double() @ rows

    return area(highest > offset) / area(lowest > -offset).clamp(min=1)


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
    """One enlarged mask: where its runs begin and end, column by column, and how stable it is."""

    columns: Ints
    """(2 R,) the column of each begin and end in turn."""
    rows: Ints
    """(2 R,) the row of each begin, and the row after each end."""
    stability_score: np.float32
    """Pixels above the offset over pixels above minus the offset; NaN where there are none."""

    @property
    def box_xyxy(self) -> Ints:
        """(4,) first and last column and row, as SAM gives its boxes; only for a mask that is not empty."""
        return np.array([self.columns[0], self.rows[::2].min(), self.columns[-1], self.rows[1::2].max() - 1])


def outlines(logits: torch.Tensor, frame: Frame, offset: float) -> list[Outline]:
    """The outlines of (N, h, w) float32 logits in the image; needs about ten bytes for each pixel of each mask."""
    planes = frame.enlarge(logits)
    above, below = _areas(planes > offset), _areas(planes > -offset)
    count, width, height = planes.shape
    # a 0 above every column and a column of 0 at the end: a run never leaves its column, begins and ends alternate
    inside = torch.zeros((count, width + 1, height + 1), dtype=torch.bool, device=planes.device)
    torch.gt(planes, 0, out=inside[:, :width, 1:])
    del planes
    flat = inside.flatten(1)
    which, places = (flat[:, 1:] ^ flat[:, :-1]).nonzero(as_tuple=True)
    columns, rows = np.divmod(places.cpu().numpy(), height + 1)
    bounds = np.searchsorted(which.cpu().numpy(), np.arange(count + 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        stability = above.astype(np.float32) / below.astype(np.float32)
    return [
        Outline(columns[first:last], rows[first:last], score)
        for first, last, score in zip(bounds[:-1], bounds[1:], stability, strict=True)
    ]


def _areas(inside: torch.Tensor) -> npt.NDArray[np.int64]:
    """(N,) pixels in each of N bool masks."""
    if inside.device.type == "cpu":  # torch sums bools ten times slower than numpy counts them
        return np.array([np.count_nonzero(mask) for mask in inside.numpy()], np.int64)
    return np.asarray(inside.flatten(1).sum(1).cpu().numpy(), np.int64)
