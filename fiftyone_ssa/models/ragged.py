"""The decider's two ends on a GPU: all crops of a chunk in few launches, and nothing that waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.masks import rle
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.clipseg import Spread
from fiftyone_ssa.models.devices import upload
from fiftyone_ssa.models.resizing import Resizing
from fiftyone_ssa.types import Ints

PIXELS_AT_A_TIME = 1 << 22
"""Pixels of boxes that are looked at in one go, about 250 bytes each; a larger box goes alone."""
EXACT = 1 << 24
"""float32 counts so far."""


class Ragged:
    """Pixels of boxes of any sizes, one after the other in one row of numbers.

    `embed` makes (rows, grid * grid, width) patches of (rows, 3, side, side) pixels, 0 to 255; `spread` makes logits.
    """

    one_pass = True
    """Whether all names of a crop go through the decoder at once."""

    def __init__(
        self,
        embed: Callable[[torch.Tensor], torch.Tensor],
        spread: Spread,
        grid: int,
        side: int,
        *,
        tf32: bool = False,
    ) -> None:
        self._embed, self._spread, self._side = embed, spread, grid * spread.side
        self._enlarge = Resizing((side, side), antialias=False, tf32=tf32)

    def patches(self, chunk: Sequence[Question]) -> torch.Tensor:
        """(rows, grid * grid, width)."""
        return self._embed(self._enlarge([question.crop for question in chunk]))

    def cells(self, question: Question) -> int:
        """Of every question the same."""
        return 0

    def places(self, chunk: Sequence[Question]) -> None:
        """All of them: a gather is another launch, and saves no time of a device."""

    def counts(self, chunk: Sequence[Question], cells: torch.Tensor) -> torch.Tensor:
        """(rows, names, 2) int64, inside the mask and outside, from (rows, names, channels, grid, grid)."""
        more = self._spread(cells.mT)
        found = [self._count(chunk[some], more[some]) for some in _pieces(chunk)]
        return torch.cat(found) if len(found) > 1 else found[0]

    def _count(self, chunk: Sequence[Question], more: torch.Tensor) -> torch.Tensor:
        """From (rows, names - 1, side, side), turned: how much more than the first each name scores."""
        device, rows, names = more.device, len(chunk), more.shape[1] + 1
        facts, scales, pixels = facts_of(chunk, self._side)
        numbers = upload(facts, device)
        table, (begins, ends) = numbers[: 5 * rows].view(5, rows), numbers[5 * rows :].view(2, -1)
        which = torch.repeat_interleave(table[4], output_size=pixels)
        first, high, *corner = table[:4].index_select(1, which)
        place = torch.arange(pixels, device=device) - first
        x = place // high
        places = torch.stack([x + corner[0], place - x * high + corner[1]]) + 0.5
        places = (places * upload(scales, device).index_select(1, which)).sub_(0.5).clamp_(min=0)
        winners = _winners(self._sampled(more, which, places))
        inside = torch.zeros(pixels + 1, dtype=torch.int32, device=device)
        one = inside.new_ones(1).expand(len(begins))
        inside = inside.index_add_(0, begins, one).index_add_(0, ends, one, alpha=-1).cumsum(0, dtype=torch.int32)[:-1]
        keys = (which * names + winners) * 2 + (1 - inside)
        bins = rows * names * 2
        if pixels >= EXACT:
            keys = (keys.cpu() if device.type == "mps" else keys).to(torch.float64)  # which MPS lacks
        counts = torch.histc(keys if pixels >= EXACT else keys.float(), bins, -0.5, bins - 0.5)
        return counts.to(torch.int64).to(device).view(rows, names, 2)

    def _sampled(self, more: torch.Tensor, which: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """(pixels, names - 1) float32, bilinear, at (2, pixels) places x and y of the planes of `which` row."""
        side = self._side
        flat = more.flatten(2).mT.reshape(-1, more.shape[1])
        low = places.long()
        weight = (places - low)[..., None]
        high = (low + 1).clamp_(max=side - 1)
        before = which * side
        left, right = (before + low[0]) * side, (before + high[0]) * side
        upper, lower = (
            torch.lerp(flat.index_select(0, left + y).float(), flat.index_select(0, right + y).float(), weight[0])
            for y in (low[1], high[1])
        )
        return torch.lerp(upper, lower, weight[1])


def facts_of(chunk: Sequence[Question], side: int) -> tuple[Ints, npt.NDArray[np.float32], int]:
    """What the device has to know of a chunk's boxes, as the host tells it, and their pixels together.

    First (5 * rows,): where each box begins, its height, its corner in the crop, its pixels; then where the masks
    begin and where they end among the pixels. And (2, rows) float32: how many of `side` a crop's pixel takes, x and y.
    """
    boxes = np.array([question.box_xyxy for question in chunk])
    crops = np.array([question.crop_xyxy for question in chunk])
    sizes = boxes[:, 2:] - boxes[:, :2]
    areas = sizes.prod(1)
    firsts = np.concatenate([[0], np.cumsum(areas)[:-1]])
    columns = [firsts, sizes[:, 1], *(boxes[:, :2] - crops[:, :2]).T, areas]
    facts = np.concatenate([*columns, *_marks(chunk, boxes, firsts)]).astype(np.int64)
    return facts, (side / (crops[:, 2:] - crops[:, :2])).T.astype(np.float32), int(areas.sum())


def _winners(more: torch.Tensor) -> torch.Tensor:
    """(pixels,) the name that scores most, ties to the first, of (pixels, names - 1): how much more than the first."""
    best, name = more.max(1)
    return torch.where(best > 0, name + 1, 0)


def _pieces(chunk: Sequence[Question]) -> Iterator[slice]:
    """Runs of questions whose boxes have not too many pixels together."""
    begin = pixels = 0
    for index, question in enumerate(chunk):
        x0, y0, x1, y1 = question.box_xyxy
        area = (x1 - x0) * (y1 - y0)
        if index > begin and pixels + area > PIXELS_AT_A_TIME:
            yield slice(begin, index)
            begin, pixels = index, 0
        pixels += area
    yield slice(begin, len(chunk))


def known_runs(question: Question) -> tuple[Ints, Ints]:
    """Where the mask's runs of 1 begin and end."""
    return rle.intervals(rle.runs(question.rle, question.size_hw)) if question.runs is None else question.runs


def _marks(chunk: Sequence[Question], boxes: Ints, firsts: Ints) -> tuple[Ints, Ints]:
    """Where the masks begin and end among the boxes' pixels, column by column, box after box; all masks at once."""
    runs = [known_runs(question) for question in chunk]
    starts, ends = (np.concatenate(sides) for sides in zip(*runs, strict=True))
    which = np.repeat(np.arange(len(chunk)), [len(each) for each, _ in runs])
    height = np.array([question.size_hw[0] for question in chunk])[which]
    column = starts // height
    counts = (ends - 1) // height - column + 1
    if (counts > 1).any():  # cut where a column ends and the next begins
        after = np.cumsum(counts)
        column = np.repeat(column - after + counts, counts) + np.arange(after[-1])
        which, height, starts, ends = (np.repeat(values, counts) for values in (which, height, starts, ends))
    x0, y0, x1, y1 = boxes.T[:, which]
    offset = column * height + y0
    top, bottom = np.maximum(starts - offset, 0), np.minimum(ends - offset, y1 - y0)
    seen = (top < bottom) & (column >= x0) & (column < x1)
    base = firsts[which] + (column - x0) * (y1 - y0)
    return (base + top)[seen], (base + bottom)[seen]
