"""Shapes as distances to their outline, negative inside, from +, -, *, / and square roots only.

IEEE 754 fixes the result of those to the last bit, so a scene is the same on every machine; sines, powers, matrix
products and drawing libraries are not. `u` and `v` are coordinates that broadcast to (H, W), float32; so are distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.floating[Any]]
Point = tuple[float, float]


class Shape(Protocol):
    """What can be painted."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds (u0, v0, u1, v1)."""

    def distance(self, u: Floats32, v: Floats32) -> Floats32:
        """Distance to the outline, negative inside."""


@dataclass(frozen=True)
class Ellipse:
    """An upright ellipse."""

    u: float
    v: float
    radius_u: float
    radius_v: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds."""
        return self.u - self.radius_u, self.v - self.radius_v, self.u + self.radius_u, self.v + self.radius_v

    def distance(self, u: Floats32, v: Floats32) -> Floats32:
        """First-order distance: exact on the outline."""
        x, y = (u - self.u) / self.radius_u, (v - self.v) / self.radius_v
        level = np.sqrt(x * x + y * y)
        x, y = x / self.radius_u, y / self.radius_v
        slope = np.sqrt(x * x + y * y)
        found: Floats32 = level * (level - 1) / np.maximum(slope, 1e-6)
        # at the centre level and slope vanish together
        return np.where(level < 1e-3, np.float32(-min(self.radius_u, self.radius_v)), found)


@dataclass(frozen=True)
class Box:
    """An upright rectangle, its corners rounded by `round`."""

    u0: float
    v0: float
    u1: float
    v1: float
    round: float = 0.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds."""
        return self.u0, self.v0, self.u1, self.v1

    def distance(self, u: Floats32, v: Floats32) -> Floats32:
        """Exact outside near the sides and inside."""
        x = np.abs(u - (self.u0 + self.u1) / 2) - ((self.u1 - self.u0) / 2 - self.round)
        y = np.abs(v - (self.v0 + self.v1) / 2) - ((self.v1 - self.v0) / 2 - self.round)
        if not self.round:
            square: Floats32 = np.maximum(x, y)
            return square
        outer_x, outer_y = np.maximum(x, 0), np.maximum(y, 0)
        corner = np.sqrt(outer_x * outer_x + outer_y * outer_y)
        found: Floats32 = corner + np.minimum(np.maximum(x, y), 0) - self.round
        return found


@dataclass(frozen=True)
class Stroke:
    """A straight line with round ends."""

    start: Point
    end: Point
    width: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds."""
        half = self.width / 2
        (u0, v0), (u1, v1) = self.start, self.end
        return min(u0, u1) - half, min(v0, v1) - half, max(u0, u1) + half, max(v0, v1) + half

    def distance(self, u: Floats32, v: Floats32) -> Floats32:
        """Exact."""
        found: Floats32 = np.sqrt(_to_segment(u, v, self.start, self.end)) - self.width / 2
        return found


@dataclass(frozen=True)
class Polygon:
    """Any polygon, by the even-odd rule."""

    points: tuple[Point, ...]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds."""
        us, vs = [p[0] for p in self.points], [p[1] for p in self.points]
        return min(us), min(vs), max(us), max(vs)

    def distance(self, u: Floats32, v: Floats32) -> Floats32:
        """Exact."""
        nearest = np.full(np.broadcast_shapes(u.shape, v.shape), np.inf, np.float32)
        inside = np.zeros(nearest.shape, np.bool_)
        for (u0, v0), (u1, v1) in zip(self.points, self.points[1:] + self.points[:1], strict=True):
            np.minimum(nearest, _to_segment(u, v, (u0, v0), (u1, v1)), out=nearest)
            if v0 != v1:
                inside ^= ((v < v0) != (v < v1)) & (u < u0 + (v - v0) * ((u1 - u0) / (v1 - v0)))
        far = np.sqrt(nearest)
        return np.where(inside, -far, far)


def _to_segment(u: Floats32, v: Floats32, start: Point, end: Point) -> Floats32:
    """Squared distance to a segment."""
    along_u, along_v = end[0] - start[0], end[1] - start[1]
    from_u, from_v = u - start[0], v - start[1]
    length = along_u * along_u + along_v * along_v
    if length:
        share = np.clip(from_u * (along_u / length) + from_v * (along_v / length), 0, 1)
        from_u, from_v = from_u - share * along_u, from_v - share * along_v
    found: Floats32 = from_u * from_u + from_v * from_v
    return found


def turn(tangent: float) -> Point:
    """Cosine and sine of twice the angle whose tangent this is: a rotation without trigonometry."""
    square = tangent * tangent
    return (1 - square) / (1 + square), 2 * tangent / (1 + square)


def circle_points(count: int, start: float = 0.0) -> list[Point]:
    """`count` points round the unit circle, nearly evenly, from the left counter-clockwise; `start` in steps."""
    points = []
    for index in range(count):
        part = ((index + start) / count * 2) % 2 - 1
        # tan(pi / 4 * part), close enough, is the tangent of a quarter of the angle: turned once, then doubled
        cosine, sine = turn(part * (0.785 + 0.215 * part * part))
        points.append((cosine * cosine - sine * sine, 2 * cosine * sine))
    return points
