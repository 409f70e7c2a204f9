"""The decider's two ends on the CPU, crop by crop: its patches, and which name wins in the mask's box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from fiftyone_ssa.masks import rle
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.clipseg import Spread
from fiftyone_ssa.models.enlarging import EnlargedPatches, Sources, interpolate_rows, sources
from fiftyone_ssa.models.ragged import known_runs


class Windows:
    """Few numbers for many operations: what no answer depends on is not computed.

    `patches` makes a crop's, `spread` logits of a cell's; logits are looked at in the mask's box only.
    """

    one_pass = False
    """Whether all names of a crop go through the decoder at once: here one after the other stays in the caches."""

    def __init__(self, patches: EnlargedPatches, spread: Spread, grid: int, margin: int) -> None:
        self._patches, self._spread, self._grid, self._margin = patches, spread, grid, margin

    def patches(self, chunk: Sequence[Question]) -> torch.Tensor:
        """(rows, grid * grid, width)."""
        # crops of one image come one after the other: it is turned once for all
        image = turned = torch.zeros(0)
        found = []
        for question in chunk:
            if question.image is not image:
                image = question.image
                turned = image.transpose(0, 1).contiguous()
            found.append(self._patches(image, turned, question.crop_xyxy))
        return torch.cat(found)

    def cells(self, question: Question) -> int:
        """How many of `places` a question has."""
        rows, columns = _Window(question, self._grid, self._spread.side).around(self._margin)
        return len(rows) * len(columns)

    def places(self, chunk: Sequence[Question]) -> torch.Tensor:
        """(rows, cells) the tokens whose logits are needed, some repeated."""
        tokens = [_Window(question, self._grid, self._spread.side).tokens(self._margin) for question in chunk]
        return pad_sequence(tokens, batch_first=True, padding_value=1)

    def counts(self, chunk: Sequence[Question], cells: torch.Tensor) -> torch.Tensor:
        """(rows, names, 2) int64, inside the mask and outside, from (rows, names, channels, grid, grid)."""
        found = np.zeros((*cells.shape[:2], 2), np.int64)
        for counts, question, of_names in zip(found, chunk, cells, strict=True):
            inside = rle.dense_crop(*known_runs(question), question.size_hw[0], question.box_xyxy)
            window, count = _Window(question, self._grid, self._spread.side), len(question.names)
            winners = _winners(window.scores(self._spread, of_names[:count])).numpy()
            for name in range(1, count):
                won = winners == name
                counts[name] = np.count_nonzero(won & inside), np.count_nonzero(won)
            counts[0] = np.array([np.count_nonzero(inside), inside.size]) - counts[1:count].sum(0)
            counts[:, 1] -= counts[:, 0]
        return torch.from_numpy(found)


class _Window:
    """The cells of a crop's grid that its mask's box needs, and from their logits to the box's pixels."""

    def __init__(self, question: Question, grid: int, patch: int) -> None:
        x0, y0, x1, y1 = question.crop_xyxy
        left, top, right, bottom = question.box_xyxy
        self._grid, self._patch = grid, patch
        self._x, self._y = (x1 - x0, left - x0, right - x0), (y1 - y0, top - y0, bottom - y0)
        self._cells_x, self._cells_y = (_cells(*side, grid, patch) for side in (self._x, self._y))

    def around(self, margin: int) -> tuple[range, range]:
        """The grid's rows and columns that hold the cells and `margin` round them."""
        rows, columns = (
            range(max(cells.start - margin, 0), min(cells.stop + margin, self._grid))
            for cells in (self._cells_y, self._cells_x)
        )
        return rows, columns

    def tokens(self, margin: int) -> torch.Tensor:
        """(cells,) the places of these among the decoder's tokens."""
        rows, columns = (torch.arange(places.start, places.stop) for places in self.around(margin))
        return (1 + rows[:, None] * self._grid + columns).flatten()

    def scores(self, spread: Spread, cells: torch.Tensor) -> torch.Tensor:
        """(names - 1, h, w) the box's, how much more than the first name's, of (names, channels, grid, grid)."""
        low, high, weight = self._near(self._x, self._cells_x)
        both = spread.columns(cells[..., self._cells_y, self._cells_x].mT, torch.cat([low, high]))
        wide = torch.lerp(both[:, : len(low)], both[:, len(low) :], weight[:, None]).mT.contiguous()
        return interpolate_rows(wide, self._near(self._y, self._cells_y))

    def _near(self, side: tuple[int, int, int], cells: slice) -> Sources:
        """Between which logits of the cells each pixel along a side lies."""
        pixels, start, stop = side
        low, high, weight = sources(pixels, start, stop, self._grid * self._patch, torch.device("cpu"))
        return low - cells.start * self._patch, high - cells.start * self._patch, weight


def _cells(pixels: int, start: int, stop: int, grid: int, patch: int) -> slice:
    """The cells of `grid` that start..stop - 1 of `pixels` along a side need."""
    scale = grid * patch / pixels
    first = int(max((start + 0.5) * scale - 0.5, 0)) // patch
    last = min(int(max((stop - 0.5) * scale - 0.5, 0)) + 1, grid * patch - 1) // patch
    return slice(first, last + 1)


def _winners(more: torch.Tensor) -> torch.Tensor:
    """(h, w) uint8 the name that scores most, ties to the first, of (names - 1, h, w): how much more than the first.

    Several times faster than torch's `argmax`.
    """
    best = more[0].clamp(min=0)
    winners = (more[0] > 0).to(torch.uint8)
    for name, scores in enumerate(more[1:], 2):
        # the last to beat all before it wins
        winners = torch.maximum(winners, (scores > best).to(torch.uint8).mul_(name))
        best = torch.maximum(best, scores)
    return winners
