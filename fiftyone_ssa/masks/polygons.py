"""Outlines of masks without simplification; `masks.filling` takes them back to pixels as readers do.

Two outlines of one mask, both whole numbers, both exact where their reader fills them:

- `edge_rings`: along the edges of pixels, x from 0 to the width, holes as rings of their own. It is the mask's area in
  the plane; pycocotools fills it back to the same pixels, and browsers draw it.
- `pixel_rings`: through the middles of the outermost pixels, which OpenCV's `fillPoly` and Pillow's `polygon` fill
  with the line itself. A polygon file has no holes: a ring goes into a hole and back along the same pixels, a seam,
  which costs nothing since it lies on the mask. Islands are rings of their own, or one ring with lines from island to
  island, which are the only pixels that such a file adds.

Pixels that touch at a corner belong together (8-connected), as in OpenCV and `masks.regions`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.types import Ints

Crop = npt.NDArray[np.bool_]
_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class EdgeRing:
    """One closed line along pixel edges."""

    corners_xy: Ints
    """(N, 2) corners in order, the mask on the right hand of who walks along them."""
    is_hole: bool
    island: int
    """Which island of the mask it bounds, from 0."""


def edge_rings(crop: Crop, corner_xy: tuple[int, int] = (0, 0), *, seams: bool = False) -> list[EdgeRing]:
    """The lines between a mask and what is outside, along pixel edges.

    Args:
        crop: (h, w) bool, a mask or its part inside a box
        corner_xy: where the crop begins in the image, in pixels
        seams (False): whether outer lines lead into the holes and back, so that none is a ring of its own

    Returns:
        outer lines and holes, those of an island together; none of an empty mask
    """
    found = _Segments.of(crop)
    islands, _ = ndimage.label(crop, _TOUCHING)
    rings = []
    if seams:
        path = _Path(found, np.stack([found.start, found.start[found.following]], 1), crop, hole_row=0)
        outer = {node: path.points(path.walk(node)) for node in path.starts}
        for node, points in outer.items():
            x, y = found.first[node // 2]
            rings.append(EdgeRing(_at_least_three(points) + corner_xy, False, int(islands[y, x]) - 1))
        return sorted(rings, key=lambda ring: ring.island)
    for ring in found.rings():
        x, y = found.first[ring[0]]
        corners = found.start[ring] + corner_xy
        rings.append(EdgeRing(corners, _turn(found.start[ring]) < 0, int(islands[y, x]) - 1))
    return sorted(rings, key=lambda ring: (ring.island, ring.is_hole))


def pixel_rings(crop: Crop, corner_xy: tuple[int, int] = (0, 0), *, one: bool = False) -> list[Ints]:
    """Rings through the outermost pixels of a mask, with seams into its holes.

    Args:
        crop: (h, w) bool, a mask or its part inside a box
        corner_xy: where the crop begins in the image, in pixels
        one (False): whether islands are joined to one ring by lines between their nearest points

    Returns:
        a (N, 2) ring of x, y for each island, ordered from the left, N at least 3; none of an empty mask
    """
    found = _Segments.of(crop)
    path = _Path(found, np.stack([found.first, found.last], 1), crop, hole_row=-1)
    rings = sorted((path.walk(node) for node in path.starts), key=lambda nodes: path.points(nodes)[:, 0].min())
    if one and len(rings) > 1:
        rings = [path.join_islands(rings)]
    return [_at_least_three(path.points(nodes)) + corner_xy for nodes in rings]


@dataclass(frozen=True, eq=False)
class _Segments:
    """The straight pieces of a mask's edge, each from a corner to the next, with the pixels beside it."""

    start: Ints
    """(S, 2) the corner x, y where it begins."""
    following: Ints
    """(S,) the piece after it."""
    first: Ints
    """(S, 2) the first pixel x, y of the mask along it."""
    last: Ints
    """(S, 2) the last one; the same where it is one pixel long."""

    @classmethod
    def of(cls, crop: Crop) -> _Segments:
        if crop.ndim != 2 or crop.dtype != np.bool_:
            raise InputError(f"a mask must be (h, w) bool, got {crop.shape} {crop.dtype}")
        corners = _corners(crop)
        partner = np.where(corners.leaves_across, corners.pairs(down=False), corners.pairs(down=True))
        start = np.column_stack([corners.x, corners.y])
        step = np.sign(start[partner] - start)
        down, left, up = step[:, 1] > 0, step[:, 0] < 0, step[:, 1] < 0
        # the mask is at the right hand: below the edge on the way right, left of it on the way down, and so on
        first = start - np.column_stack([left | down, left | up])
        return cls(start, partner, first, first + (start[partner] - start) - step)

    def rings(self) -> list[Ints]:
        """The pieces of each closed line, in order."""
        following, seen, rings = self.following.tolist(), bytearray(len(self.following)), []
        for begin in range(len(following)):
            if seen[begin]:
                continue
            ring, piece = [], begin
            while not seen[piece]:
                seen[piece] = 1
                ring.append(piece)
                piece = following[piece]
            rings.append(np.array(ring))
        return rings


@dataclass(frozen=True, eq=False)
class _Corners:
    """Where a mask's edge turns; a place where two pixels touch at a corner holds two, one for each side."""

    x: Ints
    y: Ints
    leaves_across: npt.NDArray[np.bool_]
    """Whether the edge goes on along a row from here; else along a column."""
    second_across: npt.NDArray[np.bool_]
    """Of two at one place, the one whose row goes to the right."""
    second_down: npt.NDArray[np.bool_]
    """Of two at one place, the one whose column goes down."""

    def pairs(self, *, down: bool) -> Ints:
        """The other end of each corner's piece, along its row or down its column."""
        keys = (self.second_down, self.y, self.x) if down else (self.second_across, self.x, self.y)
        order = np.lexsort(keys).reshape(-1, 2)
        partner = np.empty(len(self.x), np.int64)
        partner[order[:, 0]], partner[order[:, 1]] = order[:, 1], order[:, 0]
        return partner


def _corners(crop: Crop) -> _Corners:
    padded = np.pad(crop, 1)
    changes = padded[:-1] ^ padded[1:]
    meet = changes[:, :-1] & changes[:, 1:] & (padded[:-1, :-1] ^ padded[:-1, 1:])
    places = np.flatnonzero((changes[:, :-1] ^ changes[:, 1:]) | meet)
    y, x = np.divmod(places, crop.shape[1] + 1)
    twice = meet[y, x]
    upper_left, upper_right, lower_right = padded[y, x], padded[y, x + 1], padded[y + 1, x + 1]
    falls = upper_left  # of two pixels that touch at a corner, whether one is left above the other
    right = (upper_right != lower_right) & ~twice
    # pixels that touch at a corner are one: the edge goes on from the one to the other
    y, x = (np.concatenate([side, side[twice]]) for side in (y, x))
    leaves = np.concatenate([np.where(right, lower_right, upper_left), lower_right[twice]])
    across = np.concatenate([np.zeros(len(twice), bool), np.ones(twice.sum(), bool)])
    down = np.concatenate([twice & falls, ~falls[twice]])
    return _Corners(x, y, leaves, across, down)


class _Path:
    """Rings as a list of which point follows which, two points a piece, with seams into the holes."""

    def __init__(self, found: _Segments, ends: Ints, crop: Crop, *, hole_row: int) -> None:
        """`ends` (S, 2, 2) are the points of each piece; a seam ends `hole_row` rows from a hole's topmost edge."""
        self._ends, self._added = ends.reshape(-1, 2), list[tuple[int, int]]()
        count = len(found.following)
        self.next: list[int] = np.column_stack([2 * np.arange(count) + 1, 2 * found.following]).ravel().tolist()
        self.starts: list[int] = []
        """A point of each outer line."""
        self._found, self._hole_row = found, hole_row
        self._waiting: dict[int, list[tuple[int, int, int]]] = {}
        """Piece to the seams that begin on it: x, the seam's two ends in the hole."""
        begin, end = found.start, found.start[found.following]
        lying = np.flatnonzero(begin[:, 1] == end[:, 1])
        keys = begin[lying, 1] * _ROW + np.minimum(begin[lying, 0], end[lying, 0])
        order = np.argsort(keys)
        self._lying, self._keys = lying[order], keys[order]
        for ring in found.rings():
            if _turn(found.start[ring]) < 0:
                self._join_hole(crop, ring)
            else:
                self.starts.append(2 * int(ring[0]))
        self._close_seams()

    def _join_hole(self, crop: Crop, ring: Ints) -> None:
        """Lead a hole's ring up to the line that bounds the mask above it."""
        found = self._found
        top = ring[np.argmin(found.start[ring, 1] * _ROW + found.start[ring, 0])]
        row, column = int(found.start[top, 1]), int(found.start[top, 0])
        above = crop[:row, column][::-1]
        free = int(np.argmin(above)) if not above.all() else row
        inner, outer = self._piece_at(row, column), self._piece_at(row - free, column)
        into, out_of = (self._add(column, row + self._hole_row) for _ in range(2))
        self.next[into], self.next[2 * inner] = self.next[2 * inner], out_of
        self._waiting.setdefault(outer, []).append((column, into, out_of))

    def _close_seams(self) -> None:
        """Lead the outer lines into the seams that begin on them."""
        for piece, seams in self._waiting.items():
            y, before, end = int(self._ends[2 * piece, 1]), 2 * piece, self.next[2 * piece]
            for column, into, out_of in sorted(seams):
                there, back = self._add(column, y), self._add(column, y)
                self.next[before], self.next[there], self.next[out_of] = there, into, back
                before = back
            self.next[before] = end

    def join_islands(self, rings: list[list[int]]) -> list[int]:
        """One ring of several: each is led to from the nearest point of those before it."""
        joined = list(rings[0])
        for nodes in rings[1:]:
            distances, nearest = cKDTree(self.points(joined)).query(self.points(nodes))
            here = int(np.argmin(distances))
            there, island = joined[int(np.atleast_1d(nearest)[here])], nodes[here]
            (x, y), (to_x, to_y) = self.points([island, there]).tolist()
            into, back = self._add(x, y), self._add(to_x, to_y)
            self.next[into], self.next[back] = self.next[island], self.next[there]
            self.next[there], self.next[island] = into, back
            joined += [*nodes, into, back]
        return self.walk(joined[0])

    def walk(self, node: int) -> list[int]:
        """The points of a ring, in order."""
        nodes, following = [node], self.next[node]
        while following != node:
            nodes.append(following)
            following = self.next[following]
        return nodes

    def points(self, nodes: list[int]) -> Ints:
        """Their x, y, (N, 2)."""
        points: Ints = np.concatenate([self._ends, self._added])[nodes] if self._added else self._ends[nodes]
        return points

    def _piece_at(self, row: int, column: int) -> int:
        """The piece of the edge that runs below pixel row `row` - 1 through `column`."""
        return int(self._lying[np.searchsorted(self._keys, row * _ROW + column, "right") - 1])

    def _add(self, x: int, y: int) -> int:
        self._added.append((x, y))
        self.next.append(-1)
        return len(self.next) - 1


_ROW = 1 << 32
"""More than an image is wide: a row and a column in one number."""


def _turn(corners_xy: Ints) -> int:
    """Twice the area inside a ring, above 0 where the mask is inside."""
    x, y = corners_xy.T
    return int(x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1])


def _at_least_three(points: Ints) -> Ints:
    """A ring without points that repeat or lie on the way from one to the next; three points where it had fewer."""
    apart = np.diff(points, axis=0, prepend=points[-1:]).any(axis=1)
    points = points[apart] if apart.any() else points[:1]
    if len(points) > 3:
        into = np.diff(points, axis=0, prepend=points[-1:])
        out = np.concatenate([into[1:], into[:1]])
        straight = (into[:, 0] * out[:, 1] == into[:, 1] * out[:, 0]) & ((into * out).sum(axis=1) > 0)
        points = points[~straight]
    return np.concatenate([points, np.repeat(points[-1:], max(3 - len(points), 0), axis=0)])
