"""Whether masks and their names are right, by a scene's truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fiftyone_ssa import masks as rle
from fiftyone_ssa.scenes.kinds import STUFF
from fiftyone_ssa.scenes.scene import Node, Scene
from fiftyone_ssa.types import MaskSet

SIZES_HW = ((256, 256), (256, 320), (320, 320), (288, 384))
"""Sizes of the scenes that are shown and measured, in turn."""
NAMED_ON = 0.5
"""IoU from which a mask is taken for a mask of a region, so that its name counts."""


def right_names(node: Node) -> frozenset[str]:
    """Every name that is right for a node: the usual one, synonyms, and a surface's in either vocabulary."""
    if node.kind:
        return frozenset(node.kind.names)
    if node.parent >= 0:
        return frozenset((node.name,))
    return frozenset((node.name, STUFF[node.name].ade20k, STUFF[node.name].coco))


def in_no_vocabulary(node: Node) -> bool:
    """Whether a whole thing has a name in neither vocabulary, so that only a caption can name it."""
    return node.kind is not None and not node.kind.ade20k and not node.kind.coco


def best_iou(masks: MaskSet, truth: npt.NDArray[np.bool_]) -> tuple[int, float]:
    """The index of the mask that fits `truth` (H, W) best, and its IoU; (-1, 0.0) if none meets it."""
    best, overlap = -1, 0.0
    area = int(truth.sum())
    for index, (code, pixels) in enumerate(zip(masks.rles, masks.areas_px, strict=True)):
        if min(area, pixels) / max(area, pixels, 1) <= overlap:
            continue  # sizes alone forbid a better fit
        shared = int((rle.decode(code, masks.size_hw) & truth).sum())
        iou = shared / (area + int(pixels) - shared)
        if iou > overlap:
            best, overlap = index, iou
    return best, overlap


def names_right(scene: Scene, masks: MaskSet, labels: Sequence[str | None]) -> list[bool]:
    """Of each mask that fits a region of the scene (IoU 0.5), whether its name is right there."""
    regions = scene.regions()
    truths = np.stack([scene.mask(node.id) for node in regions]).reshape(len(regions), -1).astype(np.float32)
    areas = truths.sum(1)
    right = []
    for code, pixels, label in zip(masks.rles, masks.areas_px, labels, strict=True):
        shared = truths @ rle.decode(code, masks.size_hw).reshape(-1).astype(np.float32)
        iou = shared / (areas + pixels - shared)
        if iou.max() >= NAMED_ON:
            # a thing with a single visible part is both: every region that fits as well counts
            fitting = np.flatnonzero(iou >= iou.max() - 1e-6)
            right.append(any(label in right_names(regions[i]) for i in fitting))
    return right
