"""Cityscapes and Foggy Driving: class names, and how their ground truth holds them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError

NAMES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
"""The 19 evaluated classes in trainId order."""

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""What `_labelIds.png` holds for each class (the labels table of the cityscapesScripts)."""


def class_ids(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) of a `_labelTrainIds.png`: 0 to 18, and 255 = ignored.

    Raises InputError for any other value.
    """
    highest = int(values.max(initial=0, where=values != 255))
    if highest >= len(NAMES):
        raise InputError(
            f"ground truth value {highest} is no Cityscapes trainId; expected 0 to {len(NAMES) - 1}, or 255"
        )
    return values.astype(np.uint8)


def class_ids_from_label_ids(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) of a `_labelIds.png` (0 to 33, as a fresh download holds them): classes not evaluated are 255.

    Raises InputError for a value above 33 that is not 255.
    """
    highest = int(values.max(initial=0, where=values != 255))
    if highest > LABEL_IDS[-1]:
        raise InputError(f"ground truth value {highest} is no Cityscapes label id; expected 0 to {LABEL_IDS[-1]}")
    table = np.full(256, 255, np.uint8)
    table[list(LABEL_IDS)] = np.arange(len(NAMES))
    ids: npt.NDArray[np.uint8] = table[values]
    return ids
