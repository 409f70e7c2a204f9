"""ADE20K (the 150 classes of SceneParse150): class names, and how its ground truth holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import EXTENSIONS
from fiftyone_ssa.layouts.encodings import Seen, already_reduced
from fiftyone_ssa.layouts.layout import (
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

NAMES = (
    "wall",
    "building",
    "sky",
    "floor",
    "tree",
    "ceiling",
    "road",
    "bed",
    "windowpane",
    "grass",
    "cabinet",
    "sidewalk",
    "person",
    "earth",
    "door",
    "table",
    "mountain",
    "plant",
    "curtain",
    "chair",
    "car",
    "water",
    "painting",
    "sofa",
    "shelf",
    "house",
    "sea",
    "mirror",
    "rug",
    "field",
    "armchair",
    "seat",
    "fence",
    "desk",
    "rock",
    "wardrobe",
    "lamp",
    "bathtub",
    "railing",
    "cushion",
    "base",
    "box",
    "column",
    "signboard",
    "chest of drawers",
    "counter",
    "sand",
    "sink",
    "skyscraper",
    "fireplace",
    "refrigerator",
    "grandstand",
    "path",
    "stairs",
    "runway",
    "case",
    "pool table",
    "pillow",
    "screen door",
    "stairway",
    "river",
    "bridge",
    "bookcase",
    "blind",
    "coffee table",
    "toilet",
    "flower",
    "book",
    "hill",
    "bench",
    "countertop",
    "stove",
    "palm",
    "kitchen island",
    "computer",
    "swivel chair",
    "boat",
    "bar",
    "arcade machine",
    "hovel",
    "bus",
    "towel",
    "light",
    "truck",
    "tower",
    "chandelier",
    "awning",
    "streetlight",
    "booth",
    "television receiver",
    "airplane",
    "dirt track",
    "apparel",
    "pole",
    "land",
    "bannister",
    "escalator",
    "ottoman",
    "bottle",
    "buffet",
    "poster",
    "stage",
    "van",
    "ship",
    "fountain",
    "conveyer belt",
    "canopy",
    "washer",
    "plaything",
    "swimming pool",
    "stool",
    "barrel",
    "basket",
    "waterfall",
    "tent",
    "bag",
    "minibike",
    "cradle",
    "oven",
    "ball",
    "food",
    "step",
    "tank",
    "trade name",
    "microwave",
    "pot",
    "animal",
    "bicycle",
    "lake",
    "dishwasher",
    "screen",
    "blanket",
    "sculpture",
    "hood",
    "sconce",
    "vase",
    "traffic light",
    "tray",
    "ashcan",
    "fan",
    "pier",
    "crt screen",
    "plate",
    "monitor",
    "bulletin board",
    "shower",
    "radiator",
    "glass",
    "clock",
    "flag",
)
"""Class names in id order, as the published models have them (the trailing space of "bed " left out)."""


def class_ids(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) of a ground truth image: value i + 1 is class i; 0 (other) and 255 become 255 = ignored.

    Raises InputError for any other value.
    """
    lowest, highest = value_range(values)
    if lowest < 0 or highest > len(NAMES):
        wrong = lowest if lowest < 0 else highest
        raise InputError(f"ground truth value {wrong} is no ADE20K class; expected 0 to {len(NAMES)}, or 255")
    ids = values.astype(np.uint8) - np.uint8(1)  # 0 wraps around to 255
    ids[values == 255] = 255
    return ids


def doubts(seen: Mapping[str, Seen]) -> list[str]:
    """What speaks against the ground truth's holding class id + 1, in a sentence."""
    return [doubt for found in seen.values() for doubt in already_reduced(found, len(NAMES))]


IMAGES, TRUTHS = "images", "annotations"
LOOKED_FOR = f"{IMAGES}/<split>/*.jpg and {TRUTHS}/<split>/*.png"


def splits(root: str | Path) -> dict[str, Path]:
    """The parts of the data set in `root`, training and validation, with the folders of their images."""
    return sub_folders(find_folder(check_folder(root), IMAGES))


def images(root: str | Path, split: str | None = None) -> Iterator[LabelledImage]:
    """The images of one part or of all, in order, with their ground truth (see `class_ids`).

    `root` holds `images/<split>/<name>.jpg` and `annotations/<split>/<name>.png` (ADEChallengeData2016, or the folder
    that holds it). Raises InputError, with what is there, for another layout or an unknown part.
    """
    root = check_folder(root)
    folder, truths = find_folder(root, IMAGES), find_folder(root, TRUTHS)
    if folder is None or truths is None:
        raise wrong_layout(root, LOOKED_FOR)
    empty = True
    for place, files in walk(choose_split(folder, split)):
        relative = place.relative_to(folder)
        candidates = files_in(truths / relative)
        for path in (found := files.ending(*EXTENSIONS)):
            empty = False
            truth = candidates.find(path.stem, ".png", as_written=found.has_twin(path))
            yield LabelledImage((relative / path.stem).as_posix(), path, truth)
    if empty:
        raise wrong_layout(root, LOOKED_FOR)
