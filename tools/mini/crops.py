"""Crops round the regions of scenes, as the engine cuts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image as Pillow

from fiftyone_ssa.masks.rle import scaled_crop_xyxy
from fiftyone_ssa.quickstart.scenes import Node, Scene
from fiftyone_ssa.quickstart.scenes.dice import Dice
from tools.mini.pool import training_scene

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Crop:
    """A region of a scene with the box that a crop is cut from."""

    scene: Scene
    node: Node
    box_xyxy: tuple[int, int, int, int]
    mirrored: bool = False

    @property
    def whole(self) -> Node:
        """The whole that the region is, or is a part of."""
        node = self.node
        while node.parent >= 0:
            node = self.scene.nodes[node.parent]
        return node

    def pixels(self, side: int, resample: Pillow.Resampling, pool: int = 1) -> torch.Tensor:
        """(3, side / pool, side / pool) uint8, stretched to a square, then averaged."""
        square = Pillow.fromarray(self.scene.image).resize((side, side), resample, box=self.box_xyxy).reduce(pool)
        return torch.from_numpy(self._as_shown(np.array(square)).copy()).permute(2, 0, 1)

    def leaves(self, side: int) -> np.ndarray:
        """(side, side) node ids, the nearest ones."""
        x0, y0, x1, y1 = self.box_xyxy
        rows = y0 + (np.arange(side) * (y1 - y0) + (y1 - y0) // 2) // side
        columns = x0 + (np.arange(side) * (x1 - x0) + (x1 - x0) // 2) // side
        return self._as_shown(self.scene.leaves[rows[:, None], columns])

    def _as_shown(self, picture: np.ndarray) -> np.ndarray:
        return picture[:, ::-1] if self.mirrored else picture


def crops(draw: int, scale: float, others: int) -> list[Crop]:
    """Of a draw's scene: every whole thing that can be recognised, and `others` of its parts and surfaces.

    Sides are off by a few per cent, one in seven by more, as those of found masks are; every other crop is mirrored.
    """
    dice, scene = Dice(draw, 2), training_scene(draw)
    things = list(scene.things())
    rest = dice.shuffled([node for node in scene.regions() if node not in things and node.kind is None])[:others]
    found = []
    for node in things + rest:
        inside = scene.mask(node.id)
        columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
        x0, x1 = _moved(dice, float(columns[0]), float(columns[-1]))
        y0, y1 = _moved(dice, float(rows[0]), float(rows[-1]))
        box = scaled_crop_xyxy(np.array([x0, y0, x1 - x0, y1 - y0]), scale, scene.size_hw)
        found.append(Crop(scene, node, box, mirrored=dice.chance(0.5)))
    return found


def _moved(dice: Dice, first: float, last: float) -> tuple[float, float]:
    """Where a found mask's box would begin and end along a side."""

    def off() -> float:
        return (last - first) * (dice.between(-0.3, 0.3) if dice.chance(0.15) else dice.between(-0.04, 0.04))

    return first + off(), last + off()


def normalise(pixels: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """(B, 3, H, W) uint8 as the model takes it."""
    return (pixels.float() / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
