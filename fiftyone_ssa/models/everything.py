"""Everything-mode: all masks of one image from grids of points, with any model that answers points.

Method, settings and the order of steps (a crop, its batches of points, their masks) are those of segment_anything's
SamAutomaticMaskGenerator. One thing is ours: `answered_iou_thresh` leaves out points that a mask has answered. The
quickstart's small SAM is so asked a sixth of its points in a fifth of the time, and finds four fifths of the masks; it
has been tried with no published SAM, and no preset with one sets it.
Masks are filtered where they are small, enlarged a few at a time and kept as runs, so that memory depends on the batch,
not on the image or the number of masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops import nms

from fiftyone_ssa.masks import rle as masks
from fiftyone_ssa.masks.regions import merged, remove_small_regions
from fiftyone_ssa.models.devices import Chunks
from fiftyone_ssa.models.lowres import Frame, Outline, outlines, stability_bound
from fiftyone_ssa.models.point_grids import crop_boxes, point_grid, turns
from fiftyone_ssa.presets import Masks
from fiftyone_ssa.types import Floats, Image, Ints, MaskSet

DECODED_PIXELS_CPU = 2 * 1024**2
"""What a model sees (its side squared) times the points that a CPU decodes at a time. Of SAM 2.1's decoder a point
takes 42 ms of a core where 2 are decoded, 54 where 8 and 56 where 16: larger buffers are given back to the system after
each operation and faulted in again for the next. 64 of a model of 192 pixels beat 8 by a sixth, in fewer calls."""
ENLARGED_PIXELS = {"cpu": 2**23, "cuda": 2**26}
"""Pixels of masks enlarged at a time, ten bytes each; an image larger than this is enlarged one mask at a time."""
CROP_EDGE_PX = 20
"""A mask this close to the edge of a crop, but not of the image, is cut off and dropped (segment_anything)."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """One image, or a crop of one, as a model has encoded it."""

    features: Any
    """What the model's `decode` wants; only the model knows it."""
    frame: Frame


class PointModel(Protocol):
    """A model that encodes an image once and then answers points with masks."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def side(self) -> int:
        """Pixels of the longer side that it sees."""

    def encode(self, image: Image) -> Encoding:
        """The encoding of one (H, W, 3) uint8 RGB image."""

    def decode(self, encoding: Encoding, points_xy: Floats) -> tuple[torch.Tensor, torch.Tensor]:
        """M masks for each of (P, 2) points in the image's pixels: (P, M, h, w) logits and (P, M) predicted IoU.

        Both float32 on the device; a logit above zero is inside.
        """


@dataclass(frozen=True, eq=False)
class Found:
    """One mask on its way to a MaskSet."""

    starts: Ints
    """Ascending offsets into the column-major image where runs of 1 begin, each run inside one column."""
    ends: Ints
    """Where they end, exclusive."""
    box_xyxy: Ints
    """(4,) first and last column and row."""
    predicted_iou: np.float32
    stability_score: np.float32
    point_xy: Floats
    crop_xyxy: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class _Crop:
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


class EverythingGenerator:
    """Every mask a point model finds in an image, in the order in which segment_anything gives them.

    With `parallel` an image's crops are worked on side by side: for small models on the CPU (`devices.is_small`).
    """

    def __init__(self, model: PointModel, settings: Masks, *, parallel: bool = False) -> None:
        self.model = model
        self.settings = settings
        self._crops = Chunks(1, "crops", parallel=parallel)
        most = max(1, DECODED_PIXELS_CPU // model.side**2) if model.device.type == "cpu" else settings.points_per_batch
        self._decoding = Chunks(min(settings.points_per_batch, most), "decoding points", pad=False)

    @torch.inference_mode()
    def __call__(self, image: Image) -> MaskSet:
        """Masks of one (H, W, 3) uint8 RGB image; an empty set where none passes."""
        settings = self.settings
        size_hw = (image.shape[0], image.shape[1])
        crops = crop_boxes(size_hw, settings.crop_n_layers, settings.crop_overlap_ratio)
        found = list(chain.from_iterable(self._crops.map(lambda some: [self._process_crop(image, *some[0])], crops)))
        if len(crops) > 1:  # a mask from a smaller crop is finer
            areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (mask.crop_xyxy for mask in found)]
            found = without_duplicates(found, 1 / np.array(areas, np.float32), settings.crop_nms_thresh)
        if settings.min_mask_region_area > 0:
            threshold = max(settings.box_nms_thresh, settings.crop_nms_thresh)
            found = without_small_regions(found, size_hw, settings.min_mask_region_area, threshold)
        return to_mask_set(found, size_hw)

    def _process_crop(self, image: Image, crop_xyxy: tuple[int, int, int, int], layer: int) -> list[Found]:
        """The masks of one crop, best predicted IoU first."""
        crop = self._encode(image, crop_xyxy, layer)
        found = self._ask_in_turns(crop) if self.settings.answered_iou_thresh > 0 else self._ask_all(crop)
        return without_duplicates(found, [mask.predicted_iou for mask in found], self.settings.box_nms_thresh)

    def _encode(self, image: Image, crop_xyxy: tuple[int, int, int, int], layer: int) -> _Crop:
        x0, y0, x1, y1 = crop_xyxy
        encoding = self.model.encode(image[y0:y1, x0:x1])
        frame = encoding.frame
        pixels = max(frame.size_hw[0] * frame.size_hw[1], frame.side**2)
        at_a_time = max(1, ENLARGED_PIXELS[self.model.device.type] // pixels)
        side = max(1, int(self.settings.points_per_side / self.settings.crop_n_points_downscale_factor**layer))
        return _Crop(
            encoding,
            crop_xyxy,
            size_hw=(image.shape[0], image.shape[1]),
            side=side,
            points_xy=point_grid(side) * [x1 - x0, y1 - y0],
            enlarging=Chunks(at_a_time, "enlarging masks", pad=False),
        )

    def _ask_all(self, crop: _Crop) -> list[Found]:
        """The masks at every point, in the points' order."""

        def process(points: Sequence[Floats]) -> list[list[Found]]:
            points_xy = np.stack(points)
            return self._process_batch(crop, points_xy, *self.model.decode(crop.encoding, points_xy))

        return list(chain.from_iterable(self._decoding.map(process, list(crop.points_xy))))

    def _ask_in_turns(self, crop: _Crop) -> list[Found]:
        """The masks at every point that no mask of an earlier turn has answered, in the points' order."""

        def process(points: Sequence[Floats]) -> list[tuple[list[Found], npt.NDArray[np.bool_]]]:
            points_xy = np.stack(points)
            logits, ious = self.model.decode(crop.encoding, points_xy)
            found = self._process_batch(crop, points_xy, logits, ious)
            return list(zip(found, self._answered(crop, logits, ious), strict=True))

        found_at: list[list[Found]] = [[] for _ in crop.points_xy]
        left = np.ones(len(crop.points_xy), bool)
        for turn in turns(crop.side):
            asked = turn[left[turn]]
            for index, (found, answered) in zip(
                asked, self._decoding.map(process, list(crop.points_xy[asked])), strict=True
            ):
                found_at[index] = found
                left &= ~answered
        return list(chain.from_iterable(found_at))

    def _process_batch(
        self, crop: _Crop, points_xy: Floats, logits: torch.Tensor, ious: torch.Tensor
    ) -> list[list[Found]]:
        """For each of (P, 2) points its masks that pass, of (P, M, h, w) logits and (P, M) predicted IoU."""
        found: list[list[Found]] = [[] for _ in points_xy]
        for index, iou, outline in self._passing(crop, logits, ious):
            mask = place(outline, crop.xyxy, crop.size_hw, iou, points_xy[index])
            if not near_crop_edge(mask.box_xyxy, crop.xyxy, crop.size_hw):
                found[index].append(mask)
        return found

    def _answered(self, crop: _Crop, logits: torch.Tensor, ious: torch.Tensor) -> npt.NDArray[np.bool_]:
        """(P, G) which of the crop's G points lie in the smallest mask of (P, M, h, w) logits, if it is sure."""
        sides = np.array([logits.shape[3], logits.shape[2]])
        frame = crop.encoding.frame
        cells = (frame.to_input(crop.points_xy) * sides / frame.side).astype(np.int64).clip(max=sides - 1)
        columns, rows = torch.as_tensor(cells.T, device=logits.device)
        inside = logits > 0
        smallest = inside.sum((2, 3)).argmin(1)
        each = torch.arange(len(logits), device=logits.device)
        sure = ious[each, smallest] >= self.settings.answered_iou_thresh
        held = inside[each, smallest][:, rows, columns] & sure[:, None]
        answered: npt.NDArray[np.bool_] = held.cpu().numpy()
        return answered

    def _passing(
        self, crop: _Crop, answers: torch.Tensor, answered_iou: torch.Tensor
    ) -> list[tuple[int, np.float32, Outline]]:
        """Point index, predicted IoU and outline of every mask that passes both thresholds and is not empty."""
        settings, frame = self.settings, crop.encoding.frame
        logits, ious = answers.flatten(0, 1), answered_iou.flatten().cpu().numpy()
        kept = np.arange(len(ious))
        # zero or less turns a threshold off, as in segment_anything
        if settings.pred_iou_thresh > 0:
            kept = kept[ious > settings.pred_iou_thresh]
        offset, stable_from = settings.stability_score_offset, settings.stability_score_thresh
        if stable_from > 0 and len(kept):
            bound = stability_bound(logits[torch.as_tensor(kept, device=logits.device)], frame, offset)
            kept = kept[~(bound < stable_from).cpu().numpy()]

        def enlarge(rows: Sequence[int]) -> list[Outline]:
            return outlines(logits[torch.as_tensor(rows, device=logits.device)], frame, offset)

        return [
            (int(row) // answers.shape[1], ious[row], outline)
            for row, outline in zip(kept, crop.enlarging.map(enlarge, kept.tolist()), strict=True)
            if len(outline.columns) and (stable_from <= 0 or outline.stability_score >= stable_from)
        ]


def place(
    outline: Outline, crop_xyxy: tuple[int, int, int, int], size_hw: tuple[int, int], iou: np.float32, point_xy: Floats
) -> Found:
    """An outline found in a crop, in the image's frame."""
    x0, y0 = crop_xyxy[:2]
    offsets = (outline.columns + x0) * size_hw[0] + outline.rows + y0
    return Found(
        starts=offsets[::2],
        ends=offsets[1::2],
        box_xyxy=outline.box_xyxy + np.array([x0, y0, x0, y0]),
        predicted_iou=iou,
        stability_score=outline.stability_score,
        point_xy=point_xy + np.array([x0, y0]),
        crop_xyxy=crop_xyxy,
    )


def near_crop_edge(box_xyxy: Ints, crop_xyxy: tuple[int, int, int, int], size_hw: tuple[int, int]) -> bool:
    """Whether a mask's box comes near an edge of its crop that is no edge of the image."""
    image_xyxy = (0, 0, size_hw[1], size_hw[0])
    near_crop = np.abs(box_xyxy - np.array(crop_xyxy)) <= CROP_EDGE_PX
    near_image = np.abs(box_xyxy - np.array(image_xyxy)) <= CROP_EDGE_PX
    return bool(np.any(near_crop & ~near_image))


def without_duplicates(found: list[Found], scores: Any, threshold: float) -> list[Found]:
    """Best score first, without the masks whose box overlaps a better one's by an IoU above `threshold`."""
    if not found:
        return []
    boxes = torch.from_numpy(np.stack([mask.box_xyxy for mask in found])).float()
    kept = nms(boxes, torch.as_tensor(np.asarray(scores, np.float32)), threshold)
    return [found[index] for index in kept.tolist()]


def without_small_regions(found: list[Found], size_hw: tuple[int, int], min_area: int, threshold: float) -> list[Found]:
    """Masks without holes and islands under `min_area` pixels, then without duplicates, unchanged ones preferred."""
    cleaned, scores = [], []
    for mask in found:
        starts, ends, changed = remove_small_regions(mask.starts, mask.ends, size_hw, min_area)
        columns, rows = np.divmod(np.stack([starts, ends - 1]), size_hw[0])
        box = np.array([columns[0, 0], rows[0].min(), columns[1, -1], rows[1].max()])
        cleaned.append(replace(mask, starts=starts, ends=ends, box_xyxy=box) if changed else mask)
        scores.append(float(not changed))
    return without_duplicates(cleaned, scores, threshold)


def to_mask_set(found: list[Found], size_hw: tuple[int, int]) -> MaskSet:
    """The masks as run-length codes, with what the model said of each."""
    if not found:
        return MaskSet.empty(size_hw)
    encode: Callable[[Ints, Ints], bytes] = partial(masks.counts_from_intervals, pixels=size_hw[0] * size_hw[1])
    boxes = np.stack([mask.box_xyxy for mask in found])
    crops = np.array([mask.crop_xyxy for mask in found])
    return masks.mask_set(
        size_hw,
        [encode(*merged(mask.starts, mask.ends)) for mask in found],
        source_boxes_xywh=np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
        predicted_iou=[mask.predicted_iou for mask in found],
        stability_score=[mask.stability_score for mask in found],
        points_xy=[mask.point_xy for mask in found],
        crop_boxes_xywh=np.hstack([crops[:, :2], crops[:, 2:] - crops[:, :2]]),
    )
