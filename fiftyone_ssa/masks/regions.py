"""Small regions of a mask, found on its runs: islands are removed, holes filled. Pure functions on numpy and scipy.

A mask is its runs of 1 as ascending offsets into the column-major image, each run inside one column; so a region
costs what the outline costs, not what the image does.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fiftyone_ssa.types import Ints


def remove_small_regions(starts: Ints, ends: Ints, size_hw: tuple[int, int], min_area: int) -> tuple[Ints, Ints, bool]:
    """The mask's runs without holes, then without islands, of fewer than `min_area` pixels, and whether any was there.

    Regions are 8-connected; a hole is any small region of the background, at the image's edge too; where every
    island is small the largest stays (segment_anything's `remove_small_regions`, both modes in its order).
    """
    gap_starts, gap_ends = _gaps(starts, ends, size_hw)
    regions, areas = _regions(gap_starts, gap_ends, size_hw[0])
    holes = (areas < min_area)[regions]
    if holes.any():
        starts, ends = _union(starts, ends, gap_starts[holes], gap_ends[holes], size_hw[0])
    regions, areas = _regions(starts, ends, size_hw[0])
    small = areas < min_area
    islands = regions != areas.argmax() if small.all() else small[regions]
    return starts[~islands], ends[~islands], bool(holes.any() or small.any())


def merged(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The same pixels with runs joined where one column's last continues as the next one's first."""
    fresh = np.ones(len(starts), np.bool_)
    fresh[1:] = starts[1:] != ends[:-1]
    return starts[fresh], ends[np.append(fresh[1:], True)[: len(ends)]]


def _gaps(starts: Ints, ends: Ints, size_hw: tuple[int, int]) -> tuple[Ints, Ints]:
    """Runs of 0, each inside one column."""
    tops = np.arange(size_hw[1]) * size_hw[0]
    gap_starts = np.sort(np.concatenate([tops, ends]))
    gap_ends = np.sort(np.concatenate([starts, tops + size_hw[0]]))
    keep = gap_ends > gap_starts
    return gap_starts[keep], gap_ends[keep]


def _union(starts: Ints, ends: Ints, more_starts: Ints, more_ends: Ints, height: int) -> tuple[Ints, Ints]:
    """Two disjoint sets of runs as one, joined where they touch inside a column."""
    starts, ends = np.sort(np.concatenate([starts, more_starts])), np.sort(np.concatenate([ends, more_ends]))
    fresh = np.ones(len(starts), np.bool_)
    fresh[1:] = (starts[1:] != ends[:-1]) | (starts[1:] % height == 0)
    return starts[fresh], ends[np.append(fresh[1:], True)]


def _regions(starts: Ints, ends: Ints, height: int) -> tuple[Ints, Ints]:
    """For each run the number of the 8-connected region it belongs to, and each region's area in pixels."""
    count = len(starts)
    next_column = (starts // height + 1) * height
    # a neighbour lies in the next column and reaches into this run's rows, widened by one for the diagonals
    first = np.searchsorted(ends, np.maximum(starts + height - 1, next_column), "right")
    last = np.searchsorted(starts, np.minimum(ends + height + 1, next_column + height), "left")
    neighbours = np.maximum(last - first, 0)
    left = np.repeat(np.arange(count), neighbours)
    right = np.repeat(first - np.cumsum(neighbours) + neighbours, neighbours) + np.arange(len(left))
    graph = coo_matrix((np.ones(len(left), np.bool_), (left, right)), shape=(count, count))
    number, regions = connected_components(graph, directed=False)
    areas = np.zeros(number, np.int64)
    np.add.at(areas, regions, ends - starts)
    return regions, areas
