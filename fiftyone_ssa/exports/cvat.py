"""CVAT for images 1.1: masks as CVAT's own run lengths or, as `shapes="polygons"`, as polygons, with proposals.

`annotations.xml`, `labels.json` (the task's labels, to be pasted into the constructor's tab Raw, so that CVAT keeps
`label_id`, `confidence` and `proposals` of a shape) and images in `data/`. CVAT fills polygons as pycocotools does, so
they run along pixel edges, with seams into holes (`masks.polygons`); the islands of a mask are polygons of one group.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.exports.outlines import (
    ReturnedImage,
    confidence_of,
    crops,
    label_id,
    merged,
    points_of,
    proposals_text,
    when,
)
from fiftyone_ssa.exports.reading import ImportedImage, Reader, below, failed, images_folder, left_where, split_names
from fiftyone_ssa.exports.writing import ExportImage, ExportJob, Kept, Writer
from fiftyone_ssa.exports.xml_text import as_xml, check_xml
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.filling import fill_coco
from fiftyone_ssa.masks.polygons import edge_rings
from fiftyone_ssa.types import MaskSet

LABELS_FILE, TASK_FILE = "annotations.xml", "labels.json"
SHAPES = ("masks", "polygons")
ATTRIBUTES = ("label_id", "confidence", "proposals")
_PALETTE = (
    "#e6194b",
    "#3cb44b",
    "#ffe119",
    "#4363d8",
    "#f58231",
    "#911eb4",
    "#46f0f0",
    "#f032e6",
    "#bcf60c",
    "#008080",
)


class FormatWriter(Writer):
    """`annotations.xml` and `labels.json`."""

    options = MappingProxyType({"shapes": "masks"})
    keeps = frozenset({"confidence"})
    returns = True
    labels = LABELS_FILE

    def __init__(self, job: ExportJob) -> None:
        """Write by `job`. Raises InputError for an option that is none of `SHAPES`, or a class that XML cannot hold."""
        super().__init__(job)
        for entry in job.classes:
            check_xml("the class", entry.name)
        self._shapes = job.options.get("shapes", SHAPES[0])
        if self._shapes not in SHAPES:
            raise InputError(f"shapes must be one of {', '.join(SHAPES)}, got {shown(self._shapes)}")
        self._file: IO[str]

    def __enter__(self) -> Writer:
        """Begin the file, and write the labels."""
        labels = [_label_entry(entry, place) for place, entry in enumerate(self.job.classes)]
        self.write(TASK_FILE, json.dumps(labels, ensure_ascii=False, indent=1) + "\n")
        self._file = self.open(LABELS_FILE)
        self._file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        self._file.write(f"  <meta>\n    <task>\n      <name>{escape(as_xml(self.job.title))}</name>\n      <labels>\n")
        self._file.writelines(map(_label_element, labels))
        self._file.write("      </labels>\n    </task>\n  </meta>\n")
        return self

    def planned(self) -> Iterable[str]:
        """The annotations and the labels."""
        return (LABELS_FILE, TASK_FILE)

    def picture(self, split: str, name: str) -> str:
        """In one folder for all: CVAT's names of images are relative to it."""
        return "/".join(filter(None, ["data", split, check_xml("the image", name)]))

    def add(self, image: ExportImage) -> Kept | None:
        """Write one image."""
        height, width = image.size_hw
        name = f"{image.split}/{image.name}" if image.split else image.name
        self._file.write(
            f'  <image id="{image.number - 1}" name={quoteattr(name)} width="{width}" height="{height}">\n'
        )
        kept: list[bytes | None] = []
        for number, (label, document, (crop, corner)) in enumerate(
            zip(image.labels, image.documents, crops(image.masks), strict=True), 1
        ):
            inside = _attribute_elements(document)
            if self._shapes == "masks":
                self._file.write(_mask(label, crop, corner, inside))
                continue
            rings = [ring.corners_xy for ring in edge_rings(crop, corner, seams=True)]
            kept.append(fill_coco(rings, image.size_hw))
            group = f' group_id="{number}"' if len(rings) > 1 else ""
            for ring in rings:
                points = ";".join(["%d.00,%d.00"] * len(ring)) % tuple(ring.ravel().tolist())
                self._file.write(
                    f'    <polygon label={quoteattr(label)} source="auto" occluded="0" points="{points}" '
                    f'z_order="0"{group}>\n{inside}    </polygon>\n'
                )
        self._file.write("  </image>\n")
        return kept if self._shapes == "polygons" else None

    def finish(self) -> None:
        """Complete the file."""
        self._file.write("</annotations>\n")


class FormatReader(Reader):
    """CVAT for images 1.1 of any task: masks, polygons and boxes; other shapes have no area and are left."""

    def read(self, dataset_dir: Path, data_dir: Path | None = None) -> Iterator[ImportedImage]:
        """The images of a data set, one at a time."""
        file = dataset_dir if dataset_dir.is_file() else dataset_dir / LABELS_FILE
        if not file.is_file():
            raise InputError(f"{dataset_dir} holds no CVAT for images: looked for {LABELS_FILE}; name the file")
        root = images_folder(file.parent, data_dir, "data", "images")
        stays = root == left_where(file.parent)
        roots = {"": root, **{split: root if stays else root / split for split in split_names(file.parent)}}
        meta: dict[str, str] = {}
        try:
            for _, element in ElementTree.iterparse(file):
                if element.tag == "meta":
                    meta = _meta(element)
                elif element.tag == "image":
                    yield _read(element, roots, meta)
                    element.clear()
        except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
            raise InputError(f"{file} is not XML of CVAT: {error}") from error


def _label_entry(entry: Any, place: int) -> dict[str, Any]:
    attributes = [
        {"name": name, "input_type": "text", "mutable": False, "values": [""], "default_value": ""}
        for name in ATTRIBUTES
    ]
    colour = entry.colour or _PALETTE[place % len(_PALETTE)]
    return {"name": entry.name, "color": colour, "type": "any", "attributes": attributes}


def _label_element(label: Mapping[str, Any]) -> str:
    attributes = "".join(
        f"            <attribute>\n              <name>{name}</name>\n              <mutable>False</mutable>\n"
        "              <input_type>text</input_type>\n              <default_value></default_value>\n"
        "              <values></values>\n            </attribute>\n"
        for name in ATTRIBUTES
    )
    return (
        f"        <label>\n          <name>{escape(label['name'])}</name>\n          <color>{label['color']}</color>\n"
        f"          <type>any</type>\n          <attributes>\n{attributes}          </attributes>\n        </label>\n"
    )


def _attribute_elements(document: Document) -> str:
    confidence = confidence_of(document)
    values = {
        "label_id": label_id(document),
        "confidence": "" if confidence is None else repr(confidence),
        "proposals": as_xml(proposals_text(document)),
    }
    return "".join(
        f'      <attribute name="{key}">{escape(value)}</attribute>\n' for key, value in values.items() if value
    )


def _mask(label: str, crop: Any, corner: tuple[int, int], inside: str) -> str:
    """A mask as CVAT's run lengths: 0 and 1 in turn, row by row of its box."""
    height, width = crop.shape
    starts, ends = rle.row_intervals(crop, (0, 0), crop.shape)
    edges = np.column_stack([starts, ends]).ravel()
    ends_outside = [] if len(ends) and ends[-1] == crop.size else [crop.size]
    runs = np.diff(np.concatenate([[0], edges, ends_outside]).astype(np.int64)).tolist()
    return (
        f'    <mask label={quoteattr(label)} source="auto" occluded="0" rle="{", ".join(map(str, runs))}" '
        f'left="{corner[0]}" top="{corner[1]}" width="{width}" height="{height}" z_order="0">\n{inside}    </mask>\n'
    )


def _meta(element: ElementTree.Element) -> dict[str, str]:
    """Who worked on a task, and when it was changed last."""

    def text(*paths: str) -> str:
        return next((found for path in paths for found in [element.findtext(path)] if found), "")

    people = (".//assignee/username", ".//owner/username", ".//assignee", ".//owner")
    return {"by": text(*people).strip(), "at": text("./task/updated", "./job/updated", "./project/updated", "./dumped")}


def _read(element: ElementTree.Element, roots: Mapping[str, Path], meta: Mapping[str, str]) -> ImportedImage:
    """One image; `roots` are the folders of the images of each split, of all images for ""."""
    name = element.get("name", "")
    split = next((each for each in roots if each and name.startswith(f"{each}/")), "")
    root, place = roots[split], name[len(split) + 1 :] if split else name
    path = root / "unnamed"
    try:
        subset = element.get("subset")
        path = below(root, f"{subset}/{place}" if subset and (root / subset / place).is_file() else place)
        size_hw = _number(element, "height"), _number(element, "width")
        shapes = [child for child in element if child.tag in ("mask", "polygon", "box")]
        codes = [_code(child, size_hw) for child in shapes]
        keys = [(child.get("group_id"), child.get("label")) if child.get("group_id") else None for child in shapes]
        keys = [key if child.tag == "polygon" else None for key, child in zip(keys, shapes, strict=True)]
        united, places = merged(size_hw, codes, keys)
        masks = rle.mask_set(size_hw, united) if united else MaskSet.empty(size_hw)
    except InputError as error:
        return failed(path, error, split)
    rows = [shapes[place] for place in places]
    return ReturnedImage(
        path,
        masks,
        tuple(row.get("label") for row in rows),
        tuple(map(_attributes, rows)),
        split,
        name=name,
        by=meta.get("by", ""),
        at=when(meta.get("at")),
    )


def _number(element: ElementTree.Element, key: str) -> int:
    text = element.get(key, "")
    if not text.isdecimal() or len(text) > 9 or not 0 < int(text) < 1 << 20:
        raise InputError(f"{element.tag} must have {key}, a whole number above 0, got {shown(text)}")
    return int(text)


def _code(shape: ElementTree.Element, size_hw: tuple[int, int]) -> bytes:
    if shape.tag == "mask":
        return _mask_code(shape, size_hw)
    try:
        if shape.tag == "box":
            x0, y0, x1, y1 = (float(shape.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr"))
            pairs: Sequence[Sequence[float]] = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        else:
            pairs = [[float(number) for number in pair.split(",")] for pair in shape.get("points", "").split(";")]
    except ValueError as error:
        raise InputError(f"a {shape.tag} must have points in numbers, got {shown(shape.get('points'))}") from error
    points = points_of(pairs, size_hw)
    if len(points) < 3:
        raise InputError(f"a polygon needs at least three points, got {len(points)}")
    return fill_coco([np.array(points)], size_hw)


def _mask_code(shape: ElementTree.Element, size_hw: tuple[int, int]) -> bytes:
    width, height = _number(shape, "width"), _number(shape, "height")
    try:
        left, top = int(shape.get("left", "")), int(shape.get("top", ""))
        runs = np.array([int(run) for run in shape.get("rle", "").split(",")], np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"a mask must have run lengths and a corner, got {shown(shape.get('rle'))}") from error
    inside = 0 <= left <= size_hw[1] - width and 0 <= top <= size_hw[0] - height
    if not inside or runs.min() < 0 or runs.max() > width * height or runs.sum() > width * height:
        raise InputError(f"a mask's run lengths do not fit its box of {width}x{height} at {left}, {top} in the image")
    values = np.arange(len(runs)) % 2 == 1
    crop = np.zeros(width * height, np.bool_)
    flat = np.repeat(values, runs)
    crop[: len(flat)] = flat
    return rle.encode_crop(crop.reshape(height, width), (left, top), size_hw)


def _attributes(shape: ElementTree.Element) -> dict[str, Any]:
    found = {child.get("name"): (child.text or "").strip() for child in shape if child.tag == "attribute"}
    values: dict[str, Any] = {"label_id": found["label_id"]} if found.get("label_id") else {}
    try:
        return values | ({"confidence": float(found["confidence"])} if found.get("confidence") else {})
    except ValueError:
        return values
