"""How things of the park, the water and the sky are drawn: foot at (0, 0), about 1 high."""

from __future__ import annotations

import itertools

from fiftyone_ssa.quickstart.scenes.canvas import Pen, dark, mix
from fiftyone_ssa.quickstart.scenes.palette import (
    BARK,
    COLOURS,
    CREAM,
    DARK_GLASS,
    DARK_WOOD,
    GLASS,
    LEAF,
    LIT,
    STEEL,
    TYRE,
)
from fiftyone_ssa.quickstart.scenes.shapes import circle_points


def tree(pen: Pen) -> None:
    """A leafy tree or a fir."""
    pen.shadow(0.3)
    leaf = mix(LEAF, COLOURS[pen.dice.pick(("yellow", "green", "orange"))], pen.dice.between(0, 0.4))
    with pen.part("trunk"):
        pen.polygon([(-0.06, 0.0), (-0.035, 0.5), (0.035, 0.5), (0.06, 0.0)], BARK, texture="rough")
    with pen.part("crown"):
        if pen.dice.chance(0.35):
            for v, half in ((0.14, 0.3), (0.38, 0.24), (0.6, 0.17)):
                pen.polygon([(-half, v), (0.0, v + 0.4), (half, v)], dark(leaf, 0.25), texture="leaf")
        else:
            for u, v, radius in ((-0.18, 0.55, 0.17), (0.19, 0.56, 0.17), (0.0, 0.56, 0.18), (0.0, 0.78, 0.2)):
                pen.ellipse(u, v, radius, radius, leaf, texture="leaf")
            pen.ellipse(-0.05, 0.66, 0.22, 0.2, mix(leaf, CREAM, 0.08), texture="leaf", flat=True)


def bird(pen: Pen) -> None:
    """A bird on the ground or in the air."""
    pen.polygon([(-0.42, 0.42), (-0.92, 0.66), (-0.84, 0.38), (-0.4, 0.3)], dark(pen.colour, 0.3))
    pen.ellipse(-0.1, 0.42, 0.46, 0.28, pen.colour)
    with pen.part("wing"):
        pen.polygon([(0.14, 0.5), (-0.72, 0.86), (-0.5, 0.4), (-0.1, 0.28)], dark(pen.colour, 0.25), texture="rough")
    with pen.part("head"):
        pen.ellipse(0.36, 0.66, 0.2, 0.2, pen.colour)
        with pen.part("beak"):
            pen.polygon([(0.52, 0.72), (0.78, 0.64), (0.52, 0.58)], COLOURS["orange"])
        pen.ellipse(0.42, 0.71, 0.045, 0.045, TYRE, flat=True)
    for u in (-0.12, 0.04):
        pen.stroke((u, 0.16), (u + 0.03, 0.0), 0.05, COLOURS["orange"], flat=True)


def cat(pen: Pen) -> None:
    """A sitting cat."""
    pen.shadow(0.34)
    fur = pen.colour
    with pen.part("tail"):
        pen.stroke((-0.22, 0.07), (-0.44, 0.16), 0.09, dark(fur, 0.15))
        pen.stroke((-0.44, 0.16), (-0.46, 0.42), 0.09, dark(fur, 0.15))
    pen.ellipse(-0.04, 0.26, 0.26, 0.28, fur, texture="cloth")
    pen.ellipse(0.08, 0.36, 0.17, 0.3, fur, texture="cloth", flat=True)
    for u in (0.04, 0.18):
        with pen.part("leg"):
            pen.stroke((u, 0.3), (u + 0.02, 0.045), 0.085, mix(fur, CREAM, 0.25))
    with pen.part("head"):
        for side in (-1, 1):
            with pen.part("ear"):
                pen.polygon([(0.12 + side * 0.17, 0.76), (0.12 + side * 0.16, 1.0), (0.12 + side * 0.02, 0.85)], fur)
        pen.ellipse(0.12, 0.72, 0.21, 0.18, fur)
        for u in (0.05, 0.2):
            pen.ellipse(u, 0.75, 0.036, 0.046, LIT, flat=True)
            pen.ellipse(u, 0.75, 0.014, 0.036, TYRE, flat=True)
        pen.ellipse(0.13, 0.66, 0.032, 0.022, COLOURS["pink"], flat=True)


def dog(pen: Pen) -> None:
    """A standing dog, 1.3 long."""
    pen.shadow(0.6)
    fur = pen.colour
    with pen.part("tail"):
        pen.stroke((-0.5, 0.56), (-0.72, 0.84), 0.09, fur)
    for u in (-0.44, -0.28, 0.22, 0.36):
        with pen.part("leg"):
            pen.stroke((u, 0.42), (u, 0.05), 0.11, dark(fur, 0.1))
    pen.rect(-0.56, 0.34, 0.46, 0.66, fur, round=0.15, texture="cloth")
    pen.polygon([(0.2, 0.6), (0.42, 0.86), (0.58, 0.72), (0.44, 0.44)], fur, flat=True)
    with pen.part("head"):
        pen.ellipse(0.5, 0.82, 0.19, 0.17, fur)
        pen.rect(0.56, 0.68, 0.82, 0.84, mix(fur, CREAM, 0.3), round=0.06)
        pen.ellipse(0.81, 0.81, 0.045, 0.04, TYRE, flat=True)
        pen.ellipse(0.58, 0.88, 0.027, 0.027, TYRE, flat=True)
        with pen.part("ear"):
            pen.ellipse(0.38, 0.78, 0.085, 0.17, dark(fur, 0.4))


def kite(pen: Pen) -> None:
    """A kite with its tail."""
    other = COLOURS[pen.dice.pick(("yellow", "white", "blue", "red"))]
    with pen.part("tail"):
        joints = [(0.0, 0.3), (0.1, 0.2), (-0.02, 0.1), (0.1, 0.0)]
        for start, end in itertools.pairwise(joints):
            pen.stroke(start, end, 0.03, CREAM, flat=True)
            u, v = end
            pen.polygon([(u - 0.07, v - 0.04), (u - 0.07, v + 0.04), (u, v)], other, flat=True)
            pen.polygon([(u + 0.07, v - 0.04), (u + 0.07, v + 0.04), (u, v)], other, flat=True)
    pen.polygon([(0.0, 1.0), (0.3, 0.72), (0.0, 0.28), (-0.3, 0.72)], pen.colour)
    pen.polygon([(0.0, 1.0), (0.3, 0.72), (0.0, 0.72)], other, flat=True)
    pen.polygon([(-0.3, 0.72), (0.0, 0.72), (0.0, 0.28)], other, flat=True)
    pen.stroke((0.0, 0.98), (0.0, 0.3), 0.018, DARK_WOOD, flat=True)
    pen.stroke((-0.28, 0.72), (0.28, 0.72), 0.018, DARK_WOOD, flat=True)


def boat(pen: Pen) -> None:
    """A sailing boat."""
    pen.stroke((0.02, 0.2), (0.02, 0.98), 0.03, DARK_WOOD)
    with pen.part("sail"):
        pen.polygon([(0.05, 0.3), (0.05, 0.97), (0.56, 0.32)], CREAM, texture="cloth")
    with pen.part("sail"):
        pen.polygon([(-0.02, 0.3), (-0.02, 0.86), (-0.4, 0.32)], mix(CREAM, pen.colour, 0.35), texture="cloth")
    with pen.part("hull"):
        pen.polygon([(-0.62, 0.24), (0.7, 0.24), (0.46, 0.0), (-0.46, 0.0)], pen.colour, texture="grain")
        pen.rect(-0.6, 0.17, 0.62, 0.205, CREAM, flat=True, inside=True)


def tent(pen: Pen) -> None:
    """A ridge tent."""
    pen.shadow(0.95)
    pen.polygon([(-0.9, 0.0), (-0.26, 1.0), (0.3, 1.0), (0.92, 0.0)], dark(pen.colour, 0.2), texture="cloth")
    pen.polygon([(-0.9, 0.0), (-0.26, 1.0), (0.36, 0.0)], pen.colour, texture="cloth")
    with pen.part("door"):
        pen.polygon([(-0.5, 0.0), (-0.26, 0.72), (0.02, 0.0)], dark(pen.colour, 0.66))
        with pen.part("flap"):
            pen.polygon([(-0.26, 0.72), (0.02, 0.0), (0.16, 0.0)], mix(pen.colour, CREAM, 0.5), texture="cloth")


def airplane(pen: Pen) -> None:
    """An airliner in flight, 2.6 long."""
    with pen.part("tail"):
        pen.polygon([(-1.2, 0.5), (-1.3, 1.0), (-1.06, 1.0), (-0.7, 0.56)], pen.colour)
    pen.rect(-1.26, 0.36, 1.26, 0.68, CREAM, round=0.155)
    pen.rect(-1.2, 0.4, 1.2, 0.455, pen.colour, flat=True, inside=True)
    for u in (-0.8, -0.55, -0.3, -0.05, 0.2, 0.45, 0.7):
        with pen.part("window"):
            pen.ellipse(u, 0.56, 0.055, 0.055, DARK_GLASS)
    with pen.part("cockpit"):
        pen.polygon([(0.96, 0.55), (0.98, 0.645), (1.12, 0.635), (1.2, 0.55)], DARK_GLASS)
    with pen.part("wing"):
        pen.polygon([(0.3, 0.44), (-0.5, 0.02), (-0.74, 0.02), (-0.2, 0.44)], dark(STEEL, 0.1))
    with pen.part("engine"):
        pen.rect(-0.16, 0.12, 0.22, 0.28, pen.colour, round=0.06)


def rocket(pen: Pen) -> None:
    """A rocket with its flame."""
    with pen.part("flame"):
        pen.polygon([(-0.1, 0.2), (-0.04, 0.08), (0.0, 0.0), (0.05, 0.09), (0.1, 0.2)], COLOURS["orange"])
        pen.polygon([(-0.05, 0.2), (0.0, 0.08), (0.05, 0.2)], LIT, flat=True)
    for side in (-1, 1):
        with pen.part("fin"):
            pen.polygon([(side * 0.12, 0.42), (side * 0.29, 0.2), (side * 0.29, 0.14), (side * 0.1, 0.2)], pen.colour)
    pen.polygon([(-0.12, 0.2), (-0.16, 0.44), (-0.14, 0.7), (0.14, 0.7), (0.16, 0.44), (0.12, 0.2)], (226, 228, 232))
    with pen.part("nose"):
        pen.polygon([(-0.145, 0.68), (-0.08, 0.88), (0.0, 1.0), (0.08, 0.88), (0.145, 0.68)], pen.colour)
    with pen.part("window"):
        pen.ellipse(0.0, 0.54, 0.085, 0.085, dark(STEEL, 0.4))
        pen.ellipse(0.0, 0.54, 0.06, 0.06, GLASS)
    pen.rect(-0.15, 0.3, 0.15, 0.345, pen.colour, flat=True, inside=True)


def windmill(pen: Pen) -> None:
    """A tower mill with four sails."""
    pen.shadow(0.34)
    pen.polygon([(-0.22, 0.0), (-0.13, 0.66), (0.13, 0.66), (0.22, 0.0)], mix(pen.colour, CREAM, 0.6), texture="stone")
    with pen.part("roof"):
        pen.polygon([(-0.17, 0.64), (-0.08, 0.78), (0.08, 0.78), (0.17, 0.64)], (140, 72, 58), texture="rough")
    with pen.part("door"):
        pen.rect(-0.055, 0.0, 0.055, 0.16, DARK_WOOD, round=0.02)
    with pen.part("window"):
        pen.rect(-0.045, 0.34, 0.045, 0.44, DARK_GLASS)
    for u, v in circle_points(4, pen.dice.between(0.25, 0.75)):
        with pen.part("sail"):
            hub = (0.0, 0.68)
            a, b, wide = 0.08, 0.36, 0.075
            corners = [(a, 0.0), (b, 0.0), (b, wide), (a, wide)]
            pen.polygon([(x * u - y * v, hub[1] + x * v + y * u) for x, y in corners], CREAM, texture="cloth")
            pen.stroke(hub, (0.38 * u, hub[1] + 0.38 * v), 0.024, DARK_WOOD, flat=True)


def balloon(pen: Pen) -> None:
    """A hot-air balloon."""
    other = mix(pen.colour, CREAM, 0.75)
    for u in (-0.1, 0.1):
        pen.stroke((u * 2, 0.4), (u * 0.9, 0.13), 0.014, DARK_WOOD, flat=True)
    with pen.part("envelope"):
        pen.polygon([(-0.34, 0.5), (-0.08, 0.22), (0.08, 0.22), (0.34, 0.5)], pen.colour)
        pen.ellipse(0.0, 0.64, 0.37, 0.36, pen.colour)
        for u, radius in ((-0.24, 0.05), (0.0, 0.075), (0.24, 0.05)):
            pen.ellipse(u, 0.63, radius, 0.3, other, flat=True, inside=True)
    with pen.part("basket"):
        pen.rect(-0.095, 0.0, 0.095, 0.14, (150, 100, 56), round=0.02, texture="cloth")


def snowman(pen: Pen) -> None:
    """Three balls of snow, a hat and a carrot."""
    pen.shadow(0.34)
    snow = (236, 240, 246)
    for side in (-1, 1):
        with pen.part("arm"):
            pen.stroke((side * 0.18, 0.54), (side * 0.42, 0.68), 0.03, BARK)
    pen.ellipse(0.0, 0.22, 0.27, 0.23, snow, texture="grain")
    pen.ellipse(0.0, 0.5, 0.2, 0.18, snow, texture="grain")
    for v in (0.4, 0.5, 0.58):
        pen.ellipse(0.0, v, 0.02, 0.02, TYRE, flat=True)
    with pen.part("head"):
        pen.ellipse(0.0, 0.73, 0.145, 0.14, snow, texture="grain")
        for u in (-0.05, 0.06):
            pen.ellipse(u, 0.765, 0.02, 0.022, TYRE, flat=True)
        with pen.part("nose"):
            pen.polygon([(0.0, 0.75), (0.18, 0.71), (0.0, 0.69)], COLOURS["orange"])
    with pen.part("scarf"):
        pen.rect(-0.15, 0.6, 0.15, 0.66, pen.colour, round=0.025, texture="cloth")
        pen.rect(0.06, 0.46, 0.13, 0.64, pen.colour, texture="cloth")
    with pen.part("hat"):
        pen.rect(-0.17, 0.83, 0.17, 0.87, TYRE)
        pen.rect(-0.105, 0.85, 0.105, 1.0, TYRE)
        pen.rect(-0.105, 0.87, 0.105, 0.9, pen.colour, flat=True)


def lighthouse(pen: Pen) -> None:
    """A banded tower with a lantern."""
    pen.shadow(0.24)
    pen.polygon([(-0.17, 0.0), (-0.1, 0.76), (0.1, 0.76), (0.17, 0.0)], CREAM, texture="stone")
    for v in (0.14, 0.4, 0.64):
        pen.rect(-0.2, v, 0.2, v + 0.12, pen.colour, inside=True)
    with pen.part("door"):
        pen.rect(-0.045, 0.0, 0.045, 0.13, DARK_WOOD, round=0.02)
    pen.rect(-0.15, 0.75, 0.15, 0.79, dark(STEEL, 0.5))
    with pen.part("lantern"):
        pen.rect(-0.08, 0.79, 0.08, 0.9, LIT)
    with pen.part("roof"):
        pen.polygon([(-0.11, 0.89), (0.0, 1.0), (0.11, 0.89)], pen.colour)


def mushroom(pen: Pen) -> None:
    """A spotted mushroom."""
    pen.shadow(0.4)
    with pen.part("stem"):
        pen.polygon([(-0.17, 0.0), (-0.12, 0.55), (0.12, 0.55), (0.17, 0.0)], CREAM, texture="cloth")
    with pen.part("cap"):
        pen.polygon(
            [(-0.55, 0.46), (-0.5, 0.68), (-0.3, 0.9), (0.0, 1.0), (0.3, 0.9), (0.5, 0.68), (0.55, 0.46)], pen.colour
        )
        for u, v, radius in ((-0.3, 0.62, 0.07), (0.02, 0.8, 0.09), (0.3, 0.6, 0.08), (-0.02, 0.55, 0.055)):
            pen.ellipse(u, v, radius, radius * 0.9, CREAM, flat=True)


def butterfly(pen: Pen) -> None:
    """A butterfly with its wings open."""
    for side in (-1, 1):
        with pen.part("wing"):
            pen.ellipse(side * 0.34, 0.66, 0.31, 0.3, pen.colour)
            pen.ellipse(side * 0.24, 0.26, 0.22, 0.25, dark(pen.colour, 0.18))
            with pen.part("spot"):
                pen.ellipse(side * 0.4, 0.7, 0.12, 0.12, LIT)
        pen.stroke((side * 0.02, 0.76), (side * 0.16, 1.0), 0.03, TYRE, flat=True)
    with pen.part("body"):
        pen.ellipse(0.0, 0.48, 0.06, 0.36, TYRE)


def turtle(pen: Pen) -> None:
    """A turtle, 1.6 long."""
    pen.shadow(0.75)
    skin = (120, 150, 80)
    for u in (-0.45, 0.36):
        with pen.part("leg"):
            pen.ellipse(u, 0.14, 0.15, 0.15, dark(skin, 0.15))
    with pen.part("head"):
        pen.stroke((0.5, 0.3), (0.78, 0.48), 0.24, skin)
        pen.ellipse(0.8, 0.53, 0.03, 0.035, TYRE, flat=True)
    with pen.part("shell"):
        pen.polygon(
            [(-0.7, 0.16), (-0.62, 0.52), (-0.36, 0.82), (0.0, 0.94), (0.34, 0.82), (0.58, 0.52), (0.64, 0.16)],
            pen.colour,
        )
        for u, v in ((-0.34, 0.44), (0.0, 0.6), (0.3, 0.44)):
            pen.polygon([(u + 0.14 * x, v + 0.14 * y) for x, y in circle_points(6)], dark(pen.colour, 0.35), flat=True)
        pen.rect(-0.7, 0.16, 0.64, 0.23, mix(pen.colour, CREAM, 0.4), flat=True, inside=True)
