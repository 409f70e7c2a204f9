"""Everything-mode: all masks of one image from grids of points, with any model that answers points.

Method, settings and the order of steps (a crop, its batches of points, their masks) are those of segment_anything's
SamAutomaticMaskGenerator. One thing is ours: `answered_iou_thresh` leaves out points that a mask has answered. The
quickstart's small SAM is so asked a sixth of its points in a fifth of the time, and finds four fifths of the masks; it
has been tried with no published SAM, and no preset with one sets it.
Masks are filtered where they are small, enlarged a few at a time, measured and dropped; what thresholds and overlaps
leave becomes runs. So memory depends on the batch, not on the image, and little on the number of masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.models.devices import Chunks, double, upload
from fiftyone_ssa.models.found_masks import (
    Candidate,
    Crop,
    Encoding,
    Found,
    Passing,
    near_crop_edge,
    place,
    to_mask_set,
    without_duplicates,
    without_small_regions,
)
from fiftyone_ssa.models.lowres import Frame, Planes, areas, stability_bound
from fiftyone_ssa.models.mask_windows import Windows, are_worth_it
from fiftyone_ssa.models.point_grids import crop_boxes, point_grid, turns
from fiftyone_ssa.presets import Masks
from fiftyone_ssa.types import Floats, Image, MaskSet

DECODED_PIXELS_CPU = 2 * 1024**2
"""What a model sees (its side squared) times the points that a CPU decodes at a time. Of SAM 2.1's decoder a point
takes 42 ms of a core where 2 are decoded, 54 where 8 and 56 where 16: larger buffers are given back to the system after
each operation and faulted in again for the next. 64 of a model of 192 pixels beat 8 by a sixth, in fewer calls."""
ENLARGED_PIXELS = {"cpu": 2**23, "cuda": 2**26, "mps": 2**24}
"""Pixels of masks enlarged at a time, ten bytes each; an image larger than this is enlarged one mask at a time."""
ENCODED_CROPS = {"cpu": 1, "cuda": 4, "mps": 1}
"""Crops that go through the encoder at a time; on the CPU a batch gains nothing and changes last bits."""


class PointModel(Protocol):
    """A model that encodes an image once and then answers points with masks."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def side(self) -> int:
        """Pixels of the longer side that it sees."""

    def encode_all(self, images: Sequence[Image]) -> list[Encoding]:
        """The encoding of each (H, W, 3) uint8 RGB image, of all in one batch."""

    def decode(self, encoding: Encoding, points_xy: Floats, from_iou: float) -> tuple[torch.Tensor, torch.Tensor]:
        """M masks for each of (P, 2) points in the image's pixels: (P, M, h, w) logits and (P, M) predicted IoU.

        Both float32 on the device; a logit above zero is inside. Masks of a point may be empty where all of them have a
        predicted IoU below `from_iou`.
        """


class EverythingGenerator:
    """Every mask a point model finds in an image, in the order in which segment_anything gives them.

    With `parallel` an image's crops are worked on side by side: for small models on the CPU (`devices.is_small`).
    """

    def __init__(self, model: PointModel, settings: Masks, *, parallel: bool = False) -> None:
        self.model = model
        self.settings = settings
        kind = model.device.type
        self._encoding = Chunks(ENCODED_CROPS[kind], "encoding crops", pad=False, parallel=parallel)
        self._crops = Chunks(1, "crops", parallel=parallel)
        most = max(1, DECODED_PIXELS_CPU // model.side**2) if kind == "cpu" else settings.points_per_batch
        self._decoding = Chunks(
            min(settings.points_per_batch, most), "decoding points", pad=False, parallel=kind == "cpu"
        )
        self._from_iou = -math.inf  # zero or less turns that threshold off, as in segment_anything
        if settings.pred_iou_thresh > 0:
            self._from_iou = min(settings.pred_iou_thresh, settings.answered_iou_thresh or math.inf)
        self._enlarging: dict[int, Chunks] = {}

    @torch.inference_mode()
    def __call__(self, image: Image) -> MaskSet:
        """Masks of one (H, W, 3) uint8 RGB image; an empty set where none passes."""
        settings = self.settings
        size_hw = (image.shape[0], image.shape[1])
        boxes = crop_boxes(size_hw, settings.crop_n_layers, settings.crop_overlap_ratio)
        encodings = self._encoding.map(self.model.encode_all, [image[y0:y1, x0:x1] for (x0, y0, x1, y1), _ in boxes])
        crops = [self._crop(encoding, size_hw, *box) for encoding, box in zip(encodings, boxes, strict=True)]
        candidates = list(chain.from_iterable(self._crops.map(lambda some: [self._process_crop(*some)], crops)))
        if len(crops) > 1:  # a mask from a smaller crop is finer
            areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (mask.crop.xyxy for mask in candidates)]
            candidates = without_duplicates(candidates, 1 / np.array(areas, np.float32), settings.crop_nms_thresh)
        found = self._draw(candidates)
        if settings.min_mask_region_area > 0:
            threshold = max(settings.box_nms_thresh, settings.crop_nms_thresh)
            found = without_small_regions(found, size_hw, settings.min_mask_region_area, threshold)
        return to_mask_set(found, size_hw)

    def _crop(self, encoding: Encoding, size_hw: tuple[int, int], xyxy: tuple[int, int, int, int], layer: int) -> Crop:
        x0, y0, x1, y1 = xyxy
        frame = encoding.frame
        pixels = max(frame.size_hw[0] * frame.size_hw[1], frame.side**2)
        at_a_time = 1 << (max(1, ENLARGED_PIXELS[self.model.device.type] // pixels).bit_length() - 1)
        side = max(1, int(self.settings.points_per_side / self.settings.crop_n_points_downscale_factor**layer))
        return Crop(
            encoding,
            xyxy,
            size_hw=size_hw,
            side=side,
            points_xy=point_grid(side) * [x1 - x0, y1 - y0],
            enlarging=self._enlarging.setdefault(at_a_time, Chunks(at_a_time, "enlarging masks", pad=False)),
        )

    def _process_crop(self, crop: Crop) -> list[Candidate]:
        """The masks of one crop, best predicted IoU first."""
        passing = self._ask_in_turns(crop) if self.settings.answered_iou_thresh > 0 else self._ask_all(crop)
        found = self._measured(crop, passing)
        return without_duplicates(found, [mask.source.iou for mask in found], self.settings.box_nms_thresh)

    def _ask_all(self, crop: Crop) -> list[list[Passing]]:
        """The masks at every point, in the points' order."""

        def process(points: Sequence[Floats]) -> list[list[Passing]]:
            return self._passing(crop, *self.model.decode(crop.encoding, np.stack(points), self._from_iou))

        return self._decoding.map(process, list(crop.points_xy))

    def _ask_in_turns(self, crop: Crop) -> list[list[Passing]]:
        """The masks at every point that no mask of an earlier turn has answered, in the points' order."""

        def process(points: Sequence[Floats]) -> list[tuple[list[Passing], npt.NDArray[np.bool_]]]:
            logits, ious = self.model.decode(crop.encoding, np.stack(points), self._from_iou)
            return list(zip(self._passing(crop, logits, ious), self._answered(crop, logits, ious), strict=True))

        found_at: list[list[Passing]] = [[] for _ in crop.points_xy]
        left = np.ones(len(crop.points_xy), bool)
        for turn in turns(crop.side):
            asked = turn[left[turn]]
            for index, (found, answered) in zip(
                asked, self._decoding.map(process, list(crop.points_xy[asked])), strict=True
            ):
                found_at[index] = found
                left &= ~answered
        return found_at

    def _answered(self, crop: Crop, logits: torch.Tensor, ious: torch.Tensor) -> npt.NDArray[np.bool_]:
        """(P, G) which of the crop's G points lie in the smallest mask of (P, M, h, w) logits, if it is sure."""
        sides = np.array([logits.shape[3], logits.shape[2]])
        frame = crop.encoding.frame
        cells = (frame.to_input(crop.points_xy) * sides / frame.side).astype(np.int64).clip(max=sides - 1)
        columns, rows = upload(np.ascontiguousarray(cells.T), logits.device)
        inside = logits > 0
        smallest = areas(inside.flatten(0, 1)).view(ious.shape).argmin(1)
        each = torch.arange(len(logits), device=logits.device)
        sure = ious[each, smallest] >= self.settings.answered_iou_thresh
        held = inside[each, smallest][:, rows, columns] & sure[:, None]
        answered: npt.NDArray[np.bool_] = held.cpu().numpy()
        return answered

    def _passing(self, crop: Crop, answers: torch.Tensor, ious: torch.Tensor) -> list[list[Passing]]:
        """For each point its masks that may pass, measured, of (P, M, h, w) logits and (P, M) predicted IoU."""
        logits, frame = answers.flatten(0, 1), crop.encoding.frame
        rows, known = self._worth_enlarging(logits, ious.flatten(), frame)
        in_parts = logits.device.type == "cpu" and are_worth_it(frame, (logits.shape[1], logits.shape[2]))
        enlarger = (Windows if in_parts else Planes)(frame, self.settings.stability_score_offset)

        def measure(some: Sequence[int]) -> list[tuple[torch.Tensor, Any]]:
            numbers, kept = enlarger.measure(logits[upload(np.array(some), logits.device)])
            return list(zip(numbers, kept, strict=True))

        found: list[list[Passing]] = [[] for _ in answers]
        for row, (numbers, kept) in zip(rows, crop.enlarging.map(measure, rows), strict=True):
            found[row // answers.shape[1]].append(Passing(known[row], numbers, kept, enlarger))
        return found

    def _worth_enlarging(
        self, logits: torch.Tensor, ious: torch.Tensor, frame: Frame
    ) -> tuple[list[int], npt.NDArray[np.float32]]:
        """Which of (N, h, w) logits may pass both thresholds, and (N,) predicted IoU; waits for the device once."""
        settings = self.settings
        # zero or less turns a threshold off, as in segment_anything
        iou_from, stable_from = settings.pred_iou_thresh, settings.stability_score_thresh
        if logits.device.type == "cpu":  # where waiting is nothing, bounds are
            known = ious.numpy()
            rows = np.flatnonzero(known > iou_from) if iou_from > 0 else np.arange(len(known))
            if stable_from > 0 and len(rows):
                bound = stability_bound(logits[torch.from_numpy(rows)], frame, settings.stability_score_offset)
                rows = rows[~(bound < stable_from).numpy()]
            return rows.tolist(), known
        return self._known_at_once(logits, ious, frame)

    def _known_at_once(
        self, logits: torch.Tensor, ious: torch.Tensor, frame: Frame
    ) -> tuple[list[int], npt.NDArray[np.float32]]:
        """`_worth_enlarging`, all bounds and predictions brought from the device in one piece."""
        settings = self.settings
        iou_from, stable_from = settings.pred_iou_thresh, settings.stability_score_thresh
        columns = [ious.to(double(ious.device))]
        if stable_from > 0:
            columns.append(stability_bound(logits, frame, settings.stability_score_offset))
        table = torch.stack(columns).cpu().numpy()
        known, passes = table[0].astype(np.float32), np.ones(len(ious), np.bool_)
        if iou_from > 0:
            passes &= known > iou_from
        if stable_from > 0:
            passes &= ~(table[1] < stable_from)
        return np.flatnonzero(passes).tolist(), known

    def _measured(self, crop: Crop, passing: list[list[Passing]]) -> list[Candidate]:
        """The masks that pass, in the points' order: stable, not empty, and not cut off by the crop's edge."""
        flat = [(index, mask) for index, found in enumerate(passing) for mask in found]
        if not flat:
            return []
        numbers = torch.stack([mask.numbers for _, mask in flat]).cpu().numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            stability = numbers[:, 0].astype(np.float32) / numbers[:, 1].astype(np.float32)
        corner = np.array(crop.xyxy[:2])
        boxes = numbers[:, 2:] + np.tile(corner, 2)
        passes = (numbers[:, 4] >= 0) & ~near_crop_edge(boxes, crop.xyxy, crop.size_hw)
        if self.settings.stability_score_thresh > 0:
            passes &= stability >= self.settings.stability_score_thresh
        return [
            Candidate(mask, crop, boxes[row], stability[row], crop.points_xy[index] + corner)
            for row, (index, mask) in enumerate(flat)
            if passes[row]
        ]

    def _draw(self, candidates: list[Candidate]) -> list[Found]:
        """The runs of candidates, crop by crop, in the candidates' order."""
        of_crops: dict[int, list[Candidate]] = {}
        for candidate in candidates:
            of_crops.setdefault(id(candidate.crop), []).append(candidate)

        def draw(some: Sequence[list[Candidate]]) -> list[list[Found]]:
            mine, crop, enlarger = some[0], some[0][0].crop, some[0][0].source.enlarger
            drawn = crop.enlarging.map(enlarger.outlines, [candidate.source.kept for candidate in mine])
            return [[place(outline, candidate) for outline, candidate in zip(drawn, mine, strict=True)]]

        found = chain.from_iterable(self._crops.map(draw, list(of_crops.values())))
        placed = {id(mask.candidate): mask for mask in found}
        return [placed[id(candidate)] for candidate in candidates]
