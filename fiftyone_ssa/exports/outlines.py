"""What the formats of polygons and of annotation tools share: places, groups, and what people did to masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from bson import ObjectId

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.exports.reading import ImportedImage, below, left_where
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels.stored_masks import stored_proposals
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.types import Ints, MaskSet

MOST_PROPOSALS = 5
"""So many proposals of a mask are told to people who correct it."""


@dataclass(frozen=True)
class ReturnedImage(ImportedImage):
    """An image as it comes back from people; its masks' attributes may say `reviewed_by` and `reviewed_at`, too."""

    name: str = ""
    """What the picture was called when it was exported."""
    by: str = ""
    """Who corrected it, where the file says so."""
    at: datetime | None = None
    """When, in UTC."""
    corrected: bool = True
    """Whether a person handed it in; else its masks are still those that were exported."""


class Places:
    """Where pictures go whose labels are files of the same name but for the ending: each stem is given once a split."""

    def __init__(self, wanted: Callable[[PurePosixPath], PurePosixPath] = lambda name: name) -> None:
        """`wanted` says of a picture's name where it should be."""
        self._wanted = wanted
        self._places: dict[tuple[str, str, int], str] = {}
        self._taken: set[tuple[str, str]] = set()

    def of(self, split: str, name: str, number: int = 0) -> str:
        """The picture's path below its split's folder, the same whenever it is asked for.

        `number` tells images of one file apart, where pictures stay where they are.
        """
        if (split, name, number) not in self._places:
            pure, count = self._wanted(PurePosixPath(name)), 1
            place = pure
            while (split, place.with_suffix("").as_posix()) in self._taken:
                count += 1
                place = pure.with_stem(f"{pure.stem}-{count}")
            self._taken.add((split, place.with_suffix("").as_posix()))
            self._places[split, name, number] = place.as_posix()
        return self._places[split, name, number]


@dataclass(frozen=True)
class Pictures:
    """Where a data set's files find the pictures that they name."""

    folder: Path
    """Of the file that names them."""
    dataset_dir: Path
    data_dir: Path | None = None
    """The folder of images, as told."""

    def of(self, name: Any) -> Path:
        """The picture of a name. Raises InputError if it leads out of the folders of the data set."""
        if not isinstance(name, str) or "\0" in name:
            raise InputError(f"a picture's name must be a text, got {shown(name)}")
        if self.data_dir is not None:
            return below(self.data_dir, PurePosixPath(name.replace("\\", "/")).name)
        left = left_where(self.dataset_dir if self.dataset_dir.is_dir() else self.dataset_dir.parent)
        if left is not None and PurePosixPath(name).is_relative_to(left) and ".." not in PurePosixPath(name).parts:
            return Path(name)
        try:
            return below(self.folder, name)
        except InputError as error:
            raise InputError(f"{error}, or name the folder of images with data_dir") from error


def merged(size_hw: tuple[int, int], codes: Sequence[bytes], keys: Sequence[Any]) -> tuple[list[bytes], list[int]]:
    """Codes whose key is the same, and not None, as one mask, and for each mask the first place its key came at."""
    places: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(("alone", place) if key is None else key, []).append(place)
    groups = places.values()
    united = [codes[group[0]] if len(group) == 1 else union(size_hw, [codes[i] for i in group]) for group in groups]
    return united, [group[0] for group in groups]


def union(size_hw: tuple[int, int], codes: Sequence[bytes]) -> bytes:
    """The code of the pixels that are in any of several masks."""
    from pycocotools import mask as coco

    counts: bytes = coco.merge([{"size": list(size_hw), "counts": code} for code in codes])["counts"]
    return counts


def crops(masks: MaskSet) -> list[tuple[Any, tuple[int, int]]]:
    """Each mask cut to its box, with the box's corner x, y."""
    corners = ((x, y) for x, y, _, _ in masks.boxes_xywh.tolist())
    return list(zip(rle.tight_crops(runs_of(masks), masks.boxes_xywh, masks.size_hw[0]), corners, strict=True))


def label_id(document: Document) -> str:
    """The id of a detection; empty where it has none that a database gave."""
    found = document.get("_id")
    return str(found) if isinstance(found, ObjectId) else ""


def confidence_of(document: Document) -> float | None:
    """A detection's confidence; None where it has none that is a finite number."""
    found = document.get("confidence")
    return float(found) if is_number(found) and math.isfinite(found) else None  # type: ignore[arg-type]


def proposals_text(document: Document) -> str:
    """A mask's proposals for people: "car 0.91, truck 0.05"; empty where there are none."""
    found = stored_proposals(document)
    pairs = zip(found.names[:MOST_PROPOSALS], found.scores[:MOST_PROPOSALS], strict=True)
    return ", ".join(name if math.isnan(score) else f"{name} {score:.2f}" for name, score in pairs)


def when(text: Any) -> datetime | None:
    """A date of another tool in UTC, without its zone, as the database holds dates; None where it is none."""
    if not isinstance(text, str):
        return None
    for parse in (datetime.fromisoformat, lambda value: datetime.strptime(value, "%d-%b-%Y %H:%M:%S")):
        try:
            date = parse(text.strip())
        except ValueError:
            continue
        date = date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date
        return date.replace(microsecond=date.microsecond // 1000 * 1000)
    return None


def points_of(values: Any, size_hw: tuple[int, int]) -> list[tuple[float, float]]:
    """A foreign polygon's points x, y in pixels. Raises InputError if it is none, or lies far outside the image."""
    height, width = size_hw
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise InputError("a polygon must be a list of points [x, y]")
    for point in values:
        pair = isinstance(point, Sequence) and not isinstance(point, str) and len(point) == 2
        if not pair or not all(is_number(value) and value == value for value in point):
            raise InputError("a polygon must be a list of points [x, y], both finite numbers")
        if not (-width <= point[0] <= 2 * width and -height <= point[1] <= 2 * height):
            raise InputError(f"a polygon lies far outside the image of {width}x{height} (width x height)")
    return [(float(x), float(y)) for x, y in values]


def whole(ring: Ints) -> list[list[int]]:
    """A ring as JSON's own types."""
    points: list[list[int]] = ring.tolist()
    return points


def size_of(path: Path, height: Any, width: Any) -> tuple[int, int]:
    """The size of a picture that labels say is of `height` and `width`; what they say, where it is not there.

    Raises InputError if it has another size, or cannot be read.
    """
    if not path.is_file() and all(type(side) is int and 0 < side < 1 << 20 for side in (height, width)):
        return height, width
    size_hw = image_size_hw(path)
    if None not in (height, width) and (height, width) != size_hw:
        raise InputError(f"the labels are of an image of {width}x{height}, {path} has {size_hw[1]}x{size_hw[0]}")
    return size_hw


def text_or_none(values: Mapping[str, Any], key: str) -> str | None:
    """A text that a file may hold under a key; None where there is none."""
    found = values.get(key)
    return found if isinstance(found, str) and found.strip() else None
