"""Cityscapes' polygons: a `_gtFine_polygons.json` an image, as cityscapesscripts paint label images of them.

`leftImg8bit/<split>/<folder>/<image>` and `gtFine/<split>/<folder>/<stem>_gtFine_polygons.json`, where the images of no
split are of `train`, and those of no folder in `images`. Larger masks come first, so that smaller ones are painted over
them. Pillow fills the polygons, line and all, so they run through the outermost pixels, with seams into holes
(`masks.polygons`). An island is a polygon of its own, with the same `instance`; label images are exact, scripts that
count instances count islands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.outlines import (
    Pictures,
    Places,
    ReturnedImage,
    crops,
    label_id,
    merged,
    points_of,
    size_of,
    text_or_none,
    when,
    whole,
)
from fiftyone_ssa.exports.reading import ImportedImage, PictureFinder, Reader, failed
from fiftyone_ssa.exports.writing import ExportImage, ExportJob, Kept, Writer
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.filling import fill_pillow
from fiftyone_ssa.masks.polygons import pixel_rings
from fiftyone_ssa.types import MaskSet

IMAGES, LABELS = "leftImg8bit", "gtFine"
IMAGE_ENDING, LABELS_ENDING = "_leftImg8bit", "_gtFine_polygons.json"


class FormatWriter(Writer):
    """Cityscapes' folders."""

    returns = True

    def __init__(self, job: ExportJob) -> None:
        """Write by `job`."""
        super().__init__(job)
        self._places = Places(_of_city)

    def picture(self, split: str, name: str) -> str:
        """In the folder of a city, called as Cityscapes calls it."""
        return f"{IMAGES}/{self._place(split, name, 0, IMAGE_ENDING + PurePosixPath(name).suffix)}"

    def add(self, image: ExportImage) -> Kept:
        """Write the polygons of one image."""
        kept: list[bytes | None] = [None] * len(image.masks)
        objects = []
        found = crops(image.masks)
        for number, row in enumerate(image.masks.order_by_area().tolist()):
            rings = pixel_rings(*found[row])
            kept[row] = fill_pillow(rings, image.size_hw)
            identity = label_id(image.documents[row])
            shared: dict[str, Any] = {"label_id": identity} if identity else {}
            shared |= {"instance": number} if len(rings) > 1 else {}
            objects += [{"label": image.labels[row], "polygon": whole(ring), **shared} for ring in rings]
        content: dict[str, Any] = {"imgHeight": image.size_hw[0], "imgWidth": image.size_hw[1], "objects": objects}
        content |= {"sample_id": image.sample_id}
        stays = self.job.media == "none"
        if stays:
            content["imagePath"] = str(image.source)
        place = self._place(image.split, image.name, image.number if stays else 0, LABELS_ENDING)
        self.write(f"{LABELS}/{place}", json.dumps(content))
        return kept

    def _place(self, split: str, name: str, number: int, ending: str) -> str:
        place = PurePosixPath(self._places.of(split, name, number))
        return f"{split or 'train'}/{place.parent}/{place.stem}{ending}"


def _of_city(name: PurePosixPath) -> PurePosixPath:
    """The folder of a city, which has none in it, with a picture's name but for Cityscapes' ending."""
    folder = "_".join(name.parts[:-1]) or "images"
    return PurePosixPath(folder, name.stem.removesuffix(IMAGE_ENDING) + name.suffix)


class FormatReader(Reader):
    """Cityscapes' folders of any source."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        root = dataset_dir / LABELS if (dataset_dir / LABELS).is_dir() else dataset_dir
        files = [dataset_dir] if dataset_dir.is_file() else sorted(root.rglob("*_polygons.json"))
        if not files:
            raise InputError(f"{dataset_dir} holds no Cityscapes polygons: looked for {LABELS}/*/*/*_polygons.json")
        finder = PictureFinder()
        for file in files:
            path, split = _picture(file, root, data_dir, finder), "" if dataset_dir.is_file() else _split(file, root)
            yield _read(file, path, Pictures(file.parent, dataset_dir, data_dir), split)


def _split(file: Path, root: Path) -> str:
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _picture(file: Path, root: Path, data_dir: Path | None, finder: PictureFinder) -> Path:
    """The image of a file of labels: in the folder of images that mirrors theirs, or beside it."""
    stem = file.name.removesuffix("_polygons.json").removesuffix("_gtFine").removesuffix("_gtCoarse")
    below = file.parent.relative_to(root) if file.is_relative_to(root) else Path()
    folders = [data_dir / below, data_dir] if data_dir is not None else []
    folders += [root.parent / IMAGES / below, file.parent]
    for folder in folders:
        for name in (stem + IMAGE_ENDING, stem):
            if found := finder.find(folder, name):
                return found
    return folders[0] / f"{stem}{IMAGE_ENDING}.png"


def _read(file: Path, path: Path, pictures: Pictures, split: str) -> ImportedImage:
    try:
        content = read_json(file)
        if not path.is_file() and isinstance(content.get("imagePath"), str):
            path = pictures.of(content["imagePath"])
        size_hw = size_of(path, content.get("imgHeight"), content.get("imgWidth"))
        return _image(file, path, size_hw, content, split)
    except InputError as error:
        return failed(path, error, split)


def _image(file: Path, path: Path, size_hw: tuple[int, int], content: Mapping[str, Any], split: str) -> ReturnedImage:
    objects = content.get("objects")
    if not isinstance(objects, list) or not all(isinstance(entry, Mapping) for entry in objects):
        raise InputError(f"{file} must hold a list of objects, got {shown(objects)}")
    objects = [entry for entry in objects if entry.get("deleted") != 1]
    codes, keys, labels = [], [], []
    for entry in objects:
        label = entry.get("label")
        if not isinstance(label, str):
            raise InputError(f"{file}: an object must have a label, got {shown(label)}")
        codes.append(fill_pillow([np.array(points_of(entry.get("polygon"), size_hw))], size_hw))
        instance = entry.get("instance")
        keys.append(None if instance is None else (label, str(instance)))
        labels.append(label)
    united, places = merged(size_hw, codes, keys)
    rows = [objects[place] for place in places]
    masks = rle.mask_set(size_hw, united) if united else MaskSet.empty(size_hw)
    names = tuple(labels[place] for place in places)
    sample = text_or_none(content, "sample_id") or ""
    return ReturnedImage(path, masks, names, tuple(map(_attributes, rows)), split, sample_id=sample, name=path.name)


def _attributes(entry: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        "label_id": text_or_none(entry, "label_id"),
        "reviewed_by": text_or_none(entry, "user"),
        "reviewed_at": when(entry.get("date")),
    }
    return {key: value for key, value in values.items() if value is not None}
