"""Two Segmentation fields compared image by image: which class each stored value stands for, and what was met."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import Values, colours_of, read_colours, values_of
from fiftyone_ssa.labels.stored_masks import stored_values
from fiftyone_ssa.layouts import cityscapes
from fiftyone_ssa.layouts.encodings import Seen, already_reduced, shifted, unnamed
from fiftyone_ssa.masks.miou import Scores, confusion_matrix, ids_dtype
from fiftyone_ssa.types import ClassIds, Ints, one_class_a_name

logger = logging.getLogger(__name__)

NONE = "(none)"
"""The class of pixels that got no prediction; FiftyOne's own name for it."""
MATCHES_KEPT = 500_000
"""Pairs of (true, predicted) class per image that are stored, so that a click in the App finds the images."""

Document = Mapping[str, Any]
Match = tuple[str, str, int, str, str | None]
"""True class, predicted class, pixels, and the ids of both labels."""
Targets = Mapping[int | str, str]
"""FiftyOne's mask targets: stored value, or colour as "#rrggbb", to class name."""


class Targeted:
    """What a field stores for each named class: values from 1 to 65535, or colours; 0 and black are no class.

    Values of one name are one class.
    """

    def __init__(self, field: str, targets: Targets) -> None:
        """Raises InputError for targets that are neither values nor colours."""
        self.colours = any(isinstance(key, str) for key in targets)
        keys = {_stored(key, self.colours, field): name for key, name in targets.items()}
        self.background = keys.pop(0, None)
        """What the targets call value 0."""
        self.keys = np.array(sorted(keys), np.int64)
        self.names, self._places = one_class_a_name([keys[key] for key in self.keys.tolist()])

    def read(self, label: Document) -> Values:
        """The stored values or colours (H, W) of a Segmentation. Raises InputError if they cannot be read."""
        if self.colours and label.get("mask") is None:
            return read_colours(label["mask_path"])
        stored = stored_values(label)
        assert stored is not None  # what has no mask is not read
        return (colours_of if self.colours else values_of)(stored)

    def class_ids(self, values: Values, ids: Sequence[int | None], class_count: int) -> ClassIds:
        """The class (H, W) of stored values, where name i of this field has number `ids[i]` of `class_count`."""
        dtype = ids_dtype(class_count)
        none = np.iinfo(dtype).max
        numbers = np.array([none if number is None else number for number in ids], dtype)[self._places]
        if self.colours:
            place = np.minimum(np.searchsorted(self.keys, values), len(self.keys) - 1)
            classes: npt.NDArray[Any] = np.where(self.keys[place] == values, numbers[place], dtype(none))
            return classes
        table: npt.NDArray[Any] = np.full(1 << 16, none, dtype)
        table[self.keys] = numbers
        if values.dtype not in (np.uint8, np.uint16):
            values = np.where((values >= 0) & (values < 1 << 16), values, 0).astype(np.uint16)
        found: npt.NDArray[Any] = table.take(values)
        return found


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes that two fields are compared in: those of the ground truth, the prediction's matched by name."""

    truth: Targeted
    predicted: Targeted
    predicted_ids: tuple[int | None, ...]
    """Of each class of the prediction its place among the ground truth's names."""
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """C names, all different."""
        return self.truth.names

    def truth_ids(self, values: Values) -> ClassIds:
        """Class ids (H, W) of what the ground truth stores."""
        return self.truth.class_ids(values, range(len(self.names)), len(self.names))

    def prediction_ids(self, values: Values) -> ClassIds:
        """Class ids (H, W) of what the prediction stores."""
        return self.predicted.class_ids(values, self.predicted_ids, len(self.names))

    def doubts(self, truth: Seen, predicted: Seen) -> list[str]:
        """Sentences on values that speak against what the mask targets say."""
        count, named = len(self.truth.keys), set(self.truth.keys.tolist())
        from_1 = not self.truth.colours and named == set(range(1, count + 1))
        told = already_reduced(truth, count) if from_1 else []
        told += unnamed(truth, named, colours=self.truth.colours)
        higher = set(range(count + 1, cityscapes.LABEL_IDS[-1] + 1))
        if from_1 and self.names == cityscapes.NAMES and truth.values & higher:
            told.append(
                "the ground truth looks like Cityscapes label ids (0 to 33) and is read as trainIds + 1, so every "
                "score is wrong if that is so; load_cityscapes makes them what the mask targets say"
            )
        named = set(self.predicted.keys.tolist())
        return told + unnamed(predicted, named, "prediction", colours=self.predicted.colours)


class Tally:
    """What has been compared so far."""

    def __init__(self, classes: Classes, *, only_annotated: bool = False) -> None:
        self.classes, self.only_annotated = classes, only_annotated
        count = len(classes.names)
        self.confusion: Ints = np.zeros((count, count + 1), np.int64)
        self.matches: list[Match] | None = []
        self.images = 0
        self.compared: list[str] = []
        """Samples with ground truth and a prediction."""
        self.missing_predictions: list[str] = []
        self.missing_ground_truth: list[str] = []
        self.broken_ground_truth: list[str] = []
        self.errors: dict[str, str] = {}
        self._seen_truth, self._seen_prediction = Seen(), Seen()

    def add(self, sample_id: str, truth: Document | None, prediction: Document | None) -> Scores | None:
        """Compare one image's Segmentations, as MongoDB holds them; None if it is left out."""
        truth, prediction = _with_mask(truth), _with_mask(prediction)
        if truth is None:
            self.missing_ground_truth.append(sample_id)
            return None
        if prediction is None:
            self.missing_predictions.append(sample_id)
            if self.only_annotated:
                return None
        try:
            values = self.classes.truth.read(truth)
        except InputError as error:
            self.errors[sample_id] = f"ground truth left out: {error}"
            self.broken_ground_truth.append(sample_id)
            return None
        self.images += 1
        self._seen_truth.add(values)
        confusion = self._compare(sample_id, self.classes.truth_ids(values), prediction)
        self.confusion += confusion
        self._keep_matches(confusion, str(truth["_id"]), str(prediction["_id"]) if prediction is not None else None)
        return Scores(self.classes.names, confusion)

    def merge(self, other: Tally) -> None:
        """Take over what was compared after this, of the same classes."""
        self.confusion += other.confusion
        self.images += other.images
        self.compared += other.compared
        self.missing_predictions += other.missing_predictions
        self.missing_ground_truth += other.missing_ground_truth
        self.broken_ground_truth += other.broken_ground_truth
        self.errors |= other.errors
        self._seen_truth.merge(other._seen_truth)
        self._seen_prediction.merge(other._seen_prediction)
        self._take_matches(other.matches)

    def notes(self) -> list[str]:
        """What the numbers rest on."""
        doubts = self.classes.doubts(self._seen_truth, self._seen_prediction)
        return [*self.classes.notes, *doubts, *shifted(self.confusion)]

    def _compare(self, sample_id: str, truth_ids: ClassIds, prediction: Document | None) -> Ints:
        count = len(self.classes.names)
        try:
            ids = None
            if prediction is not None:
                self.compared.append(sample_id)
                values = self.classes.predicted.read(prediction)
                self._seen_prediction.add(values)
                ids = self.classes.prediction_ids(values)
            return confusion_matrix(truth_ids, ids, count)
        except InputError as error:
            self.errors[sample_id] = str(error)
            return confusion_matrix(truth_ids, None, count)

    def _keep_matches(self, confusion: Ints, truth_id: str, prediction_id: str | None) -> None:
        columns = (*self.classes.names, NONE)
        self._take_matches(
            [
                (columns[i], columns[j], int(confusion[i, j]), truth_id, prediction_id)
                for i, j in zip(*np.nonzero(confusion), strict=True)
            ]
        )

    def _take_matches(self, found: list[Match] | None) -> None:
        if self.matches is None:
            return
        if found is None or len(self.matches) + len(found) > MATCHES_KEPT:
            logger.info("more than %d matches: a click in the App's matrix will not find the images", MATCHES_KEPT)
            self.matches = None
        else:
            self.matches += found


def _with_mask(label: Document | None) -> Document | None:
    return label if label and (label.get("mask") is not None or label.get("mask_path")) else None


def _stored(key: int | str, colours: bool, field: str) -> int:
    """A mask target's key as a number, a colour as 0xRRGGBB."""
    if colours and isinstance(key, str) and len(key) == 7 and key[0] == "#" and key[1:].isalnum():
        try:
            return int(key[1:], 16)
        except ValueError:
            pass
    elif not colours and isinstance(key, int) and 0 <= key < 1 << 16:
        return key
    raise InputError(
        f'mask targets of {field!r} must be whole numbers from 1 to 65535, or colours like "#ff0000"; got {key!r}'
    )
