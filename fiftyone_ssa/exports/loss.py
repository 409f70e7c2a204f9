"""What a format could not hold: every mask as a reader will see it, beside the mask that was exported."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.exports.writing import ExportImage, Kept
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.types import MaskSet

Mask = npt.NDArray[np.bool_]
LOSS_FILE = "loss.json"
WORST = 200
"""Masks that are named."""
VALUES = ("confidence", "proposals", "attributes")
_EIGHT = np.ones((3, 3), np.bool_)
_PROPOSALS = ("class_proposals", "proposal_scores")
_PLAIN = frozenset(
    (*("_id", "_cls", "label", "bounding_box", "mask", "mask_path", "confidence", "attributes", "tags", "index"),)
)


@dataclass
class ClassLoss:
    """What was lost of the masks of one class."""

    masks: int = 0
    changed: int = 0
    """Masks that are read back with other pixels."""
    dropped: int = 0
    """Masks that are not there when read back."""
    holes: int = 0
    """Holes that are filled."""
    islands: int = 0
    """Pieces that are gone from masks that are still there; a piece is 8-connected."""
    overlaps_px: int = 0
    """Pixels that went to another mask that was there, too."""
    lost_px: int = 0
    """Pixels that masks lost, those included, in masks that are still there."""
    added_px: int = 0
    outline_only: int = 0
    """Changed masks that lost no hole, no piece and no pixel to another mask: their outline is less exact."""
    iou_sum: float = 0.0
    """Over all masks, a dropped one counts 0."""
    iou_min: float = 1.0
    confidence: int = 0
    """Masks whose confidence is lost."""
    proposals: int = 0
    """Masks whose proposals are lost."""
    attributes: int = 0
    """Masks that lose other attributes."""

    @property
    def iou_mean(self) -> float:
        """Mean IoU of masks as read back with the masks exported; 1 where there is none."""
        return self.iou_sum / self.masks if self.masks else 1.0


@dataclass(frozen=True, order=True)
class WorstMask:
    """A mask that lost much."""

    iou: float
    label_id: str
    sample_id: str
    name: str


class LossError(InputError):
    """An export lost more of a mask than was allowed, and was not written; `report` says what."""

    report: LossReport


@dataclass
class LossReport:
    """What an export lost, by class."""

    format: str
    classes: dict[str, ClassLoss] = field(default_factory=dict)
    label_field: str = "ssa"
    _heap: list[tuple[float, str, WorstMask]] = field(default_factory=list)

    def add(self, image: ExportImage, kept: Kept | None, keeps: frozenset[str]) -> None:
        """Count one image: what its writer answered, and which values the format keeps."""
        for row, name in enumerate(image.labels):
            loss = self.classes.setdefault(name, ClassLoss())
            loss.masks += 1
            loss.iou_sum += 1.0
            for value in VALUES:
                if value not in keeps and _has(image.documents[row], value):
                    setattr(loss, value, getattr(loss, value) + 1)
        if kept is None:
            return
        if len(kept) != len(image.masks):
            raise ValueError(f"a writer answers one code a mask, got {len(kept)} for {len(image.masks)}")
        rows = [row for row, code in enumerate(kept) if code != image.masks.rles[row]]
        if rows:
            self._compare(image, kept, rows)

    def _compare(self, image: ExportImage, kept: Kept, rows: list[int]) -> None:
        size_hw = image.size_hw
        found = rle.mask_set(size_hw, [kept[row] or rle.encode(np.zeros(size_hw, np.bool_)) for row in rows])
        shared = _cover(image.masks) > 1
        for place, row in enumerate(rows):
            before, after, corner = _pair(image.masks, row, found, place)
            iou = float((before & after).sum() / (before | after).sum())
            if iou == 1:
                continue  # another code of the same pixels
            loss = self.classes[image.labels[row]]
            loss.iou_sum += iou - 1
            loss.iou_min = min(loss.iou_min, iou)
            self._remember(image, row, iou)
            if not after.any():
                loss.dropped += 1
                continue
            loss.changed += 1
            window = shared[corner[1] : corner[1] + before.shape[0], corner[0] : corner[0] + before.shape[1]]
            _count(loss, before, after, window)

    def _remember(self, image: ExportImage, row: int, iou: float) -> None:
        label = str(image.documents[row].get("_id", row))
        entry = (-iou, label, WorstMask(iou, label, image.sample_id, image.labels[row]))
        if len(self._heap) < WORST:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    @property
    def worst(self) -> list[WorstMask]:
        """The masks that lost most, at most `WORST`, the worst first."""
        return sorted(entry for _, _, entry in self._heap)

    @property
    def total(self) -> ClassLoss:
        """All classes together."""
        total = ClassLoss()
        for loss in self.classes.values():
            for name, value in asdict(loss).items():
                known = getattr(total, name)
                setattr(total, name, min(known, value) if name == "iou_min" else known + value)
        return total

    @property
    def lost(self) -> bool:
        """Whether anything was lost."""
        total = self.total
        return any((total.changed, total.dropped, total.confidence, total.proposals, total.attributes))

    def view(self, samples: Any) -> Any:
        """The worst masks as a view of the dataset or view that was exported, their images by their worst mask."""
        worst = self.worst
        images = list(dict.fromkeys(entry.sample_id for entry in worst))
        chosen = samples.select_labels(ids=[entry.label_id for entry in worst], fields=self.label_field)
        return chosen.select(images, ordered=True)

    def check(self, least_iou: float) -> None:
        """Raise LossError if a mask's IoU is below `least_iou`."""
        total = self.total
        if total.iou_min < least_iou:
            error = LossError(
                f"the export was not written: {self}; choose another format, or export without fail_on_loss"
            )
            error.report = self
            raise error

    def to_json(self) -> dict[str, Any]:
        """The report as JSON's own types."""

        def row(loss: ClassLoss) -> dict[str, Any]:
            values = {name: value for name, value in asdict(loss).items() if name != "iou_sum"}
            return values | {"iou_mean": round(loss.iou_mean, 6), "iou_min": round(loss.iou_min, 6)}

        return {
            "format": self.format,
            "total": row(self.total),
            "classes": {name: row(self.classes[name]) for name in sorted(self.classes)},
            "worst": [asdict(entry) for entry in self.worst],
        }

    def to_text(self) -> str:
        """The report as a JSON text."""
        return json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n"

    def __str__(self) -> str:
        """What was lost, in a line."""
        total = self.total
        parts = [
            f"{counted(number, what)} {how}"
            for number, what, how in (
                (total.changed, "mask", "changed"),
                (total.dropped, "mask", "dropped"),
                (total.holes, "hole", "filled"),
                (total.islands, "piece", "gone"),
                (total.overlaps_px, "pixel", "given to another mask"),
                (total.confidence, "confidence", "left out"),
                (total.proposals, "mask", "without their proposals"),
                (total.attributes, "mask", "without other attributes"),
            )
            if number
        ]
        if not parts:
            return "nothing lost"
        iou = f", IoU {total.iou_mean:.4f}, at worst {total.iou_min:.4f}" if total.changed or total.dropped else ""
        return f"lost in {self.format}: {', '.join(parts)}{iou}"


def _has(document: Document, value: str) -> bool:
    """Whether a detection has a value that a format may not hold."""
    if value == "confidence":
        return document.get("confidence") is not None
    if value == "proposals":
        return any(document.get(name) for name in _PROPOSALS)
    known: Mapping[str, Any] = document
    return any(known[name] is not None for name in known if name not in _PLAIN and name not in _PROPOSALS)


def _pair(masks: MaskSet, row: int, found: MaskSet, place: int) -> tuple[Mask, Mask, tuple[int, int]]:
    """A mask and what is read of it, cut to the box of both, with that box's corner."""
    boxes = [masks.boxes_xywh[row]] + ([found.boxes_xywh[place]] if found.areas_px[place] else [])
    x0, y0 = (min(int(box[axis]) for box in boxes) for axis in (0, 1))
    x1, y1 = (max(int(box[axis] + box[axis + 2]) for box in boxes) for axis in (0, 1))
    runs = runs_of(masks)[row], runs_of(found)[place]
    before, after = (rle.dense_crop(*each, masks.size_hw[0], (x0, y0, x1, y1)) for each in runs)
    return before, after, (x0, y0)


def _cover(masks: MaskSet) -> npt.NDArray[np.uint16]:
    """How many masks each pixel has, (H, W)."""
    cover = np.zeros(masks.size_hw, np.uint16)
    crops = rle.tight_crops(runs_of(masks), masks.boxes_xywh, masks.size_hw[0])
    for crop, (x, y, w, h) in zip(crops, masks.boxes_xywh.tolist(), strict=True):
        cover[y : y + h, x : x + w] += crop
    return cover


def _count(loss: ClassLoss, before: Mask, after: Mask, shared: Mask) -> None:
    lost, added = before & ~after, after & ~before
    overlaps = int((lost & shared).sum())
    holes = _gone(_holes(before), added) if added.any() else 0
    islands = _gone(before, lost)
    loss.lost_px += int(lost.sum())
    loss.added_px += int(added.sum())
    loss.overlaps_px += overlaps
    loss.holes += holes
    loss.islands += islands
    loss.outline_only += not (overlaps or holes or islands)


def _holes(mask: Mask) -> Mask:
    """The pixels of a mask's holes: background that is enclosed, 4-connected."""
    outside = np.pad(~mask, 1, constant_values=True)
    labels, _ = ndimage.label(outside)
    holes: Mask = (labels > 0) & (labels != labels[0, 0])
    return holes[1:-1, 1:-1]


def _gone(pieces: Mask, taken: Mask) -> int:
    """How many connected pieces lie wholly in `taken`."""
    if not taken.any():
        return 0
    labels, count = ndimage.label(pieces, _EIGHT)
    stays = np.zeros(count + 1, np.bool_)
    stays[labels[pieces & ~taken]] = True
    return int((~stays[1:]).sum())
