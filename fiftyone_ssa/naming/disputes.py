"""Whether masks end where a segmenter's classes do: what its cells on both sides of masks' borders say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.models.scores import Owners
from fiftyone_ssa.naming.soft_voting import Probabilities
from fiftyone_ssa.types import Floats, Ints

Places = tuple[slice, slice]

BLURRED = 0.4
"""Two cells are compared that lie as far from each other as the segmenter's own borders are blurred: as far as it takes
for its likeliest class to be so much likelier than the next one's on the other side. Nearer ones tell little of a
blurred segmenter, or of one whose scores were enlarged; farther ones forgive masks that end elsewhere."""
LEAST_REACH = 2
"""So many cells at least..."""
MOST_REACH = 1 / 16
"""... and this share of the grid's shorter side at most."""
LINES = 128
"""So many rows and columns of a grid are looked along, about."""
UNKNOWN = 10.0
"""So much is said for either side of all borders before anything is known: few borders tell little."""


def disputed(owners: Owners, classes: Ints, likeliest: Ints, by_cell: Probabilities) -> float:
    """How much cells along borders between masks speak for the other side, by how much for their own.

    Two cells lie on a border where their sides are of two classes: their masks', or, under no mask, the cell's own
    likeliest. One of mask k speaks by how much likelier k's class is there than the other side's. Where masks end where
    things end they are hardly disputed, however often the segmenter errs elsewhere; of masks that are moved, grown, or
    another picture's, as many cells speak against their own side as for it.

    Args:
        owners: (h, w) the mask of each cell's middle, -1 for none
        classes: (N,) each mask's class
        likeliest: (h, w) classes
        by_cell: (h * w, C) probabilities
    """
    cells, covered, sides = _numbered(owners.shape), owners >= 0, likeliest.copy()
    sides[covered] = classes[owners[covered]]
    own = other = UNKNOWN
    for here, there in _pairs(owners.shape, blur(likeliest, by_cell)):
        border = covered[here] & (owners[here] != owners[there])
        more = _more(sides, by_cell, cells, here, there, border)
        own += float(more[more > 0].sum(dtype=np.float64))
        other -= float(more[more < 0].sum(dtype=np.float64))
    return other / own


def blur(likeliest: Ints, by_cell: Probabilities) -> int:
    """Over how many cells the (h * w, C) probabilities turn from one of the (h, w) likeliest classes to the next."""
    most = max(LEAST_REACH, int(min(likeliest.shape) * MOST_REACH))
    reach, cells = LEAST_REACH, _numbered(likeliest.shape)
    while reach < most:
        pairs = _pairs(likeliest.shape, reach)
        more = np.concatenate([_more(likeliest, by_cell, cells, here, there) for here, there in pairs])
        if not len(more) or more.mean(dtype=np.float64) >= BLURRED:
            return reach
        reach = -(-reach * 4 // 3)
    return most


def _pairs(shape_hw: tuple[int, int], reach: int) -> Iterator[tuple[Places, Places]]:
    """Where cells lie that are so far from each other in some rows and columns, each of two once first."""
    some = slice(None, None, max(1, min(shape_hw) // LINES))
    first, last = slice(None, -reach), slice(reach, None)
    for one, two in (((some, first), (some, last)), ((first, some), (last, some))):
        yield one, two
        yield two, one


def _numbered(shape_hw: tuple[int, int]) -> Ints:
    """(h, w) the row of `by_cell` that each cell is."""
    return np.arange(shape_hw[0] * shape_hw[1]).reshape(shape_hw)


def _more(
    sides: Ints,
    by_cell: Probabilities,
    cells: Ints,
    here: Places,
    there: Places,
    among: npt.NDArray[np.bool_] | bool = True,
) -> Floats:
    """(K,) how much likelier the side of each cell here is there than that of its pair, where they are not the same."""
    met = among & (sides[here] != sides[there])
    near = cells[here][met]
    return np.asarray(by_cell[near, sides[here][met]] - by_cell[near, sides[there][met]])
