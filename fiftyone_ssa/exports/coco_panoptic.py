"""COCO panoptic, each way: a PNG of segment ids an image, and one JSON that says what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.coco import category_entries
from fiftyone_ssa.exports.coco_file import CocoFile
from fiftyone_ssa.exports.coco_reading import CocoPart, identity, names_of, parts_of, read_content, read_entries
from fiftyone_ssa.exports.image_masks import is_crowd
from fiftyone_ssa.exports.one_class_a_pixel import resolve
from fiftyone_ssa.exports.reading import ImportedImage, Reader, below
from fiftyone_ssa.exports.writing import ExportImage, ExportJob, Kept, Writer, in_split
from fiftyone_ssa.files.images import read_values
from fiftyone_ssa.files.packing import png
from fiftyone_ssa.labels.panoptic import id_pixels
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.masks import rle

LABELS_FILE, SEGMENTS = "panoptic.json", "panoptic"


class FormatWriter(Writer):
    """`panoptic.json`, PNGs in `panoptic/`, images in `data/`; with splits, a folder for each.

    A segment is a mask of a thing, or all masks of a stuff class of an image. A pixel's id is R + 256 G + 256^2 B.
    """

    labels = LABELS_FILE

    def __init__(self, job: ExportJob) -> None:
        super().__init__(job)
        self._files: dict[str, CocoFile] = {}
        self._stuff = {entry.name for entry in job.classes if not entry.is_thing}

    def __enter__(self) -> Writer:
        """Begin the files."""
        for split in self.job.parts:
            self._files[split] = self._closing.enter_context(CocoFile(self.path(in_split(split, LABELS_FILE))))
        return self

    def planned(self) -> Iterable[str]:
        """The files of labels."""
        return [in_split(split, LABELS_FILE) for split in self.job.parts]

    def add(self, image: ExportImage) -> Kept | None:
        """Write an image's segments; of overlapping masks one has the pixel."""
        owners = resolve(image.masks, image.labels, image.documents, self._stuff)
        segments = self._segment_ids(image)
        ids = owners.painted(segments).astype(np.int32)
        name = self.stem(image) + ".png"
        self.write(in_split(image.split, f"{SEGMENTS}/{name}"), png(id_pixels(ids)))
        height, width = image.size_hw
        file = self._files[image.split]
        file.write_image({"id": image.number, "file_name": image.name, "width": width, "height": height})
        described = [*self._described(image, segments, ids)]
        file.write_annotation({"image_id": image.number, "file_name": name, "segments_info": described})
        return owners.kept()

    def finish(self) -> str:
        """Complete the files, and answer their digests."""
        entries = [
            {
                **entry,
                "supercategory": entry.get("supercategory", entry["name"]),
                "isthing": int(each.is_thing),
                "color": [int((each.colour or colour_of(each.name))[place : place + 2], 16) for place in (1, 3, 5)],
            }
            for each, entry in zip(self.job.classes, category_entries(self.job.classes), strict=True)
        ]
        return " ".join(file.finish({"description": self.job.title}, entries) for file in self._files.values())

    def _segment_ids(self, image: ExportImage) -> list[int]:
        """Of each mask the id of its segment, from 1."""
        first: dict[str, int] = {}
        ids = []
        for row, name in enumerate(image.labels):
            ids.append(first.setdefault(name, row + 1) if name in self._stuff else row + 1)
        return ids

    def _described(
        self, image: ExportImage, segments: list[int], ids: np.ndarray[Any, Any]
    ) -> Iterator[dict[str, Any]]:
        """What is said of each segment that has a pixel."""
        codes = dict(rle.class_rles(ids, 0))
        masks = rle.mask_set(image.size_hw, list(codes.values()))
        place = {number: index for index, number in enumerate(codes)}
        for row, number in enumerate(segments):
            index = place.pop(number, None)
            if index is not None:
                yield {
                    "id": number,
                    "category_id": self.job.ids[image.labels[row]],
                    "area": int(masks.areas_px[index]),
                    "bbox": masks.boxes_xywh[index].tolist(),
                    "iscrowd": is_crowd(image.documents[row]),
                }


class FormatReader(Reader):
    """COCO panoptic of any source: `panoptic.json` with `panoptic/`, or COCO's own layout."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, a mask a segment."""
        for part in parts_of(dataset_dir, data_dir, LABELS_FILE):
            yield from _read(part)


def _read(part: CocoPart) -> Iterator[ImportedImage]:
    content = read_content(part.file)
    names = names_of(part.file, content["categories"])
    beside = (part.file.with_suffix(""), part.file.parent / SEGMENTS)
    folder = next((folder for folder in beside if folder.is_dir()), beside[0])
    of_image = {identity(each, "image_id"): each for each in content["annotations"]}
    return read_entries(
        part, content, lambda path, entry: _image(part, path, folder, of_image.get(identity(entry)), names)
    )


def _image(part: CocoPart, path: Path, folder: Path, annotation: Any, names: Mapping[Any, str]) -> ImportedImage:
    if not isinstance(annotation, Mapping):
        raise InputError(f"{part.file} says nothing of its segments")
    file = below(folder, annotation.get("file_name"))
    colours = read_values(file).astype(np.uint32)
    if colours.ndim != 3:
        raise InputError(f"{file} holds no colours; the PNG of a panoptic data set has ids as R + 256 G + 65536 B")
    ids = colours[..., 0] + (colours[..., 1] << 8) + (colours[..., 2] << 16)
    codes = dict(rle.class_rles(ids, 0))
    found, labels, attributes = [], [], []
    segments = annotation.get("segments_info")
    for segment in segments if isinstance(segments, list) else ():
        number, category = identity(segment), identity(segment, "category_id")
        if number not in codes:
            raise InputError(f"{file} has no pixel of the segment {shown(number)}")
        if category not in names:
            raise InputError(f"its category {shown(category)} is none of the file's")
        found.append(codes[number])
        labels.append(names[category])
        attributes.append({"iscrowd": True} if segment.get("iscrowd") else {})
    size_hw = (ids.shape[0], ids.shape[1])
    return ImportedImage(path, rle.mask_set(size_hw, found), tuple(labels), tuple(attributes), part.split)
