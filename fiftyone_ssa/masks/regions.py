"""Small regions of masks, found on their runs: islands are removed, holes filled. Pure functions on numpy and scipy.

A mask is its runs of 1 as ascending offsets into the column-major image, each run inside one column; so a region
costs what the outline costs, not what the image does. All masks of an image are cleaned at once: laid side by side,
an empty column between them, they are one long image whose regions are found together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fiftyone_ssa.masks.runs import Runs
from fiftyone_ssa.types import Ints


def remove_small_regions(masks: Runs, size_hw: tuple[int, int], min_area: int) -> tuple[Runs, npt.NDArray[np.bool_]]:
    """N masks without holes, then without islands, of fewer than `min_area` pixels, and (N,) whether any was there.

    Regions are 8-connected; a hole is any small region of the background, at the image's edge too; where every
    island is small the largest stays (segment_anything's `remove_small_regions`, both modes in its order).
    No mask may be empty.
    """
    height, count = size_hw[0], len(masks)
    span = (size_hw[1] + 2) * height  # offsets that each mask has for its own
    apart = np.repeat(np.arange(count) * span, np.diff(masks.bounds))
    starts, ends = masks.starts + apart, masks.ends + apart
    gap_starts, gap_ends, gap_areas = _gaps(starts, ends, masks.bounds, size_hw, min_area)
    regions, areas = _regions(gap_starts, gap_ends, gap_areas, height)
    holes = (areas < min_area)[regions]
    changed = np.zeros(count, np.bool_)
    changed[gap_starts[holes] // span] = True
    if holes.any():
        starts, ends = _union(starts, ends, gap_starts[holes], gap_ends[holes], height)
    regions, areas = _regions(starts, ends, ends - starts, height)
    owners = np.zeros(len(areas), np.int64)
    owners[regions] = starts // span
    small = areas < min_area
    changed[owners[small]] = True
    small[_largest(areas, owners)] = False
    stays = ~small[regions]
    owner = starts[stays] // span
    bounds = np.searchsorted(owner, np.arange(count + 1))
    return Runs(starts[stays] - owner * span, ends[stays] - owner * span, bounds), changed


def merged(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The same pixels with runs joined where one column's last continues as the next one's first."""
    fresh = np.ones(len(starts), np.bool_)
    fresh[1:] = starts[1:] != ends[:-1]
    return starts[fresh], ends[np.append(fresh[1:], True)[: len(ends)]]


def _largest(areas: Ints, owners: Ints) -> Ints:
    """Each mask's largest region, the first of equals."""
    order = np.lexsort((np.arange(len(areas)), -areas, owners))
    return order[np.unique(owners[order], return_index=True)[1]]


def _gaps(starts: Ints, ends: Ints, bounds: Ints, size_hw: tuple[int, int], min_area: int) -> tuple[Ints, Ints, Ints]:
    """Runs of 0, each inside one column, and how many pixels each stands for.

    Of the empty columns on either side of a mask only the nearest is there, for all of them, unless they are few.
    """
    height, width = size_hw
    first, last = starts[bounds[:-1]] // height, (ends[bounds[1:] - 1] - 1) // height
    origin = np.arange(len(bounds) - 1) * (width + 2)
    before, after = first - origin, origin + width - 1 - last
    left = np.where(before * height < min_area, before, np.minimum(before, 1))
    right = np.where(after * height < min_area, after, np.minimum(after, 1))
    counts = last - first + 1 + left + right
    stops = np.cumsum(counts)
    tops = (np.arange(stops[-1]) + np.repeat(first - left - stops + counts, counts)) * height
    gap_starts = np.sort(np.concatenate([tops, ends]), kind="stable")
    gap_ends = np.sort(np.concatenate([starts, tops + height]), kind="stable")
    keep = gap_ends > gap_starts
    gap_starts, gap_ends = gap_starts[keep], gap_ends[keep]
    areas = gap_ends - gap_starts
    for side, columns, hidden in ((first - 1, left, before - left), (last + 1, right, after - right)):
        some = columns == 1
        areas[np.searchsorted(gap_starts, side[some] * height)] += hidden[some] * height
    return gap_starts, gap_ends, areas


def _union(starts: Ints, ends: Ints, more_starts: Ints, more_ends: Ints, height: int) -> tuple[Ints, Ints]:
    """Two disjoint sets of runs as one, joined where they touch inside a column."""
    starts = np.sort(np.concatenate([starts, more_starts]), kind="stable")
    ends = np.sort(np.concatenate([ends, more_ends]), kind="stable")
    fresh = np.ones(len(starts), np.bool_)
    fresh[1:] = (starts[1:] != ends[:-1]) | (starts[1:] % height == 0)
    return starts[fresh], ends[np.append(fresh[1:], True)]


def _regions(starts: Ints, ends: Ints, pixels: Ints, height: int) -> tuple[Ints, Ints]:
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
    return regions, np.bincount(regions, pixels, number).astype(np.int64)
