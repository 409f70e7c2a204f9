"""How things of a room are drawn: foot at (0, 0), about 1 high."""

from __future__ import annotations

import itertools

from fiftyone_ssa.quickstart.scenes.canvas import Pen, dark, mix
from fiftyone_ssa.quickstart.scenes.palette import COLOURS, CREAM, DARK_WOOD, IRON, LEAF, LIT, STEEL, TYRE, WOOD
from fiftyone_ssa.quickstart.scenes.shapes import circle_points, turn


def chair(pen: Pen) -> None:
    """A chair with four legs."""
    pen.shadow(0.32)
    for u in (-0.2, 0.22):
        with pen.part("leg"):
            pen.stroke((u, 0.44), (u * 1.15, 0.05), 0.045, dark(WOOD, 0.35))
    for u in (-0.27, 0.27):
        with pen.part("leg"):
            pen.stroke((u, 0.44), (u, 0.02), 0.055, WOOD)
    with pen.part("back"):
        pen.rect(-0.27, 0.5, 0.27, 1.0, pen.colour, round=0.06, texture="cloth")
        for u in (-0.12, 0.06):
            pen.rect(u, 0.58, u + 0.05, 0.92, dark(pen.colour, 0.45), flat=True)
    with pen.part("seat"):
        pen.rect(-0.33, 0.41, 0.33, 0.53, mix(pen.colour, CREAM, 0.15), round=0.04, texture="cloth")


def table(pen: Pen) -> None:
    """A table, 2.4 wide, its top at 1."""
    pen.shadow(1.2, 0.3)
    for u in (-0.86, 0.86):
        with pen.part("leg"):
            pen.rect(u - 0.05, 0.1, u + 0.05, 0.86, dark(pen.colour, 0.45), texture="grain")
    for u in (-1.06, 1.06):
        with pen.part("leg"):
            pen.rect(u - 0.06, 0.0, u + 0.06, 0.86, dark(pen.colour, 0.2), texture="grain")
    with pen.part("top"):
        pen.polygon([(-1.2, 0.82), (-1.06, 1.02), (1.06, 1.02), (1.2, 0.82)], pen.colour, texture="grain")
        pen.rect(-1.2, 0.76, 1.2, 0.84, dark(pen.colour, 0.25))


def sofa(pen: Pen) -> None:
    """A sofa with two cushions, 2 wide."""
    pen.shadow(1.05)
    for u in (-0.8, 0.8):
        with pen.part("leg"):
            pen.rect(u - 0.05, 0.0, u + 0.05, 0.12, DARK_WOOD)
    with pen.part("back"):
        pen.rect(-0.92, 0.3, 0.92, 1.0, pen.colour, round=0.14, texture="cloth")
    pen.rect(-0.92, 0.09, 0.92, 0.42, dark(pen.colour, 0.15), texture="cloth")
    accent = COLOURS[pen.dice.pick(("yellow", "orange", "white", "pink", "green"))]
    for u in (-0.4, 0.4):
        with pen.part("seat"):
            pen.rect(u - 0.38, 0.34, u + 0.38, 0.52, mix(pen.colour, CREAM, 0.18), round=0.06, texture="cloth")
        with pen.part("cushion"):
            pen.rect(u - 0.2, 0.5, u + 0.18, 0.84, accent, round=0.07, texture="cloth")
    for u in (-0.96, 0.96):
        with pen.part("armrest"):
            pen.rect(u - 0.12, 0.09, u + 0.12, 0.62, pen.colour, round=0.09, texture="cloth")


def lamp(pen: Pen) -> None:
    """A standing lamp."""
    pen.shadow(0.16)
    with pen.part("base"):
        pen.ellipse(0.0, 0.025, 0.13, 0.03, IRON)
    pen.rect(-0.016, 0.03, 0.016, 0.74, IRON)
    with pen.part("shade"):
        pen.polygon([(-0.2, 0.7), (-0.11, 1.0), (0.11, 1.0), (0.2, 0.7)], mix(pen.colour, LIT, 0.5), texture="cloth")


def bottle(pen: Pen) -> None:
    """A labelled bottle."""
    pen.shadow(0.2)
    pen.rect(-0.15, 0.0, 0.15, 0.64, pen.colour, round=0.05)
    pen.polygon([(-0.14, 0.6), (-0.055, 0.76), (0.055, 0.76), (0.14, 0.6)], pen.colour, flat=True)
    pen.rect(-0.055, 0.72, 0.055, 0.94, pen.colour)
    with pen.part("cap"):
        pen.rect(-0.065, 0.91, 0.065, 1.0, DARK_WOOD, round=0.015)
    with pen.part("label"):
        pen.rect(-0.15, 0.18, 0.15, 0.46, CREAM, texture="cloth")
        pen.rect(-0.1, 0.29, 0.1, 0.34, dark(pen.colour, 0.2), flat=True)
    pen.rect(-0.11, 0.08, -0.08, 0.58, mix(pen.colour, CREAM, 0.6), flat=True, inside=True)


def cup(pen: Pen) -> None:
    """A cup with a handle."""
    pen.shadow(0.5)
    with pen.part("handle"):
        ring = [(0.38 + 0.26 * u, 0.5 + 0.27 * v) for u, v in circle_points(12)]
        for start, end in zip(ring, ring[1:] + ring[:1], strict=True):
            pen.stroke(start, end, 0.11, dark(pen.colour, 0.15), flat=True)
    pen.polygon([(-0.44, 0.94), (-0.36, 0.1), (-0.24, 0.0), (0.24, 0.0), (0.36, 0.1), (0.44, 0.94)], pen.colour)
    pen.ellipse(0.0, 0.92, 0.44, 0.09, mix(pen.colour, CREAM, 0.4))
    pen.ellipse(0.0, 0.91, 0.36, 0.055, (92, 58, 40), flat=True)


def vase(pen: Pen) -> None:
    """A vase of flowers."""
    pen.shadow(0.26)
    heads = [(-0.2, 0.78), (0.0, 0.9), (0.2, 0.76), (-0.06, 0.7)]
    with pen.part("flowers"):
        for u, v in heads:
            pen.stroke((0.0, 0.4), (u, v), 0.025, LEAF, flat=True)
        petal = COLOURS[pen.dice.pick(("red", "pink", "yellow", "purple", "orange"))]
        for u, v in heads:
            pen.ellipse(u, v, 0.105, 0.1, petal, texture="leaf")
            pen.ellipse(u, v, 0.035, 0.035, LIT, flat=True)
    pen.polygon(
        [(-0.1, 0.0), (-0.2, 0.2), (-0.15, 0.36), (-0.11, 0.5), (0.11, 0.5), (0.15, 0.36), (0.2, 0.2), (0.1, 0.0)],
        pen.colour,
    )
    pen.rect(-0.22, 0.18, 0.22, 0.24, mix(pen.colour, CREAM, 0.6), flat=True, inside=True)


def clock(pen: Pen) -> None:
    """A round wall clock."""
    pen.ellipse(0.0, 0.5, 0.5, 0.5, pen.colour)
    with pen.part("face"):
        pen.ellipse(0.0, 0.5, 0.41, 0.41, CREAM)
        for u, v in circle_points(12):
            pen.ellipse(0.34 * u, 0.5 + 0.34 * v, 0.028, 0.028, TYRE, flat=True)
        for length, width in ((0.22, 0.06), (0.32, 0.04)):
            u, v = circle_points(12)[pen.dice.whole(0, 11)]
            with pen.part("hand"):
                pen.stroke((0.0, 0.5), (length * u, 0.5 + length * v), width, TYRE, flat=True)


def tv(pen: Pen) -> None:
    """A flat screen on its foot, 1.7 wide."""
    with pen.part("stand"):
        pen.rect(-0.3, 0.0, 0.3, 0.05, IRON, round=0.02)
        pen.rect(-0.08, 0.03, 0.08, 0.16, IRON)
    pen.rect(-0.85, 0.12, 0.85, 1.0, TYRE, round=0.03)
    with pen.part("screen"):
        scene = COLOURS[pen.dice.pick(("blue", "green", "purple", "black"))]
        pen.rect(-0.79, 0.19, 0.79, 0.94, scene)
        pen.polygon([(-0.6, 0.94), (-0.3, 0.94), (-0.62, 0.19), (-0.79, 0.19), (-0.79, 0.5)], mix(scene, CREAM, 0.2))


def painting(pen: Pen) -> None:
    """A framed landscape, 1.3 wide."""
    pen.rect(-0.65, 0.0, 0.65, 1.0, pen.colour, texture="grain")
    with pen.part("canvas"):
        pen.rect(-0.54, 0.11, 0.54, 0.89, mix((150, 190, 226), LIT, pen.dice.unit() * 0.8), texture="cloth")
        pen.ellipse(pen.dice.between(-0.35, 0.35), 0.7, 0.1, 0.1, LIT, flat=True)
        ridge = [(-0.54, 0.11), (-0.54, 0.4), (-0.2, 0.62), (0.05, 0.36), (0.3, 0.54), (0.54, 0.34), (0.54, 0.11)]
        pen.polygon(ridge, mix(LEAF, COLOURS["blue"], pen.dice.unit()), texture="rough", flat=True)
        pen.rect(-0.54, 0.11, 0.54, 0.24, mix(LEAF, LIT, 0.3), flat=True)


def potted_plant(pen: Pen) -> None:
    """A leafy plant in a pot."""
    pen.shadow(0.3)
    with pen.part("leaves"):
        for index in pen.dice.shuffled(range(7)):
            u = (index - 3) / 3
            tip = (0.42 * u, 0.98 - 0.34 * u * u)
            pen.stroke((0.05 * u, 0.3), (tip[0] * 0.8, tip[1] * 0.9), 0.1, mix(LEAF, LIT, 0.04 * index))
            pen.ellipse(tip[0] * 0.85, tip[1] * 0.9, 0.1, 0.1, mix(LEAF, LIT, 0.05 * index), texture="rough")
    with pen.part("pot"):
        pen.polygon([(-0.21, 0.36), (-0.15, 0.0), (0.15, 0.0), (0.21, 0.36)], pen.colour, texture="cloth")
        pen.rect(-0.24, 0.31, 0.24, 0.4, dark(pen.colour, 0.12))


def ball(pen: Pen) -> None:
    """A ball with two bands."""
    pen.shadow(0.5)
    pen.ellipse(0.0, 0.5, 0.5, 0.5, pen.colour)
    for u in (-0.34, 0.34):
        pen.ellipse(u, 0.52, 0.1, 0.36, CREAM, flat=True, inside=True)
    pen.ellipse(-0.16, 0.74, 0.09, 0.07, mix(pen.colour, (255, 255, 255), 0.7), flat=True)


def robot(pen: Pen) -> None:
    """A toy robot."""
    pen.shadow(0.3)
    metal = mix(pen.colour, STEEL, 0.45)
    for side in (-1, 1):
        with pen.part("leg"):
            pen.rect(side * 0.12 - 0.06, 0.04, side * 0.12 + 0.06, 0.3, dark(metal, 0.25))
            pen.rect(side * 0.13 - 0.09, 0.0, side * 0.13 + 0.09, 0.08, IRON, round=0.02)
        with pen.part("arm"):
            pen.rect(side * 0.3 - 0.05, 0.32, side * 0.3 + 0.05, 0.62, dark(metal, 0.2), round=0.03)
            pen.ellipse(side * 0.3, 0.3, 0.07, 0.06, IRON)
    pen.rect(-0.24, 0.27, 0.24, 0.66, metal, round=0.03)
    with pen.part("panel"):
        pen.rect(-0.15, 0.38, 0.15, 0.58, CREAM)
        for u, name in ((-0.08, "red"), (0.0, "yellow"), (0.08, "blue")):
            pen.ellipse(u, 0.48, 0.032, 0.032, COLOURS[name], flat=True)
    pen.stroke((0.0, 0.9), (0.0, 0.96), 0.02, IRON)
    pen.ellipse(0.0, 0.97, 0.032, 0.032, COLOURS["red"])
    with pen.part("head"):
        pen.rect(-0.19, 0.68, 0.19, 0.91, metal, round=0.04)
        for u in (-0.08, 0.08):
            with pen.part("eye"):
                pen.ellipse(u, 0.81, 0.05, 0.05, LIT)
        pen.rect(-0.09, 0.71, 0.09, 0.74, IRON, flat=True)


def candle(pen: Pen) -> None:
    """A burning candle on a saucer."""
    pen.shadow(0.3)
    with pen.part("holder"):
        pen.ellipse(0.0, 0.06, 0.27, 0.06, STEEL)
        pen.rect(-0.15, 0.05, 0.15, 0.14, dark(STEEL, 0.2), round=0.03)
    pen.rect(-0.1, 0.12, 0.1, 0.74, mix(pen.colour, CREAM, 0.4), round=0.03)
    pen.stroke((0.0, 0.74), (0.0, 0.79), 0.02, TYRE, flat=True)
    with pen.part("flame"):
        pen.polygon([(0.0, 1.0), (-0.06, 0.85), (-0.03, 0.78), (0.03, 0.78), (0.06, 0.85)], COLOURS["orange"])
        pen.ellipse(0.0, 0.83, 0.026, 0.045, LIT, flat=True)


def guitar(pen: Pen) -> None:
    """A guitar leaning upright."""
    pen.shadow(0.26)
    with pen.part("neck"):
        pen.rect(-0.035, 0.4, 0.035, 0.9, DARK_WOOD)
        for v in (0.58, 0.66, 0.74, 0.82):
            pen.rect(-0.035, v, 0.035, v + 0.008, STEEL, flat=True)
        with pen.part("headstock"):
            pen.polygon([(-0.045, 0.88), (-0.07, 1.0), (0.07, 1.0), (0.045, 0.88)], dark(DARK_WOOD, 0.3))
    with pen.part("body"):
        pen.ellipse(0.0, 0.19, 0.215, 0.19, pen.colour, texture="grain")
        pen.ellipse(0.0, 0.42, 0.16, 0.14, pen.colour, texture="grain")
        pen.rect(-0.12, 0.25, 0.12, 0.38, pen.colour, flat=True, texture="grain")
        with pen.part("sound hole"):
            pen.ellipse(0.0, 0.34, 0.068, 0.068, (42, 28, 22))
        pen.rect(-0.09, 0.12, 0.09, 0.15, DARK_WOOD, flat=True)
    for u in (-0.018, 0.0, 0.018):
        pen.rect(u - 0.003, 0.14, u + 0.003, 0.88, CREAM, flat=True, inside=True)


def drum(pen: Pen) -> None:
    """A drum with zigzag cords, 1.3 wide."""
    pen.shadow(0.66)
    pen.rect(-0.6, 0.1, 0.6, 0.84, pen.colour)
    pen.ellipse(0.0, 0.12, 0.6, 0.12, pen.colour, flat=True)
    corners = [(-0.6 + 0.2 * i, 0.72 if i % 2 else 0.12) for i in range(7)]
    for start, end in itertools.pairwise(corners):
        pen.stroke(start, end, 0.04, CREAM, flat=True, inside=True)
    pen.rect(-0.63, 0.72, 0.63, 0.86, dark(pen.colour, 0.4), round=0.04)
    with pen.part("skin"):
        pen.ellipse(0.0, 0.86, 0.62, 0.13, CREAM, texture="cloth")
    for side in (-1, 1):
        with pen.part("stick"):
            pen.stroke((side * 0.08, 0.84), (side * 0.5, 1.04), 0.05, WOOD)


def globe(pen: Pen) -> None:
    """A globe on its stand."""
    pen.shadow(0.3)
    with pen.part("stand"):
        pen.ellipse(0.0, 0.05, 0.26, 0.055, DARK_WOOD)
        pen.rect(-0.035, 0.05, 0.035, 0.22, DARK_WOOD)
    ring = [(0.42 * u, 0.57 + 0.42 * v) for u, v in circle_points(20)][3:15]
    for start, end in itertools.pairwise(ring):
        pen.stroke(start, end, 0.04, (196, 160, 80), flat=True)
    with pen.part("sphere"):
        pen.ellipse(0.0, 0.57, 0.36, 0.36, COLOURS["blue"])
        for u, v, a, b in ((-0.14, 0.66, 0.14, 0.13), (0.14, 0.5, 0.15, 0.17), (-0.08, 0.4, 0.08, 0.09)):
            pen.ellipse(u, v, a, b, pen.colour, texture="rough", flat=True, inside=True)


def cactus(pen: Pen) -> None:
    """A cactus in a pot."""
    pen.shadow(0.28)
    green = mix(LEAF, COLOURS["green"], 0.5)
    with pen.part("arm"):
        pen.stroke((-0.05, 0.52), (-0.24, 0.54), 0.11, green)
        pen.stroke((-0.24, 0.54), (-0.24, 0.74), 0.11, green)
    with pen.part("arm"):
        pen.stroke((0.05, 0.6), (0.25, 0.62), 0.11, green)
        pen.stroke((0.25, 0.62), (0.25, 0.8), 0.11, green)
    pen.rect(-0.125, 0.24, 0.125, 0.98, green, round=0.12)
    for u in (-0.06, 0.0, 0.06):
        pen.rect(u - 0.008, 0.3, u + 0.008, 0.94, dark(green, 0.35), flat=True, inside=True)
    pen.ellipse(0.03, 0.97, 0.06, 0.04, COLOURS["pink"], flat=True)
    with pen.part("pot"):
        pen.polygon([(-0.23, 0.3), (-0.16, 0.0), (0.16, 0.0), (0.23, 0.3)], pen.colour, texture="cloth")
        pen.rect(-0.26, 0.25, 0.26, 0.33, dark(pen.colour, 0.15))


def pumpkin(pen: Pen) -> None:
    """A carved pumpkin."""
    pen.shadow(0.55)
    with pen.part("stem"):
        pen.polygon([(-0.07, 0.76), (-0.02, 1.0), (0.1, 0.98), (0.07, 0.76)], LEAF)
    for u in (-0.36, 0.36, -0.18, 0.18, 0.0):
        pen.ellipse(u, 0.42, 0.24, 0.42, pen.colour, texture="cloth")
    hole = (58, 30, 18)
    for side in (-1, 1):
        with pen.part("eye"):
            pen.polygon([(side * 0.1, 0.48), (side * 0.32, 0.48), (side * 0.2, 0.66)], hole)
    with pen.part("mouth"):
        pen.polygon([(-0.34, 0.34), (-0.12, 0.27), (0.12, 0.27), (0.34, 0.34), (0.18, 0.13), (-0.18, 0.13)], hole)


def ladder(pen: Pen) -> None:
    """A leaning ladder."""
    cosine, sine = turn(0.05)
    for u in (-0.15, 0.15):
        with pen.part("rail"):
            pen.stroke((u, 0.0), (u * cosine + sine, 0.98), 0.045, pen.colour, texture="grain")
    for step in range(1, 7):
        v = step * 0.145
        with pen.part("rung"):
            pen.stroke((-0.15 + v * sine, v), (0.15 + v * sine, v), 0.034, dark(pen.colour, 0.2))
