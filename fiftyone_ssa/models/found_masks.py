"""Masks on their way from a model's answer to a MaskSet: filtered by boxes, drawn, cleaned of small regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.masks import rle as masks
from fiftyone_ssa.masks.regions import merged, remove_small_regions
from fiftyone_ssa.masks.runs import Runs
from fiftyone_ssa.models.devices import Chunks
from fiftyone_ssa.models.lowres import Frame, Outline, Planes
from fiftyone_ssa.models.mask_windows import Windows
from fiftyone_ssa.types import Floats, Ints, MaskSet

CROP_EDGE_PX = 20
"""A mask this close to the edge of a crop, but not of the image, is cut off and dropped (segment_anything)."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """One image, or a crop of one, as a model has encoded it."""

    features: Any
    """What the model's `decode` wants; only the model knows it."""
    frame: Frame


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop that the model has encoded, and what it will be asked."""

    encoding: Encoding
    xyxy: tuple[int, int, int, int]
    """Where it lies in the image, x1 and y1 exclusive."""
    size_hw: tuple[int, int]
    """Of the image."""
    side: int
    """Points along a side of its grid."""
    points_xy: Floats
    """(side * side, 2) in the crop's pixels, row by row."""
    enlarging: Chunks
    """How many masks are enlarged at a time."""


@dataclass(frozen=True, eq=False)
class Passing:
    """One mask that may pass, its measures still on the device."""

    iou: np.float32
    numbers: torch.Tensor
    """(6,) as `lowres.Planes.measure` gives them, in the crop's pixels."""
    kept: Any
    """What its outline is made of; only the enlarger knows it."""
    enlarger: Planes | Windows


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask that passes, before anything is drawn of it."""

    source: Passing
    crop: Crop
    box_xyxy: Ints
    """(4,) first and last column and row, in the image."""
    stability_score: np.float32
    point_xy: Floats
    """In the image."""


@dataclass(frozen=True, eq=False)
class Found:
    """One mask on its way to a MaskSet."""

    candidate: Candidate
    starts: Ints
    """Ascending offsets into the column-major image where runs of 1 begin, each run inside one column."""
    ends: Ints
    """Where they end, exclusive."""
    box_xyxy: Ints
    """(4,) first and last column and row."""


Boxed = TypeVar("Boxed", Candidate, Found)


def place(outline: Outline, candidate: Candidate) -> Found:
    """A candidate's outline, found in its crop, in the image's frame."""
    x0, y0 = candidate.crop.xyxy[:2]
    offsets = (outline.columns + x0) * candidate.crop.size_hw[0] + outline.rows + y0
    return Found(candidate, offsets[::2], offsets[1::2], candidate.box_xyxy)


def near_crop_edge(
    boxes_xyxy: Ints, crop_xyxy: tuple[int, int, int, int], size_hw: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """(N,) whether masks' (N, 4) boxes come near an edge of their crop that is no edge of the image."""
    image_xyxy = (0, 0, size_hw[1], size_hw[0])
    near_crop = np.abs(boxes_xyxy - np.array(crop_xyxy)) <= CROP_EDGE_PX
    near_image = np.abs(boxes_xyxy - np.array(image_xyxy)) <= CROP_EDGE_PX
    near: npt.NDArray[np.bool_] = (near_crop & ~near_image).any(1)
    return near


def without_duplicates(found: list[Boxed], scores: Any, threshold: float) -> list[Boxed]:
    """Best score first, without the masks whose box overlaps a better one's by an IoU above `threshold`."""
    from torchvision.ops import nms  # torchvision takes a second to import, and given masks need none of it

    if not found:
        return []
    boxes = torch.from_numpy(np.stack([mask.box_xyxy for mask in found])).float()
    kept = nms(boxes, torch.as_tensor(np.asarray(scores, np.float32)), threshold)
    return [found[index] for index in kept.tolist()]


def without_small_regions(found: list[Found], size_hw: tuple[int, int], min_area: int, threshold: float) -> list[Found]:
    """Masks without holes and islands under `min_area` pixels, then without duplicates, unchanged ones preferred."""
    if not found:
        return []
    bounds = np.cumsum([0, *(len(mask.starts) for mask in found)])
    runs = Runs(np.concatenate([m.starts for m in found]), np.concatenate([m.ends for m in found]), bounds)
    runs, changed = remove_small_regions(runs, size_hw, min_area)
    boxes, _ = masks.boxes_and_areas(runs, size_hw[0])
    boxes[:, 2:] += boxes[:, :2] - 1
    cleaned = [Found(mask.candidate, *runs[index], boxes[index]) for index, mask in enumerate(found)]
    return without_duplicates(cleaned, ~changed, threshold)


def to_mask_set(found: list[Found], size_hw: tuple[int, int]) -> MaskSet:
    """The masks as run-length codes, with what the model said of each."""
    if not found:
        return MaskSet.empty(size_hw)
    pixels = size_hw[0] * size_hw[1]
    boxes = np.stack([mask.box_xyxy for mask in found])
    crops = np.array([mask.candidate.crop.xyxy for mask in found])
    return masks.mask_set(
        size_hw,
        [masks.counts_from_intervals(*merged(mask.starts, mask.ends), pixels) for mask in found],
        source_boxes_xywh=np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
        predicted_iou=[mask.candidate.source.iou for mask in found],
        stability_score=[mask.candidate.stability_score for mask in found],
        points_xy=[mask.candidate.point_xy for mask in found],
        crop_boxes_xywh=np.hstack([crops[:, :2], crops[:, 2:] - crops[:, :2]]),
    )
