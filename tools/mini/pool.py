"""Training scenes, each drawn once: drawing one takes longer than a step on it."""

from __future__ import annotations

from functools import lru_cache

from fiftyone_ssa.quickstart.scenes import Scene, draw_scene
from fiftyone_ssa.quickstart.scenes.dice import Dice

FIRST_SEED = 1_000_000
"""Scenes below this seed are never trained on."""
POOL = 3000
"""So many scenes are drawn, about 1.5 GB; then they come round again, with other crops, points and captions."""
SIDES = (256, 320, 384)


@lru_cache(maxsize=POOL)
def _drawn(seed: int, side: int) -> Scene:
    return draw_scene(seed, (side, side))


def training_scene(draw: int, side: int | None = None) -> Scene:
    """The scene of a draw (0, 1, ...): square, `side` pixels, or one of three sizes."""
    seed = FIRST_SEED + draw % POOL
    return _drawn(seed, side or Dice(seed, 0).pick(SIDES))
