"""Masks that have names: what an instance or panoptic segmenter finds, each with its class and score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.models.class_names import published_names, stuff_ids
from fiftyone_ssa.models.segmenters import THINGS, HuggingFaceSegmenter
from fiftyone_ssa.presets import Masks
from fiftyone_ssa.types import Image, MaskSet

KINDS = ("mask2former", "maskformer", "oneformer", "eomt", "eomt_dinov3", *THINGS)
"""`model_type`s whose queries are masks with a class."""
VISIBLE = 0.8
"""Of a panoptic mask at least this share must win over the others; the families' own."""


@dataclass(frozen=True, eq=False)
class Queries:
    """What a network says of an image: Q masks on its own grid, each with its best class."""

    logits: torch.Tensor
    """(Q, h, w) float32, above 0 inside."""
    scores: torch.Tensor
    """(Q,) the probability of the class."""
    labels: torch.Tensor
    """(Q,) class ids; the number of classes where a query found nothing."""

    def __getitem__(self, chosen: torch.Tensor) -> Queries:
        return Queries(self.logits[chosen], self.scores[chosen], self.labels[chosen])


class Detector:
    """Everything that a Mask2Former, MaskFormer, OneFormer, EoMT or RF-DETR finds, by its Hugging Face id or folder.

    `panoptic`: each pixel belongs to one mask, and stuff (sky, grass) is one mask a class. `instance`: each query's own
    mask; they may overlap. Of `Masks` only `model`, `task` and `score_thresh` are read.
    Raises InputError if the model cannot be loaded, or was trained for class maps, with what to do.
    """

    def __init__(self, settings: Masks, config: Any, device: torch.device, dtype: torch.dtype) -> None:
        model = settings.model
        _check_semantic("semantic" in Path(model).name.lower(), model)
        has_stuff = bool(stuff_ids(published_names(config.id2label)))
        self.task = settings.task if settings.task != "auto" else "panoptic" if has_stuff else "instance"
        self._network = HuggingFaceSegmenter(model, device, dtype, task=self.task, what="masks")
        _check_semantic(getattr(self._network.processor, "do_split_image", False), model)
        self._names = tuple(name.strip() for name in self._network.classes)
        self._stuff = stuff_ids(self._names)
        places = [*map(self._names.index, self._names), len(self._names)]  # classes of one name are one
        self._ids = torch.tensor(places, device=device)
        self._thresh = settings.score_thresh

    def __call__(self, image: Image) -> MaskSet:
        """Its masks, the surest first, with their names and scores."""
        size_hw = (image.shape[0], image.shape[1])
        queries = self.queries(image)
        if self.task == "panoptic":
            found = panoptic_masks(queries, size_hw, self._thresh, len(self._names), self._stuff)
        else:
            found = instance_masks(queries, size_hw, self._thresh, by_masks=self._network.kind not in THINGS)
        found.sort(key=lambda entry: -entry.score)
        return rle.mask_set(
            size_hw,
            [rle.encode(entry.mask) for entry in found],
            source_names=[self._names[entry.label] for entry in found],
            source_scores=[entry.score for entry in found],
        )

    @torch.inference_mode()
    def queries(self, image: Image) -> Queries:
        """What the network says of an image."""
        outputs, offsets = self._network.answer(image)
        logits = self._network.query_masks(outputs)
        if self._network.kind.startswith("eomt"):
            logits = self._network.merge_patches(logits, offsets, (image.shape[0], image.shape[1]))[None]
        if self._network.kind in THINGS:
            scores, labels = outputs["logits"][0].float().sigmoid().max(-1)
            return Queries(logits[0], scores, self._ids[labels])
        shares = outputs["class_queries_logits"][0].float().softmax(-1)
        scores, labels = shares.max(-1) if self.task == "panoptic" else shares[:, :-1].max(-1)
        return Queries(logits[0], scores, self._ids[labels])


@dataclass(frozen=True, eq=False)
class Detection:
    """A mask (H, W) bool, its class id, and how sure the network is of both, in [0, 1]."""

    mask: npt.NDArray[np.bool_]
    label: int
    score: float


@torch.inference_mode()
def panoptic_masks(
    queries: Queries, size_hw: tuple[int, int], thresh: float, classes: int, stuff: frozenset[int]
) -> list[Detection]:
    """Masks of which each pixel has at most one: that of the highest score times probability there, if that is half.

    The rule of Mask2Former's authors, which EoMT's processor has kept and the other families' have not quite; one query
    at a time, so that no (Q, H, W) is held.
    """
    chosen = queries[(queries.labels < classes) & (queries.scores > thresh)]
    count = len(chosen.scores)
    best = torch.zeros(size_hw, device=chosen.logits.device)
    owners = torch.full(size_hw, -1, dtype=torch.int16, device=best.device)
    sure, own_px = torch.zeros(size_hw, dtype=torch.bool, device=best.device), []
    for index in range(count):
        shares = _enlarge(chosen.logits[index], size_hw).sigmoid()
        inside, weighed = shares >= 0.5, shares * chosen.scores[index]
        own_px.append(inside.count_nonzero())
        wins = weighed > best  # ties to the first
        owners.masked_fill_(wins, index)
        sure, best = torch.where(wins, inside, sure), torch.maximum(best, weighed)
    winners = owners.cpu().numpy()
    visible_px = np.bincount(winners.ravel() + 1, minlength=count + 1)[1:]
    winners[~sure.cpu().numpy()] = -1
    merged: dict[int, list[int]] = {}
    for index, (visible, own, label) in enumerate(zip(visible_px, own_px, chosen.labels.tolist(), strict=True)):
        if visible and int(own) and visible > VISIBLE * int(own):
            merged.setdefault(label if label in stuff else -1 - index, []).append(index)
    found = [
        Detection(np.isin(winners, of_one), int(chosen.labels[of_one[0]]), float(chosen.scores[of_one].max()))
        for of_one in merged.values()
    ]
    return [entry for entry in found if entry.mask.any()]


@torch.inference_mode()
def instance_masks(
    queries: Queries, size_hw: tuple[int, int], thresh: float, *, by_masks: bool = True
) -> list[Detection]:
    """Each query's own mask; those that score at least `thresh`: `by_masks`, their mean probability inside counts."""
    scores = queries.scores
    if by_masks:
        inside = (queries.logits > 0).float()
        scores = scores * (queries.logits.sigmoid() * inside).sum((1, 2)) / (inside.sum((1, 2)) + 1e-6)
    found = []
    for index in (scores >= thresh).nonzero()[:, 0].tolist():
        mask = (_enlarge(queries.logits[index], size_hw) > 0).cpu().numpy()
        if mask.any():
            found.append(Detection(mask, int(queries.labels[index]), float(scores[index])))
    return found


def _enlarge(logits: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """(H, W) of (h, w) logits."""
    return torch.nn.functional.interpolate(logits[None, None], size_hw, mode="bilinear", align_corners=False)[0, 0]


def _check_semantic(is_semantic: bool, model: str) -> None:
    if is_semantic:
        raise InputError(
            f"cannot load masks: {model} is trained for class maps, and does not tell things of one class apart; "
            "give a panoptic or instance checkpoint, or name it as semantic.model"
        )
