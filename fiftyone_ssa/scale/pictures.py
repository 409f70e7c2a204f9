"""The pictures of chosen images as files: those of a folder where they lie, others written out of their shard.

A tar's are read by their offset. A tar that is compressed, or a file of rows, is gone through once for all images that
are wanted of it, by the reader that labelled it; of Parquet only row groups that hold one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.files.images import EXTENSIONS, PictureBytes, image_size_hw, opened_picture
from fiftyone_ssa.scale.inputs import kind_of
from fiftyone_ssa.scale.manifest import Entry
from fiftyone_ssa.scale.parquet_images import read_parquet
from fiftyone_ssa.scale.query import Row
from fiftyone_ssa.scale.readers import READERS
from fiftyone_ssa.scale.selecting import ChosenImage
from fiftyone_ssa.scale.shards import Record, Shard
from fiftyone_ssa.scale.store import file_system

Place = Callable[[Entry, Row], Path]
"""Where a shard's picture is written that is no file yet, by its row; without an ending of pictures it gets its own."""
MOST_BYTES = 1 << 30
"""Of one image; more is a damaged row."""
_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "JPEG2000": ".jp2"}
"""Of Pillow's formats that are called otherwise."""
_UNSAFE = re.compile(r"[^\w.-]+|^\.+")


class ShardPictures:
    """The pictures of one shard's images, of which those that lie in a file of rows are written out at once."""

    def __init__(self, part: Entry, images: Sequence[Row], place: Place) -> None:
        """`images` are all rows of `images` that will be asked for."""
        self._part, self._place = part, place
        self._written: dict[str, Path | InputError] = {}
        if not is_folder(part.source):
            self._write_out([image for image in images if image["offset"] is None])

    def of(self, image: Row) -> Path:
        """The file of an image. Raises InputError if it cannot be read, or is not of the size in its row."""
        path = self._written.get(image["image_id"]) or self._file_of(image)
        if isinstance(path, InputError):
            raise path
        if (size_hw := image_size_hw(path)) != (image["height"], image["width"]):
            raise InputError(
                f"its row is of a picture of {image['width']}x{image['height']} (width x height), "
                f"that in {self._part.source} has {size_hw[1]}x{size_hw[0]}; the shard was changed since"
            )
        return path

    def _file_of(self, image: Row) -> Path:
        """The file of an image that lies in a folder, or in a tar at a known place."""
        source, path = self._part.source, self._place(self._part, image)
        if image["offset"] is not None:
            if not path.is_file() or path.stat().st_size != image["size"]:
                write_whole(path, _bytes(source, image["offset"], image["size"]))
        elif is_folder(source) and Path(source).is_dir():
            return _in_folder(source, image["member"])
        elif "://" not in source or not is_folder(source):
            raise InputError(f"{source} is gone, or neither a folder, a tar nor a file of rows")
        elif ".." in image["member"].split("/"):
            raise InputError(f"{image['member']} leaves its folder {source}")
        elif not path.is_file():
            write_whole(path, _bytes(f"{source.rstrip('/')}/{image['member']}"))
        return path

    def _write_out(self, images: Sequence[Row]) -> None:
        """Go through the shard's file once for those that were not written at an earlier time."""
        left: dict[str, Path] = {}
        for image in images:
            path = self._place(self._part, image)
            if (there := earlier_file(path)) is not None:
                self._written[image["image_id"]] = there
            else:
                left[image["image_id"]] = path
        if not left:
            return
        missing = InputError(f"it is no longer in {self._part.source}; the shard was changed since")
        try:
            with closing(_records(self._part, [image["member"] for image in images])) as records:
                for record in records:
                    if record.id == self._part.shard:
                        missing = InputError(record.problem)
                    if record.id in left:
                        self._written[record.id] = _write(record, left.pop(record.id))
                    if not left:
                        break
        except (OSError, ValueError, ImportError, MissingDependencyError) as error:
            missing = InputError(f"{self._part.source} cannot be read: {error}")
        self._written |= dict.fromkeys(left, missing)


def with_pictures(images: Iterable[ChosenImage], place: Place) -> Iterator[tuple[ChosenImage, Path | InputError]]:
    """Each image with its file, or with why it has none."""
    for part, of_shard in groupby(images, key=lambda image: image.part):
        chosen = list(of_shard)
        pictures = ShardPictures(part, [image.image for image in chosen], place)
        for image in chosen:
            try:
                found: Path | InputError = pictures.of(image.image)
            except InputError as error:
                found = error
            yield image, found


def is_folder(source: str) -> bool:
    """Whether a shard's images are files of a folder, and not in a tar, nor in rows; Lance's rows are in a folder."""
    kind = kind_of(source)[0]
    return not kind or (kind != "lance" and Path(source).is_dir())


def place_in(folder: Path) -> Place:
    """Places below a folder that no other shard, nor another labelling of the same shard, has."""
    return lambda part, image: (
        folder / Path(part.part).stem / safe_name(image["image_id"].removeprefix(f"{part.shard}/"))
    )


def safe_name(name: str) -> str:
    """A name from data as a path that stays in its folder: itself, or what is left of it and a checksum."""
    parts = [_UNSAFE.sub("_", part) for part in name.split("/")]
    safe = "/".join(part for part in parts if part)
    if name and safe == name and all(len(part.encode()) <= 200 for part in parts):
        return safe
    stem, ending = Path(parts[-1]).stem[-80:] or "image", Path(parts[-1]).suffix[:8]
    return f"{stem.encode()[-80:].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:12]}{ending}"


def _records(part: Entry, members: Iterable[str]) -> Any:
    kind = kind_of(part.source)[0]
    shard = Shard(part.shard, kind, part.source, part.stamp)
    if kind == "parquet":
        return read_parquet(shard, needs_masks=False, rows=[int(each) for each in members if each.isdecimal()])
    return READERS[kind](shard, needs_masks=False)


def earlier_file(path: Path) -> Path | None:
    """The file that was written to a place at an earlier time."""
    if path.suffix.lower() in EXTENSIONS:
        return path if path.is_file() else None
    return next((found for found in path.parent.glob(f"{path.name}.*") if found.suffix in EXTENSIONS), None)


def _write(record: Record, path: Path) -> Path | InputError:
    if record.problem:
        return InputError(record.problem)
    try:
        if path.suffix.lower() not in EXTENSIONS:
            with opened_picture(PictureBytes(record.id, record.image)) as picture:
                kind = str(picture.format)
            path = path.with_name(path.name + _ENDINGS.get(kind, f".{kind.lower()}"))
        write_whole(path, record.image)
    except InputError as error:
        return error
    return path


def _bytes(source: str, offset: int | None = None, size: int | None = None) -> bytes:
    """A file, or a piece of one, wherever fsspec finds that; no more is read."""
    if offset is not None and (size is None or not 0 < size <= MOST_BYTES or offset < 0):
        raise InputError(f"its row says {size} bytes at {offset} of {source}, where no image can be")
    try:
        system, path = _file_system(source)
        end = None if offset is None or size is None else offset + size
        data: bytes = system.cat_file(path, start=offset, end=end)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{source} cannot be read: {error}") from error
    if size is not None and len(data) < size:
        raise InputError(f"{source} ends before its {size} bytes at {offset}; the shard was changed since")
    return data


@lru_cache(maxsize=8)
def _file_system(source: str) -> tuple[Any, str]:
    return file_system(source)


def _in_folder(source: str, member: str) -> Path:
    """Where an image lies below its shard's folder, and not above; links in it are its owner's."""
    if Path(member).is_absolute() or ".." in member.split("/"):
        raise InputError(f"{member} leaves its folder {source}")
    return Path(source) / member
