"""Draws the scene of a seed: a setting, things in it, light and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.quickstart.scenes import settings
from fiftyone_ssa.quickstart.scenes.canvas import Canvas, Pen
from fiftyone_ssa.quickstart.scenes.dice import Dice
from fiftyone_ssa.quickstart.scenes.kinds import KINDS, Kind
from fiftyone_ssa.quickstart.scenes.palette import COLOURS
from fiftyone_ssa.quickstart.scenes.scene import Node, Scene
from fiftyone_ssa.types import Image


def draw_scene(seed: int, size_hw: tuple[int, int] = (256, 256), setting: str | None = None) -> Scene:
    """The scene of a seed: the same pixels and truth on every machine.

    `size_hw` (height, width) from 64 to 1024 pixels; `setting` is "street", "park" or "room", or None for one of them.
    """
    if not all(64 <= side <= 1024 for side in size_hw):
        raise InputError(f"a scene's sides must be 64 to 1024 pixels, got {size_hw} (height, width)")
    painters = {"street": settings.street, "park": settings.park, "room": settings.room}
    if setting is not None and setting not in painters:
        raise InputError(f"setting must be one of {', '.join(painters)}, got {setting!r}")
    dice = Dice(seed)
    chosen = dice.pick(list(painters))
    canvas = Canvas(*size_hw, dice)
    background = painters[setting or chosen](canvas, dice)
    placed = _furnish(canvas, dice, background)
    _light(canvas, dice)
    return Scene(seed, background.name, _develop(canvas, dice), canvas.leaves, _nodes(canvas, background, placed))


@dataclass(frozen=True)
class _Place:
    kind: Kind
    slot: str
    x: float
    y: float
    height_px: float
    far: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        half = self.kind.half_width * self.height_px
        return self.x - half, self.y - self.height_px, self.x + half, self.y

    def hidden_by(self, other: _Place) -> float:
        """Share of this one's box under the other's."""
        (a0, b0, a1, b1), (c0, d0, c1, d1) = self.box, other.box
        width, height = min(a1, c1) - max(a0, c0), min(b1, d1) - max(b0, d0)
        return max(width, 0.0) * max(height, 0.0) / ((a1 - a0) * (b1 - b0))


@dataclass(frozen=True)
class _Placed:
    place: _Place
    colour: str
    node: int
    drawn_px: int


def _furnish(canvas: Canvas, dice: Dice, background: settings.Setting) -> list[_Placed]:
    """Choose things and places that do not hide each other too much, and draw them from far to near."""
    side = min(canvas.size_hw)
    places: list[_Place] = []
    if background.name == "room" and dice.chance(0.6):
        places += _table(canvas, dice, side)
    here = {slot.name for slot in background.slots}
    kinds = [kind for kind in KINDS.values() if here & set(kind.slots)]
    wanted = [dice.pick(kinds) for _ in range(dice.whole(6, 12))]
    # the large find room first
    for kind in sorted(wanted, key=lambda kind: -kind.half_width * kind.height * kind.height):
        slot = dice.pick([slot for slot in background.slots if slot.name in kind.slots])
        for _ in range(6):
            depth = dice.unit()
            height = kind.height * side * (slot.far + (slot.near - slot.far) * depth) * dice.between(0.7, 1.1)
            x = canvas.size_hw[1] * dice.between(0.04, 0.96)
            y = canvas.size_hw[0] * (slot.high + (slot.low - slot.high) * depth)
            if slot.name in ("sky", "wall"):
                y = max(y, height * 1.05)
            place = _Place(kind, slot.name, x, y, height, (1 - depth) * (slot.name in ("lot", "lawn", "sky")))
            if all(max(place.hidden_by(p), p.hidden_by(place)) < 0.3 for p in places):
                places.append(place)
                break
    # what flies or hangs is behind what stands; a table's things are just before it
    order = sorted(places, key=lambda p: (p.slot not in ("sky", "wall"), p.y + (0.5 * side if p.slot == "top" else 0)))
    return [_draw(canvas, dice, background, place) for place in order]


def _table(canvas: Canvas, dice: Dice, side: int) -> list[_Place]:
    """A table and what stands on it."""
    kind = KINDS["table"]
    height = kind.height * side * dice.between(0.9, 1.15)
    x, y = canvas.size_hw[1] * dice.between(0.25, 0.75), canvas.size_hw[0] * dice.between(0.84, 0.96)
    places = [_Place(kind, "floor", x, y, height, 0.0)]
    for offset in dice.shuffled((-0.8, -0.28, 0.28, 0.8))[: dice.whole(1, 4)]:
        small = dice.pick([kind for kind in KINDS.values() if "top" in kind.slots])
        tall = small.height * side * dice.between(0.8, 1.0)
        tall = min(tall, 0.34 * height / small.half_width)
        top = y - height * dice.between(0.86, 0.96)
        places.append(_Place(small, "top", x + offset * height, top, tall, 0.0))
    return places


def _draw(canvas: Canvas, dice: Dice, background: settings.Setting, place: _Place) -> _Placed:
    kind, colour = place.kind, dice.pick(place.kind.colours)
    shade = dice.between(-22, 22)
    red, green, blue = (min(max(value + shade, 0), 255) for value in COLOURS[colour])
    pen = Pen(canvas, canvas.node(kind.name), (place.x, place.y), place.height_px, (red, green, blue))
    tilt = dice.between(-0.16, 0.16) if place.slot == "sky" else dice.between(-0.015, 0.015)
    grounded = place.slot not in ("sky", "wall", "lake")
    flip = dice.chance(0.5)
    pen.pose(flip=flip, tilt=tilt, grounded=grounded, haze=background.haze, haze_share=0.25 * place.far)
    kind.draw(pen)
    drawn = int(np.count_nonzero(canvas.leaves >= pen.root))
    return _Placed(place, colour, pen.root, drawn)


def _light(canvas: Canvas, dice: Dice) -> None:
    """The colour of the day, a soft cast shadow across the picture, darker corners."""
    height, width = canvas.size_hw
    warm = dice.between(-0.07, 0.09)
    level = dice.between(0.84, 1.06)
    y = (np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)) / height
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / width
    field = 1 - dice.between(0.05, 0.3) * ((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5))
    if dice.chance(0.4):
        lean, start, broad = dice.between(-0.8, 0.8), dice.between(-0.2, 1.0), dice.between(0.15, 0.4)
        along = x + lean * y - start
        band = np.clip(along * 25, 0, 1) * np.clip((broad - along) * 25, 0, 1)
        field = field * (1 - dice.between(0.12, 0.34) * band)
    canvas.pixels *= (np.float32(level) * field.astype(np.float32))[..., None]
    canvas.pixels *= np.array((1 + warm, 1 + 0.2 * warm, 1 - warm), np.float32)


def _develop(canvas: Canvas, dice: Dice) -> Image:
    """Pixels with a sensor's noise, as uint8."""
    height, width = canvas.size_hw
    count = height * width * 3
    noise = (dice.octets(count).astype(np.float32) - dice.octets(count)) * np.float32(dice.between(0.008, 0.04))
    found: Image = np.clip(np.rint(canvas.pixels + noise.reshape(height, width, 3)), 0, 255).astype(np.uint8)
    return found


def _nodes(canvas: Canvas, background: settings.Setting, placed: list[_Placed]) -> tuple[Node, ...]:
    things = {thing.node: thing for thing in placed}
    roots = sorted(things)
    seen = np.bincount(canvas.leaves.ravel(), minlength=len(canvas.marks))
    nodes: list[Node] = []
    for index, mark in enumerate(canvas.marks):
        level = nodes[mark.parent].level + 1 if mark.parent >= 0 else 0
        if index not in things:
            nodes.append(Node(index, mark.name, mark.parent, level))
            continue
        thing = things[index]
        after = next((root for root in roots if root > index), len(canvas.marks))
        visible = int(seen[index:after].sum()) / max(thing.drawn_px, 1)
        where = background.places[thing.place.slot]
        nodes.append(Node(index, mark.name, -1, 0, thing.place.kind, thing.colour, where, visible))
    return tuple(nodes)
