"""Drawn scenes in colours and patterns that no drawn scene has: pictures that the small models cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fiftyone_ssa.quickstart.scenes import Scene
from fiftyone_ssa.quickstart.scenes.dice import Dice

STRENGTH = 0.65
"""How far a colour goes towards the random one."""
GRID = 0.1
"""How far the grid goes from that colour to a second one, of the same."""


def foreign(scene: Scene) -> Scene:
    """Each whole thing and each surface in a colour and a faint grid of its own; parts differ from it as drawn."""
    dice = Dice(scene.seed, 909)
    wholes = list(range(len(scene.nodes)))
    for node in scene.nodes:  # parts come after what they are parts of
        wholes[node.id] = wholes[node.parent] if node.parent >= 0 else node.id
    whole = np.array(wholes)[scene.leaves]
    y, x = np.mgrid[: scene.size_hw[0], : scene.size_hw[1]].astype(np.float64)
    image = scene.image.astype(np.float64)
    for number in sorted(set(wholes)):
        colour, other = (np.array([dice.between(20, 235) for _ in range(3)]) for _ in range(2))
        angle, period, crossed = dice.between(0, np.pi), dice.between(6, 20), dice.chance(0.5)
        inside = whole == number
        if not inside.any():
            continue
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        wave = np.sin(2 * np.pi / period * along) * (np.sin(2 * np.pi / period * across) if crossed else 1)
        image[inside] += STRENGTH * (colour - image[inside].mean(0) + GRID * wave[inside, None] * (other - colour))
    return replace(scene, image=np.clip(np.rint(image), 0, 255).astype(np.uint8))
