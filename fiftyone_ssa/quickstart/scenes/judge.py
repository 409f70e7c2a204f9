"""Whether masks and their names are right, by a scene's truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.containment import LEVELS
from fiftyone_ssa.quickstart.scenes.kinds import STUFF
from fiftyone_ssa.quickstart.scenes.scene import Node, Scene
from fiftyone_ssa.types import MaskSet

SIZES_HW = ((256, 256), (256, 320), (320, 320), (288, 384))
"""Sizes of the scenes that are shown and measured, in turn."""
NAMED_ON = 0.5
"""IoU from which a mask is taken for a mask of a region, so that its name counts."""
FOUND = 0.75
"""IoU from which a mask counts as found."""
PARTS_PX = 64
"""Parts of fewer pixels need not be found."""


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


def asked_regions(scene: Scene) -> Iterator[tuple[str, Node]]:
    """The regions that SAM should find, each with its group: "things", "surfaces", "parts" or "subparts"."""
    for node in scene.regions():
        if node.kind:
            if node.visible >= 0.3:
                yield "things", node
        elif node.level == 0:
            yield "surfaces", node
        elif scene.mask(node.id).sum() >= PARTS_PX:
            yield ("parts" if node.level == 1 else "subparts"), node


def ious(scene: Scene, masks: MaskSet) -> npt.NDArray[np.float64]:
    """(N, nodes) IoU of every mask with every node's visible pixels, its parts' included."""
    count = len(scene.nodes)
    shared = np.zeros((len(masks) + 1, count), np.int64)
    for row, code in enumerate(masks.rles):
        shared[row] = np.bincount(scene.leaves[rle.decode(code, masks.size_hw)], minlength=count)
    shared[-1] = np.bincount(scene.leaves.ravel(), minlength=count)
    for node in reversed(scene.nodes):  # parts come after what they are parts of
        if node.parent >= 0:
            shared[:, node.parent] += shared[:, node.id]
    united = np.asarray(masks.areas_px)[:, None] + shared[-1] - shared[:-1]
    found: npt.NDArray[np.float64] = shared[:-1] / np.maximum(united, 1)
    return found


def best_mask(found: npt.NDArray[np.float64], node: Node) -> tuple[int, float]:
    """The index of the mask that fits a node best, and its IoU; (-1, 0.0) if there is none."""
    if not len(found):
        return -1, 0.0
    best = int(found[:, node.id].argmax())
    return best, float(found[best, node.id])


def names_of(scene: Scene, found: npt.NDArray[np.float64]) -> list[frozenset[str]]:
    """Every name that is right for each of N masks, none where it fits no region (IoU 0.5); `found` is of `ious`."""
    regions = scene.regions()
    fits = found[:, [node.id for node in regions]]
    # a thing with a single visible part is both: every region that fits as well counts
    best = [np.flatnonzero(row >= row.max() - 1e-9) if row.max(initial=0.0) >= NAMED_ON else () for row in fits]
    return [frozenset().union(*(right_names(regions[i]) for i in some)) for some in best]


def names_right(scene: Scene, found: npt.NDArray[np.float64], labels: Sequence[str | None]) -> list[bool]:
    """Of each mask that fits a region of the scene (IoU 0.5), whether its name is right there; `found` is of `ious`."""
    return [label in right for right, label in zip(names_of(scene, found), labels, strict=True) if right]


def levels_right(
    scene: Scene, found: npt.NDArray[np.float64], levels: Sequence[str | None], *, of_found: bool = False
) -> list[bool]:
    """Of each mask that fits a region of the scene (IoU 0.5), whether its level is the region's; `found` is of `ious`.

    `of_found` counts a region's level among the things that some mask fits best: a wheel whose car has no mask is a
    whole then, for nothing is around it.
    """
    regions = scene.regions()
    fits = found[:, [node.id for node in regions]]
    best = [
        [regions[i] for i in np.flatnonzero(row >= row.max() - 1e-9)] if row.max(initial=0.0) >= NAMED_ON else []
        for row in fits
    ]
    there = {node.id for nodes in best for node in nodes}

    def depth(node: Node) -> int:
        if node.parent < 0:
            return 0
        return depth(scene.nodes[node.parent]) + (not of_found or node.parent in there)

    return [
        any(level == LEVELS[min(depth(node), 2)] for node in nodes)
        for nodes, level in zip(best, levels, strict=True)
        if nodes
    ]


def _shows_part(scene: Scene, row: npt.NDArray[np.float64]) -> bool:
    """Whether the region that a mask fits best is no whole; `row` is the mask's of `ious`."""
    regions = scene.regions()
    return bool(regions) and max(regions, key=lambda node: (row[node.id], -node.level)).level > 0


class Tally:
    """What the truth of scenes says of their masks and names, case by case."""

    def __init__(self) -> None:
        self.masks: list[int] = []
        """How many masks each scene has."""
        self.found: dict[str, list[bool]] = defaultdict(list)
        """Whether each region that is asked for has a mask (IoU 0.75), by the groups of `asked_regions`."""
        self.named: dict[str, list[bool]] = defaultdict(list)
        """Whether things are rightly named and proposed, those in no vocabulary apart, and masks rightly named."""
        self.kinds: dict[str, list[bool]] = defaultdict(list)
        """Whether each whole thing is rightly named, by kind."""

    def add(
        self, scene: Scene, masks: MaskSet, labels: Sequence[str | None], proposals: Sequence[Sequence[str]]
    ) -> None:
        """Count one scene's N masks with N labels and proposals; a thing that no mask fits (IoU 0.5) has no name."""
        self.masks.append(len(masks))
        found = ious(scene, masks)
        for group, region in asked_regions(scene):
            self.found[group].append(best_mask(found, region)[1] >= FOUND)
        for thing in scene.things():
            index, iou = best_mask(found, thing)
            fits, right = iou >= NAMED_ON, right_names(thing)
            named = fits and labels[index] in right
            proposed = fits and any(name in right for name in proposals[index])
            self.named["things with a mask"].append(fits)
            self.named["things named"].append(named)
            self.named["things proposed"].append(proposed)
            if in_no_vocabulary(thing):
                self.named["outside named"].append(named)
            if fits:
                self.named["named where there is a mask"].append(named)
                self.named["proposed where there is a mask"].append(proposed)
            self.kinds[thing.name].append(named)
        self.named["masks named"] += names_right(scene, found, labels)
        parts = np.array([_shows_part(scene, row) for row in found], np.bool_)
        for group, chosen in (("part masks named", parts), ("whole masks named", ~parts)):
            some = np.flatnonzero(chosen)
            self.named[group] += names_right(scene, found[some], [labels[i] for i in some.tolist()])
