"""Masks as records of SA-1B's form, which `SamAutomaticMaskGenerator` and its successors answer too."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.printable import in_utf8
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.masks.runs import keep, runs_of
from fiftyone_ssa.types import COLUMNS, MaskSet

_NUMBERS = {
    "bbox": "source_boxes_xywh",
    "predicted_iou": "predicted_iou",
    "stability_score": "stability_score",
    "point_coords": "points_xy",
    "crop_box": "crop_boxes_xywh",
}
"""Keys of an annotation that hold numbers, and the MaskSet's columns for them; of `point_coords` the first point."""


_NAMES = ("class_name", "category_name", "label")
_SCORES = ("score", "confidence")
"""Keys that may hold an annotation's name and its score, the first that does counts."""


def mask_set_from_records(annotations: Sequence[Any], size_hw: tuple[int, int], *, with_names: bool = False) -> MaskSet:
    """The masks of annotations `{"segmentation": ..., "predicted_iou": ..., ...}` of an image of `size_hw`.

    `with_names` reads what they are called, too: a text under `class_name`, `category_name` or `label`, and a number
    from 0 to 1 under `score` or `confidence`.
    A segmentation is whatever `masks.foreign.mask_counts` reads. Every annotation's own keys are kept in `records`.
    Raises InputError, with its index, for one that is damaged or of another image's size.
    """
    codes = []
    columns: dict[str, list[list[float]]] = {key: [] for key in _NUMBERS}
    for index, annotation in enumerate(annotations):
        try:
            counts, numbers = _read(annotation, size_hw)
        except InputError as error:
            raise InputError(f"annotation {index}: {error}") from error
        codes.append(counts)
        for key, column in columns.items():
            column.append(numbers[key])
    boxes = np.array(columns["bbox"], np.float64).reshape(-1, 4)
    found = rle.mask_set(
        size_hw,
        codes,
        predicted_iou=np.ravel(columns["predicted_iou"]),
        stability_score=np.ravel(columns["stability_score"]),
        points_xy=columns["point_coords"],
        crop_boxes_xywh=columns["crop_box"],
        source_ids=[annotation.get("id") for annotation in annotations],
        source_names=[_name(annotation) for annotation in annotations] if with_names else None,
        source_scores=[_score(annotation) for annotation in annotations] if with_names else None,
        records=[{key: value for key, value in row.items() if key != "segmentation"} for row in annotations],
    )
    stated = np.where(np.isnan(boxes), found.source_boxes_xywh, boxes)
    return keep(dataclasses.replace(found, source_boxes_xywh=stated), runs_of(found))


def readable_records(annotations: Sequence[Any], size_hw: tuple[int, int]) -> tuple[list[Any], list[str]]:
    """Those annotations of whom `mask_set_from_records` makes masks, and of the others what is wrong with each.

    Raises InputError, as that does, where there are some and none can be read.
    """
    good, bad = [], []
    for index, annotation in enumerate(annotations):
        try:
            rle.mask_set(size_hw, [_read(annotation, size_hw)[0]])
        except InputError as error:
            bad.append(f"annotation {index}: {error}")
        else:
            good.append(annotation)
    if bad and not good:
        raise InputError(bad[0])
    return good, bad


def _read(annotation: Any, size_hw: tuple[int, int]) -> tuple[bytes | str, dict[str, list[float]]]:
    """An annotation's code, which is not measured yet, and the numbers of `_NUMBERS`. Raises InputError."""
    if not isinstance(annotation, dict):
        raise InputError(f"it must be an object, got {foreign.short(annotation)}")
    counts = foreign.mask_counts(annotation.get("segmentation"), size_hw)
    return counts, {key: _numbers(annotation, key) for key in _NUMBERS}


def _name(annotation: Mapping[str, Any]) -> str | None:
    named = (annotation.get(key) for key in _NAMES)
    return next((in_utf8(name.strip()) for name in named if isinstance(name, str) and name.strip()), None)


def _score(annotation: Mapping[str, Any]) -> float:
    """NaN where there is none."""
    numbers = [float(annotation[key]) for key in _SCORES if foreign.is_number(annotation.get(key))]
    return next((number for number in numbers if 0 <= number <= 1), math.nan)


def _numbers(annotation: Mapping[str, Any], key: str) -> list[float]:
    """The numbers under `key`, NaN where it is absent, null or empty."""
    value, width = annotation.get(key), COLUMNS[_NUMBERS[key]].width
    if value is None or value == []:
        return [math.nan] * width
    if width == 4:
        return foreign.box(value, key)
    return foreign.numbers(value[0] if key == "point_coords" and isinstance(value, list) else value, width, key)
