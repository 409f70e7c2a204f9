"""labelme: a JSON file an image, beside it, with polygons or, as `shapes="masks"`, with masks as they are.

labelme fills polygons with Pillow, line and all: they run through the outermost pixels, with seams into holes
(`masks.polygons`). The islands of a mask are polygons of one `group_id`, which labelme takes for one instance. What
labelme does not know of a shape (`label_id`) it keeps and writes back.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.exports.outlines import (
    Pictures,
    Places,
    ReturnedImage,
    crops,
    label_id,
    merged,
    points_of,
    proposals_text,
    size_of,
    text_or_none,
    whole,
)
from fiftyone_ssa.exports.reading import ImportedImage, Reader, failed
from fiftyone_ssa.exports.writing import ExportImage, ExportJob, Kept, Writer
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.files.packing import png
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.filling import fill_pillow
from fiftyone_ssa.masks.polygons import pixel_rings
from fiftyone_ssa.types import MaskSet

VERSION = "5.5.0"
"""Of labelme's files, whose masks and groups these are."""
SHAPES = ("polygons", "masks")


class FormatWriter(Writer):
    """A JSON file an image."""

    options = MappingProxyType({"shapes": "polygons"})
    returns = True

    def __init__(self, job: ExportJob) -> None:
        """Write by `job`. Raises InputError for an option that is none of `SHAPES`."""
        super().__init__(job)
        self._places = Places()
        self._shapes = job.options.get("shapes", "polygons")
        if self._shapes not in SHAPES:
            raise InputError(f"shapes must be one of {', '.join(SHAPES)}, got {shown(self._shapes)}")

    def picture(self, split: str, name: str) -> str:
        """Where labelme finds the labels beside it."""
        return self._place(split, name)

    def add(self, image: ExportImage) -> Kept | None:
        """Write the file of one image."""
        stays = self.job.media == "none"
        place = PurePosixPath(self._place(image.split, image.name, image.number if stays else 0))
        shapes: list[dict[str, Any]] = []
        kept: list[bytes | None] = []
        for number, (name, document, (crop, corner)) in enumerate(
            zip(image.labels, image.documents, crops(image.masks), strict=True)
        ):
            if self._shapes == "masks":
                shapes.append(_shape(name, document, _box(crop, corner), "mask", None) | {"mask": _base64(crop)})
                continue
            rings = pixel_rings(crop, corner)
            kept.append(fill_pillow(rings, image.size_hw))
            group = number if len(rings) > 1 else None
            shapes += [_shape(name, document, whole(ring), "polygon", group) for ring in rings]
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": str(image.source) if stays else place.name,
            "imageData": None,
            "imageHeight": image.size_hw[0],
            "imageWidth": image.size_hw[1],
            "sample_id": image.sample_id,
        }
        self.write(place.with_suffix(".json").as_posix(), json.dumps(content, ensure_ascii=False))
        return kept if self._shapes == "polygons" else None

    def _place(self, split: str, name: str, number: int = 0) -> str:
        return "/".join(filter(None, [split, "data", self._places.of(split, name, number)]))


class FormatReader(Reader):
    """labelme's files of any source: polygons, rectangles and masks; other shapes have no area and are left."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        files = [dataset_dir] if dataset_dir.is_file() else sorted(dataset_dir.rglob("*.json"))
        found = False
        for file in files:
            try:
                content = read_json(file)
            except InputError as error:
                yield failed(file, error)
                continue
            if "shapes" not in content and "imagePath" not in content:
                continue  # another file of the export, or of anyone
            found = True
            yield _read(file, content, Pictures(file.parent, dataset_dir, data_dir), _split(file, dataset_dir))
        if not found:
            raise InputError(f"{dataset_dir} holds no file of labelme: looked for JSON files with shapes")


def _shape(name: str, document: Document, points: list[list[int]], kind: str, group: int | None) -> dict[str, Any]:
    shape = {"label": name, "points": points, "group_id": group, "description": proposals_text(document)}
    identity = label_id(document)
    return shape | {"shape_type": kind, "flags": {}, "mask": None} | ({"label_id": identity} if identity else {})


def _box(crop: npt.NDArray[np.bool_], corner: tuple[int, int]) -> list[list[int]]:
    return [list(corner), [corner[0] + crop.shape[1] - 1, corner[1] + crop.shape[0] - 1]]


def _base64(crop: npt.NDArray[np.bool_]) -> str:
    return base64.b64encode(png(crop)).decode()


def _split(file: Path, root: Path) -> str:
    parts = file.relative_to(root).parts if file != root else ()
    return parts[0] if len(parts) > 2 and parts[1] == "data" else ""


def _read(file: Path, content: Mapping[str, Any], pictures: Pictures, split: str) -> ImportedImage:
    path = file
    try:
        path = pictures.of(content.get("imagePath"))
        size_hw = size_of(path, content.get("imageHeight"), content.get("imageWidth"))
        shapes = content.get("shapes")
        if not isinstance(shapes, list) or not all(isinstance(entry, Mapping) for entry in shapes):
            raise InputError(f"{file} must hold a list of shapes, got {shown(shapes)}")
        codes, rows = [], []
        for entry in shapes:
            if (code := _code(entry, size_hw)) is not None:
                codes.append(code)
                rows.append(entry)
        keys = [None if row.get("group_id") is None else (row.get("label"), str(row["group_id"])) for row in rows]
        united, places = merged(size_hw, codes, keys)
        rows = [rows[place] for place in places]
        masks = rle.mask_set(size_hw, united) if united else MaskSet.empty(size_hw)
        at = datetime.fromtimestamp(int(file.stat().st_mtime), UTC).replace(tzinfo=None)
    except (InputError, OSError) as error:
        return failed(path, error, split)
    return ReturnedImage(
        path,
        masks,
        tuple(text_or_none(row, "label") for row in rows),
        tuple({"label_id": row["label_id"]} if text_or_none(row, "label_id") else {} for row in rows),
        split,
        sample_id=text_or_none(content, "sample_id") or "",
        name=path.name,
        at=at,
    )


def _code(entry: Mapping[str, Any], size_hw: tuple[int, int]) -> bytes | None:
    """The mask of a shape, as labelme fills it; None of a shape without area."""
    kind = entry.get("shape_type", "polygon")
    if kind not in ("polygon", "rectangle", "mask", None):
        return None
    points = points_of(entry.get("points"), size_hw)
    if kind in ("rectangle", "mask"):
        if len(points) != 2:
            raise InputError(f"a {kind} must have two points, got {shown(entry.get('points'))}")
        (x0, y0), (x1, y1) = (tuple(map(int, point)) for point in points)
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if kind == "mask":
        crop = _mask(entry.get("mask"), (y1 - y0 + 1, x1 - x0 + 1))
        if x0 < 0 or y0 < 0 or x1 >= size_hw[1] or y1 >= size_hw[0]:
            raise InputError(f"a mask lies outside its image: {shown(entry.get('points'))}")
        return rle.encode_crop(crop, (x0, y0), size_hw)
    return fill_pillow([np.array(points)], size_hw)


def _mask(text: Any, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that is a PNG in base64."""
    try:
        content = base64.b64decode(text, validate=True)
        with PIL.Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if picture.size != size_hw[::-1]:
                raise InputError(f"a mask has {picture.size} pixels, its box {size_hw[::-1]} (width, height)")
            return np.asarray(picture.convert("L")) > 0
    except InputError:
        raise
    except (TypeError, ValueError, OSError, SyntaxError, binascii.Error) as error:
        raise InputError(f"a mask must be a PNG in base64, got {shown(text)}") from error
