"""COCO's files in: whoever wrote them, RLE or polygons, one damaged annotation costing its image only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.exports.reading import ImportedImage, below, failed, images_folder
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.files.memory import memory_bytes
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.foreign import is_number, mask_counts

AS_OBJECTS = 8
"""How many times a file's size its content takes as Python's objects."""
_OWN = frozenset(("id", "image_id", "category_id", "bbox", "segmentation", "area", "score", "iscrowd", "keypoints"))
_PREFIX = "attribute_"


@dataclass(frozen=True)
class CocoPart:
    """One file of a data set, of one split."""

    split: str
    file: Path
    images: Path


def read_coco(dataset_dir: Path, data_dir: Path | None = None, labels: str = "labels.json") -> Iterator[ImportedImage]:
    """The images of COCO files: `labels.json` with `data/`, a folder of these for each split, or COCO's own layout."""
    for part in parts_of(dataset_dir, data_dir, labels):
        yield from _read(part)


def parts_of(dataset_dir: Path, data_dir: Path | None, labels: str) -> list[CocoPart]:
    """The files of a data set. Raises InputError, with what was looked for, if there is none."""
    if dataset_dir.is_file():
        folder = images_folder(dataset_dir.parent, data_dir, "data", "images")
        return [CocoPart("", dataset_dir, folder)]
    if (dataset_dir / labels).is_file():
        return [CocoPart("", dataset_dir / labels, images_folder(dataset_dir, data_dir, "data", "images"))]
    found = [
        CocoPart(file.parent.name, file, images_folder(file.parent, data_dir, "data", "images"))
        for file in sorted(dataset_dir.glob(f"*/{labels}"))
    ]
    own = "panoptic_" if labels.startswith("panoptic") else "instances_"  # COCO has captions and keypoints beside them
    files = sorted(dataset_dir.glob(f"annotations/{own}*.json")) or sorted(dataset_dir.glob("annotations/*.json"))
    for file in files if not found else ():
        split = file.stem.removeprefix(own)
        found.append(CocoPart(split, file, images_folder(dataset_dir, data_dir, split, f"images/{split}", "images")))
    if not found:
        raise InputError(
            f"{dataset_dir} holds no COCO file: looked for {labels}, */{labels} and annotations/*.json; name the file"
        )
    return found


def read_content(file: Path) -> dict[str, Any]:
    """A COCO file's content. Raises InputError if it is none, or does not fit the memory."""
    size, most = regular_size(file), memory_bytes() // AS_OBJECTS
    if size > most:
        raise InputError(f"{file} does not fit the memory: {size:,} bytes, at most {most:,}; split it by images")
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a JSON file: {error}") from error
    lists = [isinstance(content, dict) and isinstance(content.get(key), list) for key in ("images", "annotations")]
    if not all(lists) or not isinstance(content.get("categories"), list):
        got = shown(list(content)) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise InputError(f"{file} is no COCO file: it must hold images, annotations and categories, got {got}")
    return content  # type: ignore[no-any-return]


def names_of(file: Path, categories: Sequence[Any]) -> dict[Any, str]:
    """Category id to name. Raises InputError if one has none."""
    names = {}
    for entry in categories:
        number = identity(entry)
        if number is None or not isinstance(entry.get("name"), str):
            raise InputError(f"{file}: a category must have an id and a name, got {shown(entry)}")
        names[number] = entry["name"]
    return names


def identity(entry: Any, key: str = "id") -> int | str | None:
    """The id that an entry of a file has under a key; None where it has none that is one."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    return value if isinstance(value, int | str) else None


def size_of(entry: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Height and width of an image: as the picture has it, or as the file says where there is no picture.

    Raises InputError if they differ: the masks are not of that picture.
    """
    stated = (entry.get("height"), entry.get("width"))
    known = all(type(side) is int and 0 < side < 1 << 20 for side in stated)
    if not path.exists() and known:
        return stated  # type: ignore[return-value]
    size_hw = image_size_hw(path)
    if known and size_hw != stated:
        raise InputError(
            f"the file says {stated[1]}x{stated[0]} (width x height), {path} has {size_hw[1]}x{size_hw[0]}; "
            "its masks are of another picture"
        )
    return size_hw


def _read(part: CocoPart) -> Iterator[ImportedImage]:
    content = read_content(part.file)
    names = names_of(part.file, content["categories"])
    of_image: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in content["annotations"]:
        if (image := identity(annotation, "image_id")) is not None:
            of_image.setdefault(image, []).append(annotation)
    return read_entries(
        part, content, lambda path, entry: _image(part, path, entry, of_image.pop(identity(entry), []), names)
    )


def read_entries(
    part: CocoPart, content: Mapping[str, Any], read: Callable[[Path, Any], ImportedImage]
) -> Iterator[ImportedImage]:
    """Each entry of `images` as `read` has it, given its picture's path; one that is damaged costs itself only.

    Annotations of no such entry are told at the end.
    """
    for entry in content["images"]:
        try:
            path = below(part.images, entry.get("file_name") if isinstance(entry, Mapping) else None)
        except InputError as error:
            yield failed(part.images / "unnamed", error, part.split)
            continue
        try:
            yield read(path, entry)
        except InputError as error:
            yield failed(path, error, part.split)
    known = {identity(entry) for entry in content["images"]} - {None}
    stray = [entry for entry in content["annotations"] if identity(entry, "image_id") not in known]
    if stray:
        said = stray[0].get("image_id") if isinstance(stray[0], Mapping) else stray[0]
        told = f"{counted(len(stray), 'annotation')} of no image of the file, the first with image_id {shown(said)}"
        yield failed(part.file, told, part.split)


def _image(
    part: CocoPart,
    path: Path,
    entry: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    names: dict[Any, str],
) -> ImportedImage:
    size_hw = size_of(entry, path)
    found = [annotation for annotation in annotations if annotation.get("segmentation")]
    codes, labels = [], []
    for annotation in found:
        codes.append(mask_counts(annotation["segmentation"], size_hw))
        if (category := identity(annotation, "category_id")) not in names:
            raise InputError(f"its category {shown(annotation.get('category_id'))} is none of the file's")
        labels.append(names[category])
    attributes = tuple(map(attributes_of, found))
    return ImportedImage(path, rle.mask_set(size_hw, codes), tuple(labels), attributes, part.split)


def attributes_of(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """An annotation's own values by the names that detections have them under."""
    values = {key.removeprefix(_PREFIX): value for key, value in annotation.items() if key not in _OWN}
    if is_number(annotation.get("score")):
        values["confidence"] = float(annotation["score"])
    if annotation.get("iscrowd"):
        values["iscrowd"] = True
    return values
