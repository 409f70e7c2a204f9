"""SAM 3 beside another source of masks: what it finds of a vocabulary names masks, and what only it found is added."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.masks import rle
from fiftyone_ssa.models import MaskGenerator
from fiftyone_ssa.models.concepts import Concepts, Instances, on_grid, overlaps
from fiftyone_ssa.models.everything import EverythingGenerator
from fiftyone_ssa.types import Image, MaskSet, Proposals

WHAT = "concepts"
TAKES = "a SAM 3 (facebook/sam3, say)"
Mask = npt.NDArray[np.bool_]
SAME_IOU = 0.5
"""A thing that a concept found and a mask that overlap by this much are the same."""


@dataclass(frozen=True, eq=False)
class _Outline:
    """All of a thing's (h, w) logits that its mask at the image's size is made of; about a hundredth of their memory.

    A pixel lies among four cells. Where they are all inside, or all outside, so is it, whatever their logits are; so
    those logits are kept whose cells lie in a square of four with one of the other side.
    """

    cells: bytes
    """The code of the (h, w) cells inside."""
    border: npt.NDArray[np.float32]
    """(cells at the border,) their logits, row by row."""

    @classmethod
    def of(cls, logits: npt.NDArray[np.float32]) -> _Outline:
        inside = logits > 0
        return cls(rle.encode(inside), logits[_at_border(inside)])

    def enlarged(self, grid_hw: tuple[int, int], size_hw: tuple[int, int], device: torch.device) -> Mask:
        """(H, W) which pixels lie inside."""
        inside = rle.decode(self.cells, grid_hw)
        logits = np.where(inside, np.float32(1), np.float32(-1))
        logits[_at_border(inside)] = self.border
        cells = torch.from_numpy(logits).to(device)[None, None]
        plane = torch.nn.functional.interpolate(cells, size_hw, mode="bilinear", align_corners=False)
        mask: Mask = (plane[0, 0] > 0).cpu().numpy()
        return mask


def _at_border(inside: Mask) -> Mask:
    """(h, w) cells that lie, with one on the other side, in a square of four."""
    corners = inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]
    mixed = np.logical_or.reduce(corners) & ~np.logical_and.reduce(corners)
    found = np.zeros_like(inside)
    for corner in (found[:-1, :-1], found[:-1, 1:], found[1:, :-1], found[1:, 1:]):
        corner |= mixed
    return found


@dataclass(eq=False)
class _Thing:
    """What a concept found where there is no mask."""

    name: str
    score: float
    outline: _Outline
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
        # what stays is copied once the planes are gone: among them it would keep their memory from being used again
        found = self.concepts.find(seen, names, lambda instances: deepcopy(self._judge(instances, ours)))
        heard: list[dict[str, float]] = [{} for _ in range(len(masks))]
        things = []
        for name, (scores, iou, outlines) in zip(names, found, strict=True):
            for row, column in np.argwhere(iou >= SAME_IOU).tolist():
                _hear(heard[row], name, float(scores[column] * iou[row, column]))
            alone = np.flatnonzero(~(iou >= SAME_IOU).any(0))
            things += [_Thing(name, float(scores[i]), outline) for i, outline in zip(alone, outlines, strict=True)]
        added = self._add(_distinct(things, self.concepts.grid_hw), masks.size_hw)
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

    def _judge(self, found: Instances, ours: torch.Tensor) -> tuple[np.ndarray, np.ndarray, list[_Outline]]:
        """(K,) scores of the sure instances, (N, K) their IoU with our masks, and the others' outlines."""
        sure = found.scores >= self._thresh
        logits, scores = found.logits[sure].float(), found.scores[sure]
        iou = overlaps(ours, logits)
        alone = ~(iou >= SAME_IOU).any(0)
        return scores.cpu().numpy(), iou.cpu().numpy(), list(map(_Outline.of, logits[alone].cpu().numpy()))

    def _add(self, things: Sequence[_Thing], size_hw: tuple[int, int]) -> list[tuple[_Thing, bytes]]:
        """Things with the codes of their masks at the image's size; those that have no pixel there are left out."""
        masks = (thing.outline.enlarged(self.concepts.grid_hw, size_hw, self._device) for thing in things)
        return [(thing, rle.encode(mask)) for thing, mask in zip(things, masks, strict=True) if mask.any()]


def _distinct(things: list[_Thing], grid_hw: tuple[int, int]) -> list[_Thing]:
    """The surest of those that overlap, each with what all of them call it."""
    kept: list[tuple[_Thing, npt.NDArray[np.uint8], int]] = []
    for thing in sorted(things, key=lambda thing: -thing.score):
        bits = np.packbits(rle.decode(thing.outline.cells, grid_hw))
        area = _count(bits)
        same = False
        for other, theirs, size in kept:
            if min(area, size) >= SAME_IOU * max(area, size):  # others cannot overlap by so much
                shared = _count(bits & theirs)
                iou = shared / max(area + size - shared, 1)
                if iou >= SAME_IOU:
                    same = True
                    _hear(other.heard, thing.name, thing.score * iou)
        if area and not same:
            thing.heard[thing.name] = thing.score
            kept.append((thing, bits, area))
    return [thing for thing, *_ in kept]


def _count(bits: npt.NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(np.unpackbits(bits)))


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
