"""Masks that files for polygons and brushes find hard: holes, islands, lines, single pixels, noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def odd_masks() -> list[npt.NDArray[np.bool_]]:
    """About thirty (h, w) bool masks, none empty."""
    found = [np.ones((1, 1), bool), np.ones((1, 7), bool), np.ones((6, 1), bool), np.ones((5, 4), bool)]
    for rows in (
        ["#....", ".....", "...#."],  # two pixels
        ["#.#.#", ".#.#.", "#.#.#"],  # touching at corners only
        ["#####", "#...#", "#.#.#", "#...#", "#####"],  # an island in a hole
        ["#######", "#.#.#.#", "#######", "##...##", "#######"],  # holes side by side and below
        ["###..", "#.#..", "####.", "..#.#", "..###"],  # two rings that share pixels
        ["..#..", ".#.#.", "#.#.#", ".#.#.", "..#.."],  # holes of one pixel, closed by corners
        ["#.........", ".#........", "..########"],  # a thin line
    ):
        found.append(np.array([[pixel == "#" for pixel in row] for row in rows]))
    random = np.random.default_rng(0)
    for blur in np.linspace(0, 3, 20):
        field = ndimage.gaussian_filter(random.random((23, 31)), blur)
        found.append(field >= np.quantile(field, random.uniform(0, 0.95)))
    return found
