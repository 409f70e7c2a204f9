"""Mean intersection over union as mmsegmentation defines it, from one confusion matrix over a whole data set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.types import ClassIds, Floats, Ints


def confusion_matrix(
    truth_ids: ClassIds,
    predicted_ids: ClassIds | None,
    class_count: int,
) -> Ints:
    """Pixels by true and predicted class: (C, C + 1) int64; the last column is "no class predicted".

    Both maps are (H, W), uint8 or, for more than 255 classes, uint16. An id of C or more (so 255 and 65535) is ignored
    in the truth and counts as no class in the prediction; so does every pixel where the prediction is None.
    Raises InputError if sizes differ.
    """
    columns = class_count + 1
    none = ids_dtype(class_count)(class_count)
    dtype = np.uint16 if columns * columns <= 0xFFFF else np.uint32
    cells: npt.NDArray[Any] = np.minimum(truth_ids, none).astype(dtype)
    cells *= dtype(columns)
    if predicted_ids is None:
        cells += none
    elif predicted_ids.shape == truth_ids.shape:
        cells += np.minimum(predicted_ids, none)
    else:
        raise InputError(
            f"the prediction is {size_text(predicted_ids.shape)} but the ground truth is "
            f"{size_text(truth_ids.shape)} (width x height); they must show the same pixels"
        )
    counts = np.bincount(cells.ravel(), minlength=columns * columns)
    return counts.reshape(columns, columns)[:class_count].astype(np.int64)


def ids_dtype(class_count: int) -> type[np.uint8] | type[np.uint16]:
    """The dtype that holds the ids of `class_count` classes and the ignored one."""
    return np.uint8 if class_count <= 255 else np.uint16


@dataclass(frozen=True, eq=False)
class Scores:
    """A data set's confusion matrix with mmsegmentation's metrics, and what could not be compared."""

    names: tuple[str, ...]
    """C class names, all different."""
    confusion: Ints
    """(C, C + 1) pixels, as `confusion_matrix` gives them, summed over the data set."""
    images: int = 0
    """Images with ground truth, those without a prediction included."""
    missing_predictions: tuple[str, ...] = ()
    """Images without a prediction: each of their ground truth pixels counts as a miss."""
    missing_ground_truth: tuple[str, ...] = ()
    """Predictions without ground truth: left out."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Image to reason: a prediction that cannot be used counts as missing, broken ground truth is left out."""
    broken_ground_truth: tuple[str, ...] = ()
    """Those of `errors` whose ground truth cannot be used."""
    only_annotated: bool = False
    """Whether images without a prediction were left out, where they would count as misses otherwise."""
    notes: tuple[str, ...] = ()
    """Sentences on what the numbers rest on: names taken for each other, classes that one side lacks ..."""

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.confusion.shape != (count, count + 1) or len(set(self.names)) != count:
            raise InputError(
                f"{count} different class names need a ({count}, {count + 1}) matrix, got {self.confusion.shape}"
            )

    @property
    def iou(self) -> Floats:
        """(C,) intersection over union of each class in [0, 1]; NaN for a class that never occurs."""
        union = self.confusion.sum(axis=1) + self.confusion[:, :-1].sum(axis=0) - self._hits
        return _ratio(self._hits, union)

    @property
    def accuracy(self) -> Floats:
        """(C,) share of each class's true pixels that got it, in [0, 1]; NaN for a class not in the ground truth."""
        return _ratio(self._hits, self.confusion.sum(axis=1))

    @property
    def mean_iou(self) -> float:
        """mIoU: the mean of `iou` over classes that occur; NaN if none does."""
        return _mean(self.iou)

    @property
    def mean_accuracy(self) -> float:
        """Mean of `accuracy` (mAcc) over classes in the ground truth; NaN if there is none."""
        return _mean(self.accuracy)

    @property
    def pixel_accuracy(self) -> float:
        """Share of all true pixels that got their class (aAcc); NaN if there is none."""
        return float(_ratio(self._hits.sum(), self.confusion.sum()))

    @property
    def _hits(self) -> Ints:
        return np.diagonal(self.confusion)

    def to_json(self) -> dict[str, Any]:
        """`{"aAcc", "mIoU", "mAcc", "classes": {name: {"IoU", "Acc"}}}` in fractions; null where nothing occurs."""
        classes = {
            name: {"IoU": _or_none(iou), "Acc": _or_none(accuracy)}
            for name, iou, accuracy in zip(self.names, self.iou, self.accuracy, strict=True)
        }
        return {
            "aAcc": _or_none(self.pixel_accuracy),
            "mIoU": _or_none(self.mean_iou),
            "mAcc": _or_none(self.mean_accuracy),
            "classes": classes,
        }

    def __str__(self) -> str:
        """A table of IoU and accuracy in percent for each class that occurs, the means, and what is missing."""
        width = max([len("class"), *map(len, self.names)])
        rows = [f"{'class':<{width}}   IoU %   Acc %"]
        rows += [
            f"{name:<{width}}{_percent(iou)}{_percent(accuracy)}"
            for name, iou, accuracy in zip(self.names, self.iou, self.accuracy, strict=True)
            if not math.isnan(iou)
        ]
        absent = int(np.isnan(self.iou).sum())
        if absent:
            rows.append(
                f"({absent} of {len(self.names)} classes occur neither in the ground truth nor in a prediction)"
            )
        how = "left out" if self.only_annotated else "counted as misses"
        rows += _listed(f"without a prediction, {how}", self.missing_predictions)
        rows += _listed("predictions without ground truth, left out", self.missing_ground_truth)
        rows += _listed("FAILED", [f"{image}: {reason}" for image, reason in self.errors.items()])
        rows += [f"note: {note}" for note in self.notes]
        rows.append(
            f"{counted(self.images, 'image')}: mIoU{_percent(self.mean_iou)}  mAcc{_percent(self.mean_accuracy)}"
            f"  aAcc{_percent(self.pixel_accuracy)}"
        )
        if not_compared := self.not_compared:
            rows.append(not_compared)
        return "\n".join(rows)

    @property
    def not_compared(self) -> str:
        """How many images miss a side or have a bad one, in one sentence; empty where none does."""
        broken = len(self.broken_ground_truth)
        counts = {
            "without a prediction " + ("are left out" if self.only_annotated else "count as misses"): len(
                self.missing_predictions
            ),
            "whose prediction cannot be used count as misses": len(self.errors) - broken,
            "whose ground truth cannot be read are left out": broken,
            "without ground truth are left out": len(self.missing_ground_truth),
        }
        return "; ".join(f"{count} {what}" for what, count in counts.items() if count)


def size_text(shape: tuple[int, ...]) -> str:
    """A (height, width) shape as "width x height"."""
    return f"{shape[1]}x{shape[0]}"


def _ratio(part: Any, whole: Any) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(part, whole), np.float64)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _percent(value: float) -> str:
    return "       -" if math.isnan(value) else f"{100 * value:8.2f}"


def _listed(what: str, images: Sequence[str], most: int = 10) -> list[str]:
    if not images:
        return []
    more = [f"  ... and {len(images) - most} more"] if len(images) > most else []
    return [f"{len(images)} {what}:", *(f"  {image}" for image in images[:most]), *more]
