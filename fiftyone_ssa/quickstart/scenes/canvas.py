"""Where scenes are painted: pixels, and beside them which part of which thing each pixel shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict, Unpack

import numpy as np

from fiftyone_ssa.quickstart.scenes.dice import Dice
from fiftyone_ssa.quickstart.scenes.shapes import Box, Ellipse, Floats32, Point, Polygon, Shape, Stroke, turn

Colour = tuple[float, float, float]
"""RGB, 0 to 255."""
NOISE_PX = 1024


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two, `share` of the second."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )


def dark(colour: Colour, share: float) -> Colour:
    """The colour with `share` of black in it."""
    return mix(colour, (0.0, 0.0, 0.0), share)


@lru_cache(maxsize=8)
def noise_field(cell_px: int) -> Floats32:
    """(1024, 1024) float32 value noise in [-1, 1), cells of `cell_px` (a power of two), without seams."""
    count = NOISE_PX // cell_px
    lattice = Dice(77, cell_px).octets(count * count).reshape(count, count).astype(np.float32) / 128 - 1
    if cell_px == 1:
        return lattice
    step = ((np.arange(cell_px, dtype=np.float32) + 0.5) / cell_px).astype(np.float32)
    rows = lattice[:, None, :] * (1 - step)[:, None] + np.roll(lattice, -1, 0)[:, None, :] * step[:, None]
    rows = rows.reshape(NOISE_PX, count)
    found = rows[:, :, None] * (1 - step) + np.roll(rows, -1, 1)[:, :, None] * step
    return found.reshape(NOISE_PX, NOISE_PX)


@dataclass(frozen=True)
class Mark:
    """What a node of the scene's tree is called, and under which node it hangs (-1: none)."""

    name: str
    parent: int


class Canvas:
    """Float pixels and, for each, the node it shows; nodes are things, their parts and the parts of those."""

    def __init__(self, height: int, width: int, dice: Dice) -> None:
        self.pixels = np.zeros((height, width, 3), np.float32)
        self.leaves = np.full((height, width), -1, np.int16)
        self.marks: list[Mark] = []
        self.dice = dice
        self.light: Point = (dice.between(-0.16, 0.16), dice.between(0.06, 0.2))
        """How much brighter a shape is at its right and at its top."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.leaves.shape[0], self.leaves.shape[1]

    def node(self, name: str, parent: int = -1) -> int:
        """A new node's id."""
        self.marks.append(Mark(name, parent))
        return len(self.marks) - 1

    def noise(self, cell_px: int, y0: int, x0: int, height: int, width: int) -> Floats32:
        """(height, width) value noise; the offsets wrap."""
        field = noise_field(cell_px)
        rows = (np.arange(height) + y0) % NOISE_PX
        columns = (np.arange(width) + x0) % NOISE_PX
        return field[rows[:, None], columns]


TEXTURES: dict[str, tuple[tuple[int, float], ...]] = {
    "plain": ((1, 0.012),),
    "grain": ((1, 0.05), (2, 0.05)),
    "rough": ((2, 0.09), (8, 0.08)),
    "leaf": ((2, 0.16), (4, 0.16)),
    "cloth": ((1, 0.05), (8, 0.05)),
    "grass": ((1, 0.08), (4, 0.09), (32, 0.10)),
    "stone": ((2, 0.07), (16, 0.09)),
}
"""Sums of value noise: (cell in pixels, how strong)."""


class How(TypedDict, total=False):
    """How a shape is painted."""

    texture: str
    inside: bool
    flat: bool


class Pen:
    """Paints one thing in its own frame: u to the right in [-, +], v upwards from 0 (its foot) to about 1."""

    def __init__(self, canvas: Canvas, node: int, foot_xy: Point, height_px: float, colour: Colour) -> None:
        self.canvas, self.dice, self.colour = canvas, canvas.dice, colour
        self.root = self._node = node
        self._foot, self._scale = foot_xy, height_px
        self._flip, self._grounded = 1.0, True
        self._turn: Point = (1.0, 0.0)
        self._haze: tuple[Colour, float] = ((0.0, 0.0, 0.0), 0.0)

    def pose(self, *, flip: bool, tilt: float, grounded: bool, haze: Colour, haze_share: float) -> None:
        """Mirror it, turn it about its foot (tangent of half the angle), veil it; only the grounded cast shadows."""
        self._flip, self._turn, self._grounded = (-1.0 if flip else 1.0), turn(tilt), grounded
        self._haze = (haze, haze_share)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is painted inside belongs to a new part of the current node."""
        outer, self._node = self._node, self.canvas.node(name, self._node)
        try:
            yield
        finally:
            self._node = outer

    def ellipse(self, u: float, v: float, radius_u: float, radius_v: float, colour: Colour, **how: Unpack[How]) -> None:
        """Paint an ellipse; `how` as in `paint`."""
        self.paint(Ellipse(u, v, radius_u, radius_v), colour, **how)

    def rect(
        self, u0: float, v0: float, u1: float, v1: float, colour: Colour, round: float = 0, **how: Unpack[How]
    ) -> None:
        """Paint a rectangle with corners rounded by `round`; `how` as in `paint`."""
        self.paint(Box(u0, v0, u1, v1, round), colour, **how)

    def polygon(self, points: Sequence[Point], colour: Colour, **how: Unpack[How]) -> None:
        """Paint a polygon; `how` as in `paint`."""
        self.paint(Polygon(tuple(points)), colour, **how)

    def stroke(self, start: Point, end: Point, width: float, colour: Colour, **how: Unpack[How]) -> None:
        """Paint a line with round ends; `how` as in `paint`."""
        self.paint(Stroke(start, end, width), colour, **how)

    def shadow(self, radius_u: float, depth: float = 0.42) -> None:
        """Darken the ground round the foot; it belongs to whatever is there."""
        if not self._grounded:
            return
        shape = Ellipse(0.05, 0.0, radius_u, min(radius_u * 0.22, 0.14))
        found = self._cover(shape, soft_px=max(2.0, 0.05 * self._scale))
        if found is not None:
            window, _, _, cover = found
            self.canvas.pixels[window] *= 1 - depth * cover[..., None]

    def paint(
        self, shape: Shape, colour: Colour, *, texture: str = "plain", inside: bool = False, flat: bool = False
    ) -> None:
        """Paint a shape with light, an edge and a texture, as pixels of the current node.

        `inside` keeps to pixels of this thing, `flat` leaves light and edge out.
        """
        found = self._cover(shape)
        if found is None:
            return
        window, distance_px, (u, v), cover = found
        if inside:
            cover = cover * (self.canvas.leaves[window] >= self.root)  # nodes after the root are this thing's
        tone = self._tone(shape, distance_px, u, v, flat)
        y0, x0 = self._noise_from
        for cell, strength in TEXTURES[texture]:
            tone = tone + strength * self.canvas.noise(cell, y0, x0, *cover.shape)
        haze, share = self._haze
        rgb = np.array(mix(colour, haze, share), np.float32) * np.maximum(tone, 0)[..., None]
        pixels = self.canvas.pixels[window]
        pixels += cover[..., None] * (rgb - pixels)
        self.canvas.leaves[window][cover >= 0.5] = self._node

    @property
    def _noise_from(self) -> tuple[int, int]:
        return self.root * 131 + self._node * 17, self.root * 71

    def _tone(self, shape: Shape, distance_px: Floats32, u: Floats32, v: Floats32, flat: bool) -> Floats32:
        if flat:
            return np.ones(distance_px.shape, np.float32)
        u0, v0, u1, v1 = shape.box
        right, up = self.canvas.light
        across = (u - (u0 + u1) / 2) * (2 * right * self._flip / max(u1 - u0, 1e-6))
        above = (v - (v0 + v1) / 2) * (2 * up / max(v1 - v0, 1e-6))
        edge = np.clip(distance_px * 0.5 + 1, 0, 1)  # the two pixels next to the outline
        tone: Floats32 = 1 + across + above - 0.22 * edge
        return tone

    def _cover(
        self, shape: Shape, soft_px: float = 1.0
    ) -> tuple[tuple[slice, slice], Floats32, tuple[Floats32, Floats32], Floats32] | None:
        """The window of pixels a shape meets, distances in pixels, coordinates and coverage in [0, 1] there."""
        cosine, sine = self._turn
        u0, v0, u1, v1 = shape.box
        corners = [(u * self._flip, v) for u in (u0, u1) for v in (v0, v1)]
        xs = [self._foot[0] + self._scale * (u * cosine - v * sine) for u, v in corners]
        ys = [self._foot[1] - self._scale * (u * sine + v * cosine) for u, v in corners]
        height, width = self.canvas.size_hw
        reach = soft_px + 1
        left, right = max(int(min(xs) - reach), 0), min(int(max(xs) + reach) + 1, width)
        top, bottom = max(int(min(ys) - reach), 0), min(int(max(ys) + reach) + 1, height)
        if left >= right or top >= bottom:
            return None
        x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - self._foot[0])) / np.float32(self._scale)
        y = (np.float32(self._foot[1] - 0.5) - np.arange(top, bottom, dtype=np.float32)[:, None]) / np.float32(
            self._scale
        )
        if sine:
            u, v = x * cosine + y * sine, y * cosine - x * sine
        else:
            u, v = x[None, :], y
        u = u * self._flip
        distance_px = shape.distance(u, v) * self._scale
        cover = np.clip(0.5 - distance_px / soft_px, 0, 1).astype(np.float32)
        return (slice(top, bottom), slice(left, right)), distance_px, (u, v), cover
