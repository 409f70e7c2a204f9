"""Streets, parks and rooms: what lies behind the things, and where things can stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fiftyone_ssa.quickstart.scenes.canvas import TEXTURES, Canvas, Colour, Pen, dark, mix
from fiftyone_ssa.quickstart.scenes.dice import Dice
from fiftyone_ssa.quickstart.scenes.palette import COLOURS, CREAM, DARK_WOOD, GLASS, SNOW, WOOD
from fiftyone_ssa.quickstart.scenes.shapes import Point

SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((96, 156, 222), (206, 226, 240)),
    ((130, 170, 210), (228, 226, 214)),
    ((88, 104, 160), (246, 190, 150)),
    ((168, 180, 192), (214, 218, 220)),
)


@dataclass(frozen=True)
class Slot:
    """A strip where things can stand, as shares of the height; a thing at `low` is `far` times its nearest height."""

    name: str
    high: float
    low: float
    far: float
    near: float


@dataclass(frozen=True)
class Setting:
    """A painted background: its name, its strips, and the colour that distance fades to."""

    name: str
    slots: tuple[Slot, ...]
    haze: Colour
    places: Mapping[str, str]
    """How a caption says where a thing of each slot is."""


def surface(canvas: Canvas, name: str, y0: float, y1: float, top: Colour, bottom: Colour, texture: str) -> int:
    """Fill rows from y0 to y1 (shares of the height) with a gradient and a texture, as a new node; its id."""
    height, width = canvas.size_hw
    first, last = int(y0 * height), int(y1 * height)
    share = ((np.arange(first, last, dtype=np.float32) - first) / max(last - first, 1))[:, None, None]
    rgb = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    tone = np.ones((last - first, width), np.float32)
    offset_y, offset_x = canvas.dice.whole(0, 1023), canvas.dice.whole(0, 1023)
    for cell, strength in TEXTURES[texture]:
        tone += strength * canvas.noise(cell, offset_y, offset_x, last - first, width)
    canvas.pixels[first:last] = rgb * tone[..., None]
    node = canvas.node(name)
    canvas.leaves[first:last] = node
    return node


def ground_pen(canvas: Canvas, node: int) -> Pen:
    """A pen whose frame is the picture: v = 0 at the bottom, 1 at the top, u = 0 at the left."""
    return Pen(canvas, node, (0.0, float(canvas.size_hw[0])), float(canvas.size_hw[0]), (0, 0, 0))


def sky(canvas: Canvas, dice: Dice, down_to: float) -> Colour:
    """A sky with clouds; the colour at the horizon."""
    top, bottom = dice.pick(SKIES)
    surface(canvas, "sky", 0, down_to, top, bottom, "plain")
    rows = int(down_to * canvas.size_hw[0])
    clouds = canvas.noise(64, dice.whole(0, 1023), dice.whole(0, 1023), rows, canvas.size_hw[1])
    clouds = clouds + 0.5 * canvas.noise(16, dice.whole(0, 1023), 0, rows, canvas.size_hw[1])
    share = np.clip((clouds - dice.between(0.1, 0.5)) * 1.2, 0, 0.75)[..., None]
    canvas.pixels[:rows] += share * (np.array(SNOW, np.float32) - canvas.pixels[:rows])
    return bottom


def ridge(canvas: Canvas, dice: Dice, foot: float, colour: Colour) -> None:
    """Mountains on the horizon, `foot` down from the top."""
    wide = canvas.size_hw[1] / canvas.size_hw[0]
    base = 1 - foot
    points: list[Point] = [(-0.1, base - 0.02)]
    u = -0.1
    while u < wide + 0.1:
        points += [(u, base + dice.between(0.01, 0.06)), (u + 0.16, base + dice.between(0.07, 0.2))]
        u += dice.between(0.25, 0.45)
    points += [(wide + 0.2, base + 0.03), (wide + 0.2, base - 0.02)]
    ground_pen(canvas, canvas.node("mountain")).polygon(points, colour, texture="stone", flat=True)


def street(canvas: Canvas, dice: Dice) -> Setting:
    """A road between two pavements, seen from the side."""
    haze = sky(canvas, dice, 0.56)
    if dice.chance(0.4):
        ridge(canvas, dice, 0.52, mix((120, 136, 150), haze, 0.4))
    paving = mix((176, 172, 166), CREAM, dice.between(0, 0.4))
    surface(canvas, "sidewalk", 0.55, 0.64, dark(paving, 0.12), paving, "stone")
    asphalt = mix((92, 94, 100), (120, 116, 110), dice.unit())
    road = surface(canvas, "road", 0.64, 0.89, asphalt, dark(asphalt, 0.18), "rough")
    surface(canvas, "sidewalk", 0.89, 1, paving, dark(paving, 0.1), "stone")
    wide = canvas.size_hw[1] / canvas.size_hw[0]
    pen = ground_pen(canvas, road)
    u = dice.between(-0.2, 0.0)
    while u < wide:
        pen.polygon([(u, 0.23), (u + 0.02, 0.246), (u + 0.14, 0.246), (u + 0.12, 0.23)], CREAM, flat=True)
        u += 0.26
    slots = (
        Slot("lot", 0.555, 0.585, 0.85, 1.1),
        Slot("walk", 0.59, 0.64, 0.62, 0.7),
        Slot("road", 0.68, 0.87, 0.72, 1.0),
        Slot("walk", 0.92, 0.985, 0.95, 1.05),
        Slot("sky", 0.2, 0.42, 0.6, 0.95),
    )
    places = {"lot": "by the road", "walk": "on the sidewalk", "road": "on the road", "sky": "in the sky"}
    return Setting("street", slots, haze, places)


def park(canvas: Canvas, dice: Dice) -> Setting:
    """Meadows, with a lake, a path or a fence."""
    horizon = dice.between(0.4, 0.5)
    haze = sky(canvas, dice, horizon + 0.02)
    if dice.chance(0.6):
        ridge(canvas, dice, horizon, mix(dice.pick(((110, 132, 150), (116, 140, 104))), haze, 0.35))
    lake = dice.chance(0.45)
    shore = horizon + (dice.between(0.12, 0.18) if lake else 0.0)
    if lake:
        blue = mix((78, 128, 168), haze, 0.25)
        surface(canvas, "water", horizon, shore + 0.02, mix(blue, haze, 0.4), blue, "cloth")
    green = mix((104, 154, 70), (150, 168, 84), dice.unit())
    if dice.chance(0.12):
        green = (222, 228, 236)  # a winter's day
    surface(canvas, "grass", shore, 1, mix(green, haze, 0.25), dark(green, 0.15), "grass")
    wide = canvas.size_hw[1] / canvas.size_hw[0]
    if dice.chance(0.4):
        u, end = dice.between(0.1, 0.9) * wide, dice.between(0.0, 1.0) * wide
        points = [(u - 0.02, 1 - shore), (u + 0.02, 1 - shore), (end + 0.22, -0.02), (end - 0.18, -0.02)]
        ground_pen(canvas, canvas.node("path")).polygon(points, (196, 172, 132), texture="stone", flat=True)
    if dice.chance(0.3):
        fence(canvas, dice, 1 - shore - dice.between(0.0, 0.04), wide)
    slots = [
        Slot("lawn", shore + 0.03, 0.72, 0.55, 0.75),
        Slot("lawn", 0.74, 0.985, 0.75, 1.1),
        Slot("sky", 0.22, horizon - 0.05, 0.7, 1.1),
    ]
    if lake:
        slots.append(Slot("lake", horizon + 0.05, shore - 0.01, 0.6, 0.95))
    places = {"lawn": "on the grass", "sky": "in the sky", "lake": "on the water"}
    return Setting("park", tuple(slots), haze, places)


def fence(canvas: Canvas, dice: Dice, foot: float, wide: float) -> None:
    """A picket fence across the picture, its foot at v = `foot`."""
    colour = dice.pick((WOOD, CREAM, DARK_WOOD))
    pen = ground_pen(canvas, canvas.node("fence"))
    start, count = dice.between(-0.1, 0.4) * wide, dice.whole(7, 14)
    for v in (0.025, 0.06):
        pen.rect(start, foot + v, start + count * 0.05, foot + v + 0.014, dark(colour, 0.15), flat=True)
    for index in range(count):
        u = start + index * 0.05
        points = [(u, foot), (u, foot + 0.085), (u + 0.016, foot + 0.105), (u + 0.032, foot + 0.085), (u + 0.032, foot)]
        pen.polygon(points, colour, texture="grain")


def room(canvas: Canvas, dice: Dice) -> Setting:
    """A wall, a floor, perhaps a window and a rug."""
    seam = dice.between(0.56, 0.64)
    paint = mix(COLOURS[dice.pick(("yellow", "green", "blue", "pink", "white", "orange", "gray"))], CREAM, 0.68)
    wall = surface(canvas, "wall", 0, seam, dark(paint, 0.08), paint, "cloth")
    wide = canvas.size_hw[1] / canvas.size_hw[0]
    if dice.chance(0.35):
        stripe = int(canvas.size_hw[1] * dice.between(0.03, 0.06))
        dull = np.arange(canvas.size_hw[1]) // stripe % 2 == 0
        canvas.pixels[: int(seam * canvas.size_hw[0]), dull] *= np.float32(0.94)
    planks = dice.pick((WOOD, DARK_WOOD, (198, 168, 128), (176, 176, 172)))
    floor = surface(canvas, "floor", seam, 1, dark(planks, 0.15), planks, "grain")
    pen = ground_pen(canvas, floor)
    for index in range(-6, 13):
        u = wide / 2 + (index - 3) * 0.12
        pen.stroke((u, 1 - seam), (wide / 2 + (u - wide / 2) * 2.2, -0.05), 0.004, dark(planks, 0.35), flat=True)
    ground_pen(canvas, wall).rect(-0.1, 1 - seam, wide + 0.1, 1.02 - seam, CREAM, flat=True)
    if dice.chance(0.4):
        rug = ground_pen(canvas, canvas.node("rug"))
        colour, u, v = COLOURS[dice.pick(("red", "blue", "green", "purple", "orange"))], wide * dice.unit(), 0.16
        rug.ellipse(u, v, 0.42, 0.13, mix(colour, CREAM, 0.2), texture="cloth")
        rug.ellipse(u, v, 0.36, 0.1, mix(colour, CREAM, 0.55), texture="cloth", flat=True)
    if dice.chance(0.45):
        pane(canvas, dice, wide * dice.between(0.05, 0.7), seam)
    slots = (
        Slot("wall", 0.3, seam - 0.12, 0.9, 1.1),
        Slot("floor", seam + 0.05, 0.8, 0.85, 1.0),
        Slot("floor", 0.86, 0.985, 1.0, 1.2),
    )
    places = {"wall": "on the wall", "floor": "on the floor", "top": "on a table"}
    return Setting("room", slots, mix(paint, CREAM, 0.5), places)


def pane(canvas: Canvas, dice: Dice, u: float, seam: float) -> None:
    """A window in the wall."""
    tall, broad = 0.36, dice.between(0.26, 0.4)
    v = 1 - seam + 0.16
    frame = dice.pick((CREAM, WOOD))
    pen = ground_pen(canvas, canvas.node("window"))
    pen.rect(u, v, u + broad, v + tall, frame)
    for left in (u + 0.015, u + broad / 2 + 0.008):
        with pen.part("pane"):
            pen.rect(left, v + 0.02, left + broad / 2 - 0.023, v + tall - 0.02, mix(GLASS, SNOW, dice.unit() * 0.6))
    pen.rect(u - 0.02, v - 0.025, u + broad + 0.02, v + 0.006, dark(frame, 0.12))
