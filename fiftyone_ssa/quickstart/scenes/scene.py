"""A drawn scene with its exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle as masks
from fiftyone_ssa.quickstart.scenes.kinds import STUFF, VOCABULARIES, Kind, class_names
from fiftyone_ssa.types import Image, MaskSet, SemanticMap

SMALLEST_PX = 24
"""Regions of fewer visible pixels are no truth of their own."""


@dataclass(frozen=True)
class Node:
    """A thing, a surface, a part of one, or a part of a part."""

    id: int
    name: str
    parent: int
    """The id of what it is a part of; -1 for a whole."""
    level: int
    """0 whole, 1 part, 2 subpart."""
    kind: Kind | None = None
    """Set for whole things."""
    colour: str = ""
    """A whole thing's colour by name."""
    place: str = ""
    """Where a whole thing is, as a caption says it ("on the grass")."""
    visible: float = 1.0
    """Share of a whole thing's pixels that nothing hides."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and its truth. `leaves` (H, W) int16 holds for each pixel the innermost node it shows."""

    seed: int
    setting: str
    image: Image
    leaves: npt.NDArray[np.int16]
    nodes: tuple[Node, ...]
    """By id."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.leaves.shape[0], self.leaves.shape[1]

    def mask(self, node: int) -> npt.NDArray[np.bool_]:
        """(H, W) bool: the visible pixels of a node and of its parts."""
        inside = np.zeros(len(self.nodes), np.bool_)
        inside[node] = True
        for later in self.nodes[node + 1 :]:  # parts come after what they are parts of
            inside[later.id] = later.parent >= 0 and inside[later.parent]
        return inside[self.leaves]

    def regions(self) -> tuple[Node, ...]:
        """The nodes whose visible pixels are enough to be found, by id."""
        own = np.bincount(self.leaves.ravel(), minlength=len(self.nodes))
        for node in reversed(self.nodes):
            if node.parent >= 0:
                own[node.parent] += own[node.id]
        return tuple(node for node in self.nodes if own[node.id] >= SMALLEST_PX)

    def things(self, least_visible: float = 0.3) -> tuple[Node, ...]:
        """Whole things of which at least this share is seen."""
        return tuple(node for node in self.regions() if node.kind and node.visible >= least_visible)

    def mask_set(self) -> MaskSet:
        """All regions as masks; `source_ids` are node ids."""
        regions = self.regions()
        codes = [masks.encode(self.mask(node.id)) for node in regions]
        return masks.mask_set(self.size_hw, codes, source_ids=[node.id for node in regions])

    def semantic(self, vocabulary: str) -> SemanticMap:
        """The class map in the "ade20k" or "coco" names that scenes use; things without a name there are ignored."""
        if vocabulary not in VOCABULARIES:
            raise InputError(f"vocabulary must be one of {', '.join(VOCABULARIES)}, got {vocabulary!r}")
        names = class_names(vocabulary)
        ids = np.full(len(self.nodes), 255, np.uint8)
        for node in self.nodes:
            if node.parent >= 0:
                ids[node.id] = ids[node.parent]
            else:
                name = getattr(node.kind or STUFF[node.name], vocabulary)
                ids[node.id] = names.index(name) if name else 255
        return SemanticMap(ids[self.leaves], names)
