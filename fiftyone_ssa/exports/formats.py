"""The formats that masks are exported to and read from, by name; a format's module is loaded when it is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.layouts.class_names import nearest

if TYPE_CHECKING:
    from fiftyone_ssa.exports.reading import Reader
    from fiftyone_ssa.exports.writing import Writer


@dataclass(frozen=True)
class Format:
    """One format: the one entry that a new one needs. Its module holds a `FormatWriter` and a `FormatReader`."""

    name: str
    label: str
    line: str
    """What it is, in a line, for the App's form and the command's help."""
    module: str
    """Below `fiftyone_ssa.exports`."""

    @property
    def kind(self) -> str:
        """What the marker of an export's folder says that it holds."""
        return f"{'COCO' if self.name == 'coco' else self.name} export"


FORMATS = {
    entry.name: entry
    for entry in (
        Format("coco", "COCO instances", "One labels.json with exact masks as RLE", "coco"),
        Format("coco-panoptic", "COCO panoptic", "A PNG of segments an image, no pixel twice", "coco_panoptic"),
        Format("lvis", "LVIS", "COCO's form with synonyms, frequencies and what is exhaustive", "lvis"),
        Format("semantic-png", "Semantic PNGs", "One class a pixel: own ids, Cityscapes' or ADE20K's", "semantic_png"),
        Format("ssa-json", "SSA JSON", "A JSON an image, as Semantic Segment Anything publishes it", "ssa_json"),
        Format("sa1b-json", "SA-1B JSON", "A JSON beside each image, as SA-1B has it", "sa1b_json"),
        Format("hugging-face", "Hugging Face datasets", "Parquet with images, or their paths", "hugging_face"),
        Format("yolo", "YOLO segmentation", "Ultralytics' lines of text, one polygon a mask", "yolo"),
        Format("cityscapes-polygons", "Cityscapes polygons", "As cityscapesscripts paint them", "cityscapes_polygons"),
        Format("labelme", "labelme", "A JSON file an image, with polygons or exact masks", "labelme"),
        Format("label-studio", "Label Studio", "Tasks with exact masks and proposals to correct", "label_studio"),
        Format("cvat", "CVAT", "CVAT for images 1.1 with exact masks and proposals to correct", "cvat"),
    )
}
"""Name to format, in the order in which they are offered."""


def format_of(name: object) -> Format:
    """The format of a name. Raises InputError, with the names there are, for any other."""
    if isinstance(name, str) and name.replace("_", "-") in FORMATS:
        return FORMATS[name.replace("_", "-")]
    near = nearest(name, list(FORMATS)) if isinstance(name, str) else None
    meant = f"; did you mean {near!r}?" if near else ""
    raise InputError(f"format must be one of {', '.join(FORMATS)}, got {shown(name)}{meant}")


def writer_of(name: object) -> type[Writer]:
    """The class that writes a format. Raises InputError if there is no such format."""
    writer: type[Writer] = _module(name).FormatWriter
    return writer


def reader_of(name: object) -> type[Reader]:
    """The class that reads a format. Raises InputError if there is no such format."""
    reader: type[Reader] = _module(name).FormatReader
    return reader


def _module(name: object) -> ModuleType:
    return importlib.import_module(f"fiftyone_ssa.exports.{format_of(name).module}")
