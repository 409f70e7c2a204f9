"""SAM 3 beside another source of masks: what it finds of a vocabulary names masks, and what only it found is added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fiftyone_ssa.masks import rle
from fiftyone_ssa.models import MaskGenerator
from fiftyone_ssa.models.concepts import Concepts, Instances, on_grid, overlaps
from fiftyone_ssa.models.everything import EverythingGenerator
from fiftyone_ssa.types import Image, MaskSet, Proposals

WHAT = "concepts"
TAKES = "a SAM 3 (facebook/sam3, say)"
SAME_IOU = 0.5
"""A thing that a concept found and a mask that overlap by this much are the same."""


@dataclass(eq=False)
class _Thing:
    """What a concept found where there is no mask."""

    name: str
    score: float
    logits: torch.Tensor
    """(h, w) on the model's grid."""
    heard: dict[str, float] = field(default_factory=dict)


class ConceptMasks:
    """Finds the things that names mean, by the Hugging Face id or folder of a SAM 3; those surer than `thresh` count.

    Where `generator` asks the same SAM 3 for points, an image goes through the one backbone of both once.
    Raises InputError if the model cannot be loaded, with what to do.
    """

    def __init__(
        self,
        model: str,
        device: torch.device,
        dtype: torch.dtype,
        *,
        thresh: float = 0.5,
        generator: MaskGenerator | None = None,
    ) -> None:
        self.concepts = Concepts(model, WHAT, device, dtype, TAKES)
        self._device, self._thresh = device, thresh
        if isinstance(generator, EverythingGenerator):
            share_backbone(self.concepts, generator.model)

    @torch.inference_mode()
    def __call__(self, image: Image, masks: MaskSet, names: Sequence[str]) -> tuple[MaskSet, tuple[Proposals, ...]]:
        """The masks, after them those that only a concept found, and for each the names that concepts give it.

        A name's score is that of the thing times its IoU with the mask; best first. Of things that overlap the surest
        is added, and others' names are heard of it.
        """
        seen = self.concepts.look(torch.from_numpy(np.ascontiguousarray(image)).to(self._device))
        height, width = self.concepts.grid_hw
        dense = [on_grid(rle.decode(code, masks.size_hw), height, width, self._device) for code in masks.rles]
        ours = torch.stack(dense) if dense else torch.zeros((0, height, width), device=self._device)
        found = self.concepts.find(seen, names, lambda instances: self._judge(instances, ours))
        heard: list[dict[str, float]] = [{} for _ in range(len(masks))]
        things = []
        for name, (scores, iou, logits) in zip(names, found, strict=True):
            for row, column in np.argwhere(iou >= SAME_IOU).tolist():
                _hear(heard[row], name, float(scores[column] * iou[row, column]))
            alone = np.flatnonzero(~(iou >= SAME_IOU).any(0))
            things += [_Thing(name, float(scores[i]), plane) for i, plane in zip(alone, logits, strict=True)]
        added = self._add(_distinct(things), masks.size_hw)
        every = MaskSet.merge(
            [
                masks,
                rle.mask_set(
                    masks.size_hw,
                    [code for _, code in added],
                    source_names=[thing.name for thing, _ in added],
                    source_scores=[thing.score for thing, _ in added],
                ),
            ]
        )
        return every, tuple(_proposals(of_one) for of_one in [*heard, *(thing.heard for thing, _ in added)])

    def _judge(self, found: Instances, ours: torch.Tensor) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """(K,) scores of the sure instances, (N, K) their IoU with our masks, and (k, h, w) logits of the others."""
        sure = found.scores >= self._thresh
        logits, scores = found.logits[sure].float(), found.scores[sure]
        iou = overlaps(ours, logits)
        alone = ~(iou >= SAME_IOU).any(0)
        return scores.cpu().numpy(), iou.cpu().numpy(), logits[alone]

    def _add(self, things: Sequence[_Thing], size_hw: tuple[int, int]) -> list[tuple[_Thing, bytes]]:
        """Things with the codes of their masks at the image's size; those that have no pixel there are left out."""
        added = []
        for thing in things:
            plane = torch.nn.functional.interpolate(
                thing.logits[None, None], size_hw, mode="bilinear", align_corners=False
            )
            mask = (plane[0, 0] > 0).cpu().numpy()
            if mask.any():
                added.append((thing, rle.encode(mask)))
        return added


def _distinct(things: list[_Thing]) -> list[_Thing]:
    """The surest of those that overlap, each with what all of them call it."""
    kept, cells = list[_Thing](), torch.zeros(0)
    for thing in sorted(things, key=lambda thing: -thing.score):
        inside = (thing.logits > 0).float().reshape(1, -1)
        if not inside.any():
            continue
        cells = cells if kept else inside[:0]
        shared = (cells @ inside.T)[:, 0]  # whole numbers, exact in any order
        iou = (shared / (cells.sum(1) + inside.sum() - shared)).cpu().numpy()
        same = np.flatnonzero(iou >= SAME_IOU)
        if not len(same):
            thing.heard[thing.name] = thing.score
            kept.append(thing)
            cells = torch.cat([cells, inside])
        for index in same:
            _hear(kept[index].heard, thing.name, float(thing.score * iou[index]))
    return kept


def _hear(heard: dict[str, float], name: str, score: float) -> None:
    heard[name] = max(score, heard.get(name, 0.0))


def _proposals(heard: dict[str, float]) -> Proposals:
    ranked = sorted(heard.items(), key=lambda entry: -entry[1])
    return Proposals(tuple(name for name, _ in ranked), tuple(min(score, 1.0) for _, score in ranked))


def share_backbone(concepts: Concepts, sam: Any) -> bool:
    """Let a SAM 3's concepts and its tracker look at an image once; False where their backbones are not the same."""
    theirs = getattr(getattr(getattr(sam, "model", None), "vision_encoder", None), "backbone", None)
    ours = concepts.network.vision_encoder.backbone
    if theirs is None or type(theirs) is not type(ours) or concepts.side != sam.side:
        return False
    one, other = theirs.state_dict(), ours.state_dict()
    if one.keys() != other.keys() or not all(torch.equal(value, other[name]) for name, value in one.items()):
        return False
    shared = SharedBackbone(theirs)
    concepts.network.vision_encoder.backbone = sam.model.vision_encoder.backbone = shared
    concepts.prepare = lambda image: sam.pixels(image.cpu().numpy())  # the same to the last bit
    return True


class SharedBackbone(torch.nn.Module):
    """A backbone that remembers the last image it looked at."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.looks = 0
        self._last: tuple[torch.Tensor, Any] | None = None

    def forward(self, pixel_values: torch.Tensor, **options: Any) -> Any:
        """What the backbone makes of (1, 3, side, side) pixels."""
        if self._last is None or not torch.equal(self._last[0], pixel_values):
            self._last = None  # before the next one takes memory
            self._last = pixel_values, self.backbone(pixel_values, **options)
            self.looks += 1
        return self._last[1]
