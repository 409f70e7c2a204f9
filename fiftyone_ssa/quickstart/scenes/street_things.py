"""How things of the street are drawn: foot at (0, 0), about 1 high."""

from __future__ import annotations

from fiftyone_ssa.quickstart.scenes.canvas import Colour, Pen, dark, mix
from fiftyone_ssa.quickstart.scenes.palette import (
    COLOURS,
    CREAM,
    DARK_GLASS,
    DARK_WOOD,
    GLASS,
    HAIRS,
    IRON,
    LIT,
    SKINS,
    STEEL,
    TYRE,
    WOOD,
)
from fiftyone_ssa.quickstart.scenes.shapes import circle_points


def wheel(pen: Pen, u: float, radius: float) -> None:
    """A wheel with its hub, standing on the ground."""
    with pen.part("wheel"):
        pen.ellipse(u, radius, radius, radius, TYRE)
        with pen.part("hub"):
            pen.ellipse(u, radius, radius * 0.52, radius * 0.52, STEEL)


def window(pen: Pen, u0: float, v0: float, u1: float, v1: float, frame: Colour, lit: bool = False) -> None:
    """A window of panes in a frame."""
    edge = min(u1 - u0, v1 - v0) * 0.12
    with pen.part("window"):
        pen.rect(u0, v0, u1, v1, frame)
        with pen.part("pane"):
            pen.rect(u0 + edge, v0 + edge, u1 - edge, v1 - edge, LIT if lit else mix(GLASS, DARK_GLASS, 0.35))
        middle = (u0 + u1) / 2
        pen.rect(middle - edge / 2, v0, middle + edge / 2, v1, frame, flat=True)


def car(pen: Pen) -> None:
    """A saloon or a hatchback, seen from the side, 2.2 long."""
    pen.shadow(1.15)
    body = pen.colour
    rear = pen.dice.pick((-0.62, -0.85))
    cabin = [(rear, 0.62), (rear + 0.24, 0.98), (0.26, 0.98), (0.62, 0.6)]
    pen.polygon(cabin, dark(body, 0.12))
    pen.rect(-1.06, 0.2, 1.08, 0.66, body, round=0.12)
    pen.rect(-1.04, 0.2, 1.06, 0.3, dark(body, 0.35), flat=True)
    with pen.part("window"):
        pen.polygon([(rear + 0.12, 0.64), (rear + 0.28, 0.92), (-0.1, 0.92), (-0.1, 0.64)], DARK_GLASS)
    with pen.part("window"):
        pen.polygon([(-0.02, 0.64), (-0.02, 0.92), (0.22, 0.92), (0.48, 0.64)], DARK_GLASS)
    pen.rect(-0.07, 0.3, -0.05, 0.64, dark(body, 0.4), flat=True)
    with pen.part("headlight"):
        pen.ellipse(1.0, 0.48, 0.08, 0.07, LIT)
    for u in (-0.62, 0.64):
        wheel(pen, u, 0.22)


def bus(pen: Pen) -> None:
    """A bus, 2.4 long."""
    pen.shadow(1.25)
    pen.rect(-1.2, 0.12, 1.2, 1.0, pen.colour, round=0.08)
    pen.rect(-1.2, 0.34, 1.2, 0.42, mix(pen.colour, CREAM, 0.75), flat=True, inside=True)
    for left in (-1.1, -0.72, -0.34, 0.04, 0.42):
        with pen.part("window"):
            pen.rect(left, 0.52, left + 0.32, 0.88, DARK_GLASS, round=0.03)
    with pen.part("door"):
        pen.rect(0.82, 0.16, 1.08, 0.88, mix(GLASS, DARK_GLASS, 0.5))
        pen.rect(0.94, 0.16, 0.96, 0.88, IRON, flat=True)
    for u in (-0.74, 0.56):
        wheel(pen, u, 0.16)


def truck(pen: Pen) -> None:
    """A lorry with a box, 2 long."""
    pen.shadow(1.1)
    pen.rect(-1.0, 0.16, 0.98, 0.26, IRON)
    with pen.part("container"):
        pen.rect(-1.0, 0.26, 0.36, 1.0, mix(pen.colour, CREAM, 0.7), texture="grain")
        for u in (-0.76, -0.52, -0.28, -0.04, 0.2):
            pen.rect(u, 0.28, u + 0.02, 0.98, dark(CREAM, 0.3), flat=True)
    with pen.part("cab"):
        pen.polygon([(0.42, 0.2), (0.42, 0.82), (0.78, 0.82), (1.0, 0.52), (1.0, 0.2)], pen.colour)
        with pen.part("window"):
            pen.polygon([(0.56, 0.52), (0.56, 0.76), (0.76, 0.76), (0.92, 0.52)], DARK_GLASS)
    for u in (-0.7, -0.3, 0.7):
        wheel(pen, u, 0.16)


def bicycle(pen: Pen) -> None:
    """A bicycle, 1.6 long."""
    pen.shadow(0.8, 0.25)
    for u in (-0.5, 0.5):
        with pen.part("wheel"):
            points = [(u + 0.31 * x, 0.33 + 0.31 * y) for x, y in circle_points(16)]
            for start, end in zip(points, points[1:] + points[:1], strict=True):
                pen.stroke(start, end, 0.07, TYRE, flat=True)
            for x, y in circle_points(3):
                pen.stroke((u - 0.29 * x, 0.33 - 0.29 * y), (u + 0.29 * x, 0.33 + 0.29 * y), 0.014, STEEL, flat=True)
    for start, end in (
        ((-0.5, 0.33), (-0.06, 0.3)),
        ((-0.06, 0.3), (0.34, 0.78)),
        ((-0.22, 0.78), (0.34, 0.78)),
        ((-0.06, 0.3), (-0.24, 0.84)),
        ((-0.5, 0.33), (-0.22, 0.76)),
        ((0.5, 0.33), (0.32, 0.92)),
    ):
        pen.stroke(start, end, 0.075, pen.colour)
    with pen.part("saddle"):
        pen.stroke((-0.36, 0.88), (-0.14, 0.88), 0.1, TYRE)
    with pen.part("handlebar"):
        pen.stroke((0.2, 0.98), (0.36, 0.93), 0.07, IRON)


def person(pen: Pen) -> None:
    """Someone standing or walking."""
    pen.shadow(0.2)
    skin, hair = pen.dice.pick(SKINS), pen.dice.pick(HAIRS)
    step, wave = pen.dice.between(0.03, 0.11), pen.dice.between(-0.1, 0.16)
    legs = COLOURS[pen.dice.pick(("blue", "black", "brown", "gray"))]
    for side in (-1, 1):
        with pen.part("shoe"):
            pen.ellipse(side * step + 0.025, 0.025, 0.055, 0.028, TYRE)
    with pen.part("trousers"):
        for side in (-1, 1):
            pen.stroke((side * 0.045, 0.46), (side * step, 0.075), 0.085, legs, texture="cloth")
        pen.rect(-0.09, 0.4, 0.09, 0.5, legs, texture="cloth", flat=True)
    with pen.part("shirt"):
        pen.rect(-0.11, 0.46, 0.11, 0.81, pen.colour, round=0.05, texture="cloth")
        for side, swing in ((-1, wave), (1, 0.03)):
            pen.stroke((side * 0.1, 0.76), (side * 0.15, 0.6), 0.075, dark(pen.colour, 0.12), texture="cloth")
            with pen.part("hand"):
                pen.stroke((side * 0.155, 0.58), (side * (0.15 + abs(swing) * 0.6), 0.47 + swing), 0.05, skin)
    with pen.part("head"):
        pen.rect(-0.03, 0.78, 0.03, 0.86, dark(skin, 0.12))
        pen.ellipse(0.0, 0.9, 0.068, 0.088, skin)
        with pen.part("hair"):
            pen.ellipse(-0.012, 0.95, 0.075, 0.056, hair, texture="rough")


def traffic_light(pen: Pen) -> None:
    """Three lamps on a pole."""
    pen.shadow(0.12)
    with pen.part("pole"):
        pen.rect(-0.025, 0.0, 0.025, 0.62, IRON)
    pen.rect(-0.11, 0.58, 0.11, 1.0, TYRE, round=0.03)
    lit = pen.dice.whole(0, 2)
    for index, name in enumerate(("red", "yellow", "green")):
        colour = COLOURS[name]
        with pen.part("lamp"):
            pen.ellipse(0.0, 0.925 - 0.135 * index, 0.058, 0.058, colour if index == lit else dark(colour, 0.62))


def stop_sign(pen: Pen) -> None:
    """A red octagon with a white band."""
    pen.shadow(0.12)
    with pen.part("pole"):
        pen.rect(-0.02, 0.0, 0.02, 0.6, STEEL)
    ring = circle_points(8, 0.5)
    pen.polygon([(0.24 * u, 0.76 + 0.24 * v) for u, v in ring], CREAM)
    pen.polygon([(0.215 * u, 0.76 + 0.215 * v) for u, v in ring], COLOURS["red"])
    for u in (-0.12, -0.04, 0.04, 0.12):
        pen.rect(u - 0.026, 0.71, u + 0.026, 0.81, CREAM, flat=True)
        pen.rect(u - 0.008, 0.735, u + 0.012, 0.785, COLOURS["red"], flat=True)


def fire_hydrant(pen: Pen) -> None:
    """A hydrant with its caps."""
    pen.shadow(0.34)
    body = pen.colour
    pen.rect(-0.3, 0.0, 0.3, 0.1, dark(body, 0.25), round=0.03)
    pen.rect(-0.21, 0.06, 0.21, 0.72, body, round=0.05)
    pen.rect(-0.26, 0.62, 0.26, 0.71, dark(body, 0.15), round=0.02)
    with pen.part("lid"):
        pen.ellipse(0.0, 0.74, 0.2, 0.19, body)
        pen.rect(-0.05, 0.9, 0.05, 1.0, STEEL, round=0.02)
    for u in (-0.29, 0.29):
        with pen.part("cap"):
            pen.rect(u - 0.09, 0.36, u + 0.09, 0.54, STEEL, round=0.03)
    with pen.part("cap"):
        pen.ellipse(0.0, 0.42, 0.11, 0.11, STEEL)


def streetlight(pen: Pen) -> None:
    """A lamp on an arm."""
    pen.shadow(0.1)
    pen.rect(-0.035, 0.0, 0.035, 0.1, IRON)
    pen.stroke((0.0, 0.04), (0.0, 0.95), 0.034, IRON)
    pen.stroke((0.0, 0.95), (0.2, 0.98), 0.028, IRON)
    with pen.part("lamp"):
        pen.polygon([(0.12, 0.93), (0.16, 1.0), (0.29, 1.0), (0.33, 0.93)], LIT)


def building(pen: Pen) -> None:
    """A block of flats."""
    wide, floors = pen.dice.pick((0.3, 0.4, 0.5)), pen.dice.whole(4, 6)
    wall = mix(pen.colour, CREAM, 0.45)
    pen.rect(-wide, 0.0, wide, 0.96, wall, texture="stone")
    with pen.part("roof"):
        pen.rect(-wide - 0.03, 0.93, wide + 0.03, 1.0, dark(wall, 0.4))
    columns = max(round(wide * 9), 2)
    tall, broad = 0.76 / floors, 2 * wide / columns
    for floor in range(floors):
        for column in range(columns):
            u, v = -wide + broad * (column + 0.24), 0.17 + tall * floor
            window(pen, u, v, u + broad * 0.52, v + tall * 0.62, dark(wall, 0.2), pen.dice.chance(0.2))
    with pen.part("door"):
        pen.rect(-0.07, 0.0, 0.07, 0.14, DARK_WOOD, texture="grain")


def house(pen: Pen) -> None:
    """A small house with a pitched roof."""
    pen.shadow(0.72, 0.3)
    wall, tiles = mix(pen.colour, CREAM, 0.55), pen.dice.pick(((168, 76, 56), (96, 84, 92), (126, 80, 58)))
    with pen.part("chimney"):
        pen.rect(0.26, 0.66, 0.38, 1.0, (150, 84, 66), texture="stone")
    pen.rect(-0.58, 0.0, 0.58, 0.58, wall, texture="stone")
    with pen.part("roof"):
        pen.polygon([(-0.7, 0.55), (-0.34, 0.93), (0.34, 0.93), (0.7, 0.55)], tiles, texture="rough")
        for v in (0.65, 0.74, 0.83):
            pen.rect(-0.66, v, 0.66, v + 0.012, dark(tiles, 0.3), flat=True, inside=True)
    with pen.part("door"):
        pen.rect(-0.1, 0.0, 0.12, 0.4, DARK_WOOD, texture="grain")
        with pen.part("knob"):
            pen.ellipse(0.08, 0.19, 0.018, 0.018, LIT)
    for u in (-0.46, 0.24):
        window(pen, u, 0.2, u + 0.22, 0.43, CREAM, pen.dice.chance(0.3))


def bench(pen: Pen) -> None:
    """A wooden bench on iron legs, 1.7 long."""
    pen.shadow(0.9)
    for u in (-0.7, 0.7):
        with pen.part("leg"):
            pen.stroke((u, 0.03), (u, 0.9), 0.07, IRON)
            pen.stroke((u, 0.45), (u + 0.1, 0.03), 0.06, IRON)
    with pen.part("back"):
        for v in (0.66, 0.84):
            pen.rect(-0.85, v, 0.85, v + 0.13, pen.colour, texture="grain")
    with pen.part("seat"):
        pen.rect(-0.88, 0.4, 0.88, 0.53, mix(pen.colour, WOOD, 0.5), texture="grain")
