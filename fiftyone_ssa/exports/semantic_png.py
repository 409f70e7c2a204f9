"""Class maps as PNG, each way: one class a pixel, by own ids, Cityscapes' (trainIds and label ids) or ADE20K's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.coco_reading import identity
from fiftyone_ssa.exports.one_class_a_pixel import resolve
from fiftyone_ssa.exports.reading import ImportedImage, PictureFinder, Reader, below, failed, images_folder
from fiftyone_ssa.exports.writing import ExportClass, ExportImage, ExportJob, Kept, Writer, in_split
from fiftyone_ssa.files.images import EXTENSIONS, opened_picture, read_values
from fiftyone_ssa.files.json_file import read_json_value
from fiftyone_ssa.files.packing import png
from fiftyone_ssa.layouts import ade20k, cityscapes
from fiftyone_ssa.layouts.class_names import match_names
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.masks import rle

ENCODINGS = ("own", "cityscapes", "ade20k")
CLASSES_FILE, LABELS = "classes.json", "labels"
IMAGE, SAMPLE = "Image", "Sample"
"""The keywords by which a map says whose it is: a stem may be that of several images, and a file several samples."""


@dataclass(frozen=True)
class _Map:
    """One PNG of an image: where it goes, and what its values are."""

    place: str
    """With `{split}`, `{folder}` and `{stem}`."""
    values: Mapping[str, int]
    nothing: int


class FormatWriter(Writer):
    """A PNG an image; a mask whose class the encoding lacks is left out, and the loss report counts it.

    Option `encoding`: "own" (`labels/<name>.png` of the classes' ids, `classes.json`, images in `data/`), "cityscapes"
    (its folders, `_labelTrainIds.png` and `_labelIds.png`) or "ade20k" (its folders; 0 is other, 1 to 150).
    """

    options: ClassVar[dict[str, Any]] = {"encoding": "own"}

    def __init__(self, job: ExportJob) -> None:
        super().__init__(job)
        self._stuff = {each.name for each in job.classes if not each.is_thing}
        encoding = job.options["encoding"]
        if encoding not in ENCODINGS:
            raise InputError(f"encoding must be one of {', '.join(ENCODINGS)}, got {shown(encoding)}")
        self._maps = {"own": _own, "cityscapes": _cityscapes, "ade20k": _ade20k}[encoding](job.classes)

    def picture(self, split: str, name: str) -> str:
        """Where an image goes, as the encoding's data set has it."""
        encoding, pure = self.job.options["encoding"], PurePosixPath(name)
        if encoding == "cityscapes":
            file = f"{pure.stem.removesuffix('_leftImg8bit')}_leftImg8bit{pure.suffix}"
            return f"{cityscapes.IMAGES}/{split or 'train'}/{_city(pure)}/{file}"
        return (
            f"{ade20k.IMAGES}/{split or 'training'}/{name}" if encoding == "ade20k" else in_split(split, f"data/{name}")
        )

    def planned(self) -> Iterable[str]:
        """The list of classes."""
        return (CLASSES_FILE,)

    def add(self, image: ExportImage) -> Kept | None:
        """Write an image's maps; of overlapping masks one has the pixel."""
        named = [row for row, name in enumerate(image.labels) if name in self._maps[0].values]
        labels = [image.labels[row] for row in named]
        owners = resolve(image.masks[named], labels, [image.documents[row] for row in named], self._stuff)
        stem = PurePosixPath(self.stem(image))
        for each in self._maps:
            values = owners.painted([each.values[label] for label in labels], each.nothing)
            split = image.split or ("training" if each.place.startswith(ade20k.TRUTHS) else "train")
            place = each.place.format(
                split=split, folder=_city(stem), stem=stem, bare=stem.name.removesuffix("_leftImg8bit")
            )
            name = in_split(image.split, place) if each.place.startswith(LABELS) else place
            values = values.astype(np.uint8 if self._is_small(each) else np.uint16)
            self.write(name, png(values, {IMAGE: image.name, SAMPLE: image.sample_id}))
        kept = owners.kept()
        if kept is None and len(named) == len(image.labels):
            return None
        codes: list[bytes | None] = [None] * len(image.labels)
        for row, code in zip(named, kept or owners.masks.rles, strict=True):
            codes[row] = code
        return codes

    def finish(self) -> None:
        """Write what the values mean."""
        values = self._maps[0].values
        rows = [
            {"id": values[each.name], "name": each.name, "colour": each.colour or colour_of(each.name)}
            for each in self.job.classes
            if each.name in values
        ]
        content = {"encoding": self.job.options["encoding"], "nothing": self._maps[0].nothing, "classes": rows}
        self.write(CLASSES_FILE, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    @staticmethod
    def _is_small(each: _Map) -> bool:
        return max([*each.values.values(), each.nothing]) <= 255


def _city(pure: PurePosixPath) -> str:
    """The folder that Cityscapes has between a split and its images."""
    return pure.parent.as_posix() if pure.parent.parts else "images"


def _own(classes: tuple[ExportClass, ...]) -> list[_Map]:
    values = {each.name: each.id for each in classes}
    highest = max(values.values(), default=0)
    if highest > 65534:
        raise InputError(f"the id {highest} does not fit a PNG of 16 bits; give ids below 65,535 with categories")
    nothing = 0 if 0 not in values.values() else 255 if highest < 255 else 65535
    return [_Map(LABELS + "/{stem}.png", values, nothing)]


def _cityscapes(classes: tuple[ExportClass, ...]) -> list[_Map]:
    train_ids = _matched(classes, cityscapes.NAMES)
    label_ids = {name: cityscapes.LABEL_IDS[value] for name, value in train_ids.items()}
    place = "gtFine/{split}/{folder}/{bare}_gtFine_"
    return [_Map(place + "labelTrainIds.png", train_ids, 255), _Map(place + "labelIds.png", label_ids, 0)]


def _ade20k(classes: tuple[ExportClass, ...]) -> list[_Map]:
    values = {name: value + 1 for name, value in _matched(classes, ade20k.NAMES).items()}
    return [_Map(ade20k.TRUTHS + "/{split}/{stem}.png", values, 0)]


def _matched(classes: tuple[ExportClass, ...], names: tuple[str, ...]) -> dict[str, int]:
    """The classes that a data set has, with their places in its list. Raises InputError if it has none of them."""
    ours = [each.name for each in classes]
    found = {name: place for name, place in zip(ours, match_names(ours, names).ids, strict=True) if place is not None}
    if ours and not found:
        raise InputError(f"the data set has none of the classes {shown(ours)}; map them with an ontology")
    return found


class FormatReader(Reader):
    """Class maps by own ids, as `FormatWriter` or another tool wrote them: `labels/`, `data/`, `classes.json`."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, a mask a class."""
        content = read_json_value(dataset_dir / CLASSES_FILE)
        rows = content.get("classes") if isinstance(content, Mapping) else None
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise InputError(f"{dataset_dir / CLASSES_FILE} must hold {{'classes': [{{'id': ..., 'name': ...}}]}}")
        names = {identity(row): row.get("name") for row in rows}
        nothing = content.get("nothing", 0)
        if type(nothing) is not int or not all(type(i) is int and isinstance(n, str) for i, n in names.items()):
            raise InputError(f"{dataset_dir / CLASSES_FILE} must give each class a whole number and a name")
        parts = [dataset_dir] if (dataset_dir / LABELS).is_dir() else sorted(dataset_dir.glob(f"*/{LABELS}"))
        if not parts:
            raise InputError(f"{dataset_dir} holds no class maps by own ids: looked for {LABELS}/ and */{LABELS}/")
        for part in parts:
            root = part if part.name != LABELS else part.parent
            split = "" if root == dataset_dir else root.name
            yield from _read(root, images_folder(root, data_dir, "data", "images"), names, nothing, split)


def _read(root: Path, images: Path, names: Mapping[Any, Any], nothing: int, split: str) -> Iterator[ImportedImage]:
    finder = PictureFinder()
    for file in sorted((root / LABELS).rglob("*.png")):
        stem = file.relative_to(root / LABELS).with_suffix("")
        path = images / f"{stem}{EXTENSIONS[0]}"
        try:
            said, sample_id = _said(file)
            named = [*([below(images, said)] if said else []), images / stem]
            found = next((each for each in named if each.is_file()), None)
            path = found or finder.find((images / stem).parent, stem.name) or (named[0] if said else path)
            yield replace(_image(path, read_values(file), names, nothing, split), sample_id=sample_id)
        except InputError as error:
            yield failed(path, error, split)


def _said(file: Path) -> tuple[str, str]:
    """The image and the sample that a map says that it is of, empty where it says nothing."""
    with opened_picture(file) as picture:
        return str(picture.info.get(IMAGE, "")), str(picture.info.get(SAMPLE, ""))


def _image(path: Path, values: npt.NDArray[Any], names: Mapping[Any, Any], nothing: int, split: str) -> ImportedImage:
    if values.ndim != 2 or values.dtype.kind not in "ub":
        raise InputError(f"its class map must be (H, W) whole numbers, got {values.shape} {values.dtype}")
    found = list(rle.class_rles(values, nothing))
    unknown = [value for value, _ in found if value not in names]
    if unknown:
        raise InputError(f"its class map has the value {unknown[0]}, which {CLASSES_FILE} does not name")
    size_hw = (values.shape[0], values.shape[1])
    masks = rle.mask_set(size_hw, [code for _, code in found])
    return ImportedImage(path, masks, tuple(names[value] for value, _ in found), split=split)
