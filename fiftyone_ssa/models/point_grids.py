"""Where everything-mode looks: crops of an image, and grids of points in them, in the order in which they are asked."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from fiftyone_ssa.types import Floats, Ints


def point_grid(side: int) -> Floats:
    """(side * side, 2) points evenly spaced in the unit square, row by row."""
    places = np.linspace(1 / (2 * side), 1 - 1 / (2 * side), side)
    return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)


def turns(side: int) -> list[Ints]:
    """The indices of `point_grid(side)` in five turns: each doubles the points, far from those before (Bayer)."""
    order = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    rows, columns = np.divmod(np.arange(side * side), side)
    turn = np.ceil(np.log2(order + 1))[rows % 4, columns % 4]
    return [np.flatnonzero(turn == index) for index in range(5)]


def crop_boxes(
    size_hw: tuple[int, int], layers: int, overlap_ratio: float
) -> list[tuple[tuple[int, int, int, int], int]]:
    """The image, then (2**i)**2 overlapping crops of it for each layer i: (x0, y0, x1, y1), x1 and y1 exclusive, and i.

    Crops that a very thin image leaves without a pixel are left out.
    """
    height, width = size_hw
    crops = [((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(size_hw) * (2 / per_side))
        crop_width, crop_height = (math.ceil((overlap * (per_side - 1) + side) / per_side) for side in (width, height))
        for column, row in product(range(per_side), repeat=2):
            x0, y0 = (crop_width - overlap) * column, (crop_height - overlap) * row
            box = (x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height))
            if box[2] > x0 and box[3] > y0:
                crops.append((box, layer))
    return crops
