"""Crops round the regions of scenes, as the engine cuts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image as Pillow

from fiftyone_ssa.masks import scaled_crop_xyxy
from fiftyone_ssa.scenes import Node, Scene
from fiftyone_ssa.scenes.dice import Dice
from tools.mini.pool import training_scene

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Crop:
    """A region of a scene with the box that a crop is cut from."""

    scene: Scene
    node: Node
    box_xyxy: tuple[int, int, int, int]

    @property
    def whole(self) -> Node:
        """The whole that the region is, or is a part of."""
        node = self.node
        while node.parent >= 0:
            node = self.scene.nodes[node.parent]
        return node

    def pixels(self, side: int, resample: Pillow.Resampling) -> torch.Tensor:
        """(3, side, side) uint8, stretched to a square."""
        square = Pillow.fromarray(self.scene.image).resize((side, side), resample, box=self.box_xyxy)
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)

    def leaves(self, side: int) -> np.ndarray:
        """(side, side) node ids, the nearest ones."""
        x0, y0, x1, y1 = self.box_xyxy
        rows = y0 + (np.arange(side) * (y1 - y0) + (y1 - y0) // 2) // side
        columns = x0 + (np.arange(side) * (x1 - x0) + (x1 - x0) // 2) // side
        found: np.ndarray = self.scene.leaves[rows[:, None], columns]
        return found


def crops(draw: int, scale: float, others: int) -> list[Crop]:
    """Of a draw's scene: every whole thing that can be recognised, and `others` of its parts and surfaces.

    Boxes are off by a few per cent, as those of found masks are.
    """
    dice, scene = Dice(draw, 2), training_scene(draw)
    things = list(scene.things())
    rest = dice.shuffled([node for node in scene.regions() if node not in things and node.kind is None])[:others]
    found = []
    for node in things + rest:
        inside = scene.mask(node.id)
        columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
        x, y = float(columns[0]), float(rows[0])
        width, height = float(columns[-1] - columns[0]), float(rows[-1] - rows[0])
        x, y = x + width * dice.between(-0.04, 0.04), y + height * dice.between(-0.04, 0.04)
        width, height = width * dice.between(0.95, 1.05), height * dice.between(0.95, 1.05)
        found.append(Crop(scene, node, scaled_crop_xyxy((x, y, width, height), scale, scene.size_hw)))
    return found


def normalise(pixels: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """(B, 3, H, W) uint8 as the model takes it."""
    return (pixels.float() / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
