"""Images of other tools' data sets as FiftyOne labels: checked against their pictures, attributes of ours by type."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.formats import format_of, reader_of
from fiftyone_ssa.exports.image_masks import NOT_VALUES
from fiftyone_ssa.exports.reading import ImportedImage, is_empty_export
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.files.printable import in_utf8
from fiftyone_ssa.labels.documents import ATTRIBUTES, masks_document
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.naming.arguments import check_path

_NO_ATTRIBUTES = frozenset((*NOT_VALUES, "id", "label", "label_id", "area"))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_OF_TYPE: Mapping[type[Any], type[Any] | tuple[type[Any], ...]] = {
    fo.StringField: str,
    fo.IntField: int,
    fo.FloatField: (int, float),
    fo.DateTimeField: datetime.datetime,
    fo.ListField: list,
}


class Imported:
    """A data set of another tool, an image at a time; pictures that it holds itself are written to `media_dir`."""

    def __init__(self, dataset_dir: Any, format: str, data_dir: Any = None, media_dir: Any = None) -> None:
        """Raises InputError if the format is unknown or the data set is not there."""
        self.root = check_path("dataset_dir", dataset_dir).absolute()
        if not self.root.exists():
            raise InputError(f"{self.root} is not there; name the folder of a data set")
        self._reader = reader_of(format)()
        self._is_empty = is_empty_export(self.root, format_of(format).kind)
        self._data_dir = None if data_dir is None else check_path("data_dir", data_dir).absolute()
        digest = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]
        default = Path(fo.config.default_dataset_dir) / "fiftyone-ssa" / f"{self.root.name}-{digest}"
        self.media_dir = default if media_dir is None else check_path("media_dir", media_dir).absolute()

    def __iter__(self) -> Iterator[ImportedImage]:
        """The images, as the reader has them."""
        return iter(()) if self._is_empty else self._reader.read(self.root, self._data_dir)

    def placed(self, image: ImportedImage, known: str | None = None) -> ImportedImage:
        """The image with its picture's file: `known`, or its own, written where the data set holds it itself.

        Raises InputError if it cannot be read, or is not of the masks' size.
        """
        if known is not None:
            image = replace(image, path=Path(known), picture=None)
        elif image.picture is not None:
            path = self.media_dir / image.path
            write_whole(path, image.picture)
            image = replace(image, path=path, picture=None)
        size_hw = image_size_hw(image.path)
        if size_hw != image.masks.size_hw and len(image.masks):
            said = f"{image.masks.size_hw[1]}x{image.masks.size_hw[0]}"
            raise InputError(
                f"its masks are of a picture of {said} (width x height), {image.path} has {size_hw[1]}x{size_hw[0]}"
            )
        return image

    def document(self, image: ImportedImage) -> dict[str, Any]:
        """The Detections of an image, as the database holds them. Raises UnstorableError if no document holds them."""
        folder = self.media_dir / "masks" / hashlib.sha256(str(image.path).encode()).hexdigest()[:16]
        names = [in_utf8(name) if isinstance(name, str) else None for name in image.labels]
        document = masks_document(image.masks, folder, {"label": names}, digests=False)
        for detection, values in zip(document["detections"], image.attributes, strict=False):
            identity = values.get("label_id")
            if isinstance(identity, str) and ObjectId.is_valid(identity):
                detection["_id"] = ObjectId(identity)
            detection |= attributes(values)
        identities = [detection["_id"] for detection in document["detections"]]
        if len(set(identities)) < len(identities):  # a mask that was copied with its id is a new one
            seen: set[ObjectId] = set()
            for detection in document["detections"]:
                detection["_id"] = ObjectId() if detection["_id"] in seen else detection["_id"]
                seen.add(detection["_id"])
        return document


def attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a data set says of a mask, as attributes of a detection: ours by their types, other plain values too.

    Whole numbers of more than 64 bits are left out, and half characters escaped: no database holds them.
    """
    found: dict[str, Any] = {}
    for name, value in ((name, _storable(value)) for name, value in values.items()):
        if name in _NO_ATTRIBUTES or not _NAME.fullmatch(name) or value is None:
            continue
        if name == "tags":
            found["tags"] = [str(tag) for tag in value] if isinstance(value, list) else [str(value)]
        elif name == "confidence":
            if is_number(value):
                found["confidence"] = float(value)
        elif name == "index":
            if type(value) is int:
                found["index"] = value
        elif name in ATTRIBUTES:
            kind, each = ATTRIBUTES[name]
            if kind is fo.DateTimeField:
                value = _time(value)
            if _fits(value, kind) and (each is None or all(_fits(item, each) for item in value)):
                found[name] = value
        elif _is_plain(value):
            found[name] = value
    return found


def _storable(value: Any) -> Any:
    if isinstance(value, list):
        return None if None in (items := list(map(_storable, value))) else items
    if isinstance(value, int) and value.bit_length() > 63:
        return None
    return in_utf8(value) if isinstance(value, str) else value


def _fits(value: Any, kind: type[Any]) -> bool:
    return isinstance(value, _OF_TYPE[kind]) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) or (
        isinstance(value, list) and all(isinstance(item, str | int | float | bool) for item in value)
    )


def _time(value: Any) -> Any:
    try:
        found = datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found.astimezone(datetime.UTC).replace(tzinfo=None) if found.tzinfo else found
