"""Cityscapes and Foggy Driving: class names, and how their ground truth holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import read_values
from fiftyone_ssa.files.images import EXTENSIONS
from fiftyone_ssa.layouts.encodings import Seen
from fiftyone_ssa.layouts.layout import (
    Files,
    LabelledImage,
    check_folder,
    choose_split,
    files_in,
    find_folder,
    sub_folders,
    value_range,
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
    lowest, highest = value_range(values)
    if lowest < 0 or highest >= len(NAMES):
        wrong = lowest if lowest < 0 else highest
        hint = "; these look like label ids, which belong in a _labelIds.png" if 0 < wrong <= LABEL_IDS[-1] else ""
        raise InputError(
            f"ground truth value {wrong} is no Cityscapes trainId; expected 0 to {len(NAMES) - 1}, or 255{hint}"
        )
    return values.astype(np.uint8)


def class_ids_from_label_ids(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) of a `_labelIds.png` (0 to 33, as a fresh download holds them): classes not evaluated are 255.

    Raises InputError for a value above 33 that is not 255.
    """
    lowest, highest = value_range(values)
    if lowest < 0 or highest > LABEL_IDS[-1]:
        wrong = lowest if lowest < 0 else highest
        raise InputError(f"ground truth value {wrong} is no Cityscapes label id; expected 0 to {LABEL_IDS[-1]}")
    table = np.full(256, 255, np.uint8)
    table[list(LABEL_IDS)] = np.arange(len(NAMES))
    ids: npt.NDArray[np.uint8] = table[values]
    return ids


def check_encoding(seen: Mapping[str, Seen]) -> list[str]:
    """Raise InputError where the ground truth of an ending, as seen in all images, is of the other kind of ids.

    Label ids go up to 33 and have no 255, trainIds end at 18 and have.
    """
    for ending, found in seen.items():
        has_high, has_ignored = not found.values.isdisjoint(range(len(NAMES), LABEL_IDS[-1] + 1)), 255 in found.values
        if ending.endswith("_labelTrainIds.png") and has_high and not has_ignored:
            raise InputError(f"the ground truth files *{ending} hold label ids (0 to 33); name them *_labelIds.png")
        if ending.endswith("_labelIds.png") and has_ignored and not has_high:
            raise InputError(f"the ground truth files *{ending} hold trainIds; name them *_labelTrainIds.png")
    return []


IMAGES = "leftImg8bit"
IMAGE_ENDINGS = tuple(f"_{IMAGES}{ending}" for ending in EXTENSIONS)
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
        for path in (pictures := files.ending(*IMAGE_ENDINGS)):
            empty = False
            stem = path.stem[: -len(f"_{IMAGES}")]
            truth = _truth_path(stem, candidates, as_written=pictures.has_twin(path))
            yield LabelledImage((place / stem).as_posix(), path, truth)
    if empty:
        raise wrong_layout(root, LOOKED_FOR)


def _truth_path(stem: str, candidates: list[tuple[str, Files]], *, as_written: bool) -> Path | None:
    found = (
        files.find(stem, f"_{kind}{ending}", as_written=as_written)
        for kind, files in candidates
        for ending in TRUTH_ENDINGS
    )
    return next(filter(None, found), None)


def truth(path: Path) -> SemanticMap:
    """The class map of a ground truth file, `_labelTrainIds.png` or `_labelIds.png`; what is not evaluated is ignored.

    Raises InputError, naming the file, if it is damaged or holds values of no class.
    """
    ending = next((ending for ending in TRUTH_ENDINGS if path.name.lower().endswith(ending.lower())), None)
    if ending is None:
        raise InputError(f"{path} must end in {' or '.join(TRUTH_ENDINGS)}")
    values = read_values(path)
    seen = Seen()
    seen.add(values)
    try:
        check_encoding({ending: seen})
        return SemanticMap(TRUTH_ENDINGS[ending](values), NAMES)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
