"""Cityscapes and Foggy Driving: class names, and how their ground truth holds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.layout import (
    LabelledImage,
    check_folder,
    choose_split,
    files_in,
    find_folder,
    read_values,
    sub_folders,
    walk,
    wrong_layout,
)
from fiftyone_ssa.types import SemanticMap

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


IMAGES = "leftImg8bit"
IMAGE_ENDINGS = ("_leftimg8bit.png", "_leftimg8bit.jpg")
LOOKED_FOR = f"{IMAGES}/<split>/<city>/*_leftImg8bit.png"
TRUTH_KINDS = ("gtFine", "gtCoarse")
TRUTH_ENDINGS = {"_labelTrainIds.png": class_ids, "_labelIds.png": class_ids_from_label_ids}


def splits(root: str | Path) -> dict[str, Path]:
    """The parts of the data set in `root`, train, val, test ..., with the folders of their images."""
    return sub_folders(find_folder(check_folder(root), IMAGES))


def images(root: str | Path, split: str | None = None) -> Iterator[LabelledImage]:
    """The images of one part or of all, in order, each with its best ground truth: fine before coarse, trainIds first.

    `root` holds `leftImg8bit/<split>/<city>/<name>_leftImg8bit.png`, and `gtFine` or `gtCoarse` of the same form.
    Raises InputError, with what is there, for another layout or an unknown part.
    """
    root = check_folder(root)
    folder = find_folder(root, IMAGES)
    if folder is None:
        raise wrong_layout(root, LOOKED_FOR)
    truths = {kind: found for kind in TRUTH_KINDS if (found := find_folder(root, kind)) is not None}
    empty = True
    for city, files in walk(choose_split(folder, split)):
        place = city.relative_to(folder)
        candidates = [(kind, files_in(truth / place)) for kind, truth in truths.items()]
        for name, path in files.items():
            if name.endswith(IMAGE_ENDINGS):
                empty = False
                stem = path.name[: -len(IMAGE_ENDINGS[0])]
                yield LabelledImage((place / stem).as_posix(), path, _truth_path(stem, candidates))
    if empty:
        raise wrong_layout(root, LOOKED_FOR)


def _truth_path(stem: str, candidates: list[tuple[str, dict[str, Path]]]) -> Path | None:
    names = [(f"{stem}_{kind}{ending}".lower(), files) for kind, files in candidates for ending in TRUTH_ENDINGS]
    return next((files[name] for name, files in names if name in files), None)


def truth(path: Path) -> SemanticMap:
    """The class map of a ground truth file, `_labelTrainIds.png` or `_labelIds.png`; what is not evaluated is ignored.

    Raises InputError, naming the file, if it is damaged or holds values of no class.
    """
    ending = next((ending for ending in TRUTH_ENDINGS if path.name.lower().endswith(ending.lower())), None)
    if ending is None:
        raise InputError(f"{path} must end in {' or '.join(TRUTH_ENDINGS)}")
    try:
        return SemanticMap(TRUTH_ENDINGS[ending](read_values(path)), NAMES)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
