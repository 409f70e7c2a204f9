"""Masks that are pixels in boxes, as runs and codes of their image: all masks of an image together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.runs import Runs, digits
from fiftyone_ssa.types import Ints

Placed = tuple[npt.NDArray[np.bool_], tuple[int, int]]
"""A mask (h, w) bool, and the corner x, y of it, inside its image."""


def runs_of_crops(crops: Iterable[Placed], size_hw: tuple[int, int]) -> Runs:
    """The runs of N masks of an image of `size_hw`, which are taken one at a time.

    Where pixels differ from those above them is found along the rows, as they lie in memory; only these few places are
    then sorted by the columns of all masks, one mask after the other, so that no mask is turned.
    """
    found, counts, corners = [], [], []
    edges = np.empty(0, np.bool_)
    for crop, (x, y) in crops:
        pixels, width = crop.reshape(-1), crop.shape[1]
        if len(edges) < len(pixels) + width:
            edges = np.empty(len(pixels) + width, np.bool_)
        here = edges[: len(pixels) + width]
        here[:width], here[len(pixels) :] = pixels[:width], pixels[len(pixels) - width :]
        np.not_equal(pixels[width:], pixels[: len(pixels) - width], out=here[width : len(pixels)])
        found.append(here.nonzero()[0])
        counts.append(len(found[-1]))
        corners.append((width, x, y))
    return _by_columns(found, counts, corners, size_hw)


def _by_columns(
    found: list[Ints], counts: list[int], corners: list[tuple[int, int, int]], size_hw: tuple[int, int]
) -> Runs:
    """Runs from where each mask's begin and end, offsets (h + 1 rows) into its own crop, of which the corners tell."""
    step = size_hw[0] * size_hw[1] + 1  # a run may end behind the last pixel
    base = np.arange(len(found) + 1) * step
    if not found:
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(1, np.int64))
    widths, x, y = np.array(corners, np.int64).T
    offsets, each = np.concatenate(found), np.repeat(widths, counts)
    rows = offsets // each
    columns = offsets - rows * each
    offsets = columns * size_hw[0] + rows + np.repeat(x * size_hw[0] + y + base[:-1], counts)
    offsets = offsets[_order(columns + np.repeat(np.cumsum(widths) - widths, counts), int(widths.sum()))]
    starts, ends = offsets[::2], offsets[1::2]
    apart = starts[1:] != ends[:-1]  # what goes on from the bottom of a column to the top of the next is one run
    if not apart.all():
        starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    bounds = np.searchsorted(starts, base)
    own = np.repeat(base[:-1], np.diff(bounds))
    return Runs(starts - own, ends - own, bounds)


def _order(columns: Ints, count: int) -> Ints:
    """The stable order of numbers from 0 to `count` - 1, by the radix sort that numpy has for 16 bits."""
    order = np.argsort(columns.astype(np.uint16), kind="stable")
    for shift in range(16, (count - 1).bit_length(), 16):
        order = order[np.argsort((columns[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def codes_of(found: Runs, pixels: int) -> tuple[bytes, ...]:
    """The compressed codes of N masks whose runs do not touch, in an image of `pixels` pixels."""
    counts = np.diff(found.bounds)
    first = 2 * found.bounds + np.arange(
        len(found) + 1
    )  # of each mask's lengths: those of its runs, and of what follows
    before = np.append(0, found.ends[:-1])[: len(found.starts)]
    before[found.bounds[:-1][counts > 0]] = 0
    last = np.where(counts > 0, found.ends[found.bounds[1:] - 1] if len(found.ends) else 0, 0)
    lengths = np.empty(first[-1], np.int64)
    places = 2 * np.arange(len(found.starts)) + np.repeat(np.arange(len(found)), counts)
    lengths[places], lengths[places + 1] = found.starts - before, found.ends - found.starts
    lengths[first[1:] - 1] = pixels - last
    values = lengths.copy()
    values[2:] -= lengths[:-2]
    whole = (first[:-1, None] + np.arange(3)).ravel()  # a code's first three lengths are written as they are
    whole = whole[(np.arange(3) < np.diff(first)[:, None]).ravel()]
    values[whole] = lengths[whole]
    # pycocotools ends a code with the last run of 1 where that reaches the last pixel
    kept = np.ones(len(values), np.bool_)
    kept[first[1:] - 1] = (last < pixels) | (counts == 0)
    text, stops = digits(values[kept])
    stops = np.append(0, stops)[np.append(0, np.cumsum(kept))[first]]
    content = text.tobytes()
    return tuple(content[start:stop] for start, stop in zip(stops[:-1].tolist(), stops[1:].tolist(), strict=True))
