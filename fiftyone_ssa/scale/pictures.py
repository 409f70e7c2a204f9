"""The pictures of chosen images as files: those of a folder where they lie, others written out of their shard.

A tar's are read by their offset. A tar that is compressed, or a file of rows, is gone through once for all images that
are wanted of it, by the reader that labelled it; of Parquet only row groups that hold one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.files.images import EXTENSIONS, PictureBytes, image_size_hw, opened_picture
from fiftyone_ssa.scale.inputs import kind_of
from fiftyone_ssa.scale.parquet_images import read_parquet
from fiftyone_ssa.scale.readers import READERS
from fiftyone_ssa.scale.selecting import ChosenImage
from fiftyone_ssa.scale.shards import Record, Shard

Place = Callable[[ChosenImage], Path]
"""Where a picture is written that is no file yet; without an ending of pictures it gets its own."""
MOST_BYTES = 1 << 30
"""Of one image; more is a damaged row."""
_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "JPEG2000": ".jp2"}
"""Of Pillow's formats that are called otherwise."""
_UNSAFE = re.compile(r"[^\w.-]+|^\.+")


def with_pictures(images: Iterable[ChosenImage], place: Place) -> Iterator[tuple[ChosenImage, Path | InputError]]:
    """Each image with its file, or with why it has none: it cannot be read, or is not of the size in its row."""
    for _, of_shard in groupby(images, key=lambda image: image.part):
        chosen = list(of_shard)
        unpacked = _unpacked([image for image in chosen if _is_in_rows(image)], place)
        for image in chosen:
            try:
                path = unpacked[image.image["image_id"]] if _is_in_rows(image) else _file_of(image, place)
                found = path if isinstance(path, InputError) else _checked(image, path)
            except InputError as error:
                found = error
            yield image, found


def place_in(folder: Path) -> Place:
    """Places below a folder that no other shard, nor another labelling of the same shard, has."""
    return lambda image: folder / Path(image.part.part).stem / safe_name(_below_shard(image))


def safe_name(name: str) -> str:
    """A name from data as a path that stays in its folder: itself, or what is left of it and a checksum."""
    parts = [_UNSAFE.sub("_", part) for part in name.split("/")]
    safe = "/".join(part for part in parts if part)
    if name and safe == name and all(len(part.encode()) <= 200 for part in parts):
        return safe
    stem, ending = Path(parts[-1]).stem[-80:] or "image", Path(parts[-1]).suffix[:8]
    return f"{stem.encode()[-80:].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:12]}{ending}"


def _below_shard(image: ChosenImage) -> str:
    name: str = image.image["image_id"]
    return name.removeprefix(f"{image.part.shard}/")


def _checked(image: ChosenImage, path: Path) -> Path:
    row = image.image
    if (size_hw := image_size_hw(path)) != (row["height"], row["width"]):
        raise InputError(
            f"its row is of a picture of {row['width']}x{row['height']} (width x height), "
            f"that in {image.part.source} has {size_hw[1]}x{size_hw[0]}; the shard was changed since"
        )
    return path


def _is_in_rows(image: ChosenImage) -> bool:
    """Whether it lies in a file of which no place is known."""
    return (
        image.image["offset"] is None and bool(kind_of(image.part.source)[0]) and not Path(image.part.source).is_dir()
    )


def _file_of(image: ChosenImage, place: Place) -> Path:
    """The file of an image that lies in a folder, or in a tar at a known place."""
    source, row = image.part.source, image.image
    if row["offset"] is None and Path(source).is_dir():
        return _in_folder(image)
    path = place(image)
    if row["offset"] is not None:
        size = row["size"]
        if not path.is_file() or path.stat().st_size != size:
            write_whole(path, _bytes(source, row["offset"], size))
    elif "://" not in source:
        raise InputError(f"{source} is gone, or neither a folder, a tar nor a file of rows")
    elif not path.is_file():
        if ".." in row["member"].split("/"):
            raise InputError(f"{row['member']} leaves its folder {source}")
        write_whole(path, _bytes(f"{source.rstrip('/')}/{row['member']}"))
    return path


def _unpacked(images: list[ChosenImage], place: Place) -> dict[str, Path | InputError]:
    """By image id, the files of one shard's images, or why there is none."""
    found: dict[str, Path | InputError] = {}
    wanted = {image.image["image_id"]: (image, place(image)) for image in images}
    for image_id, (_, path) in wanted.items():
        if (there := _written(path)) is not None:
            found[image_id] = there
    left = {image_id: pair for image_id, pair in wanted.items() if image_id not in found}
    if not left:
        return found
    part = images[0].part
    missing = InputError(f"it is no longer in {part.source}; the shard was changed since")
    try:
        with closing(
            _records(part.shard, part.source, [image.image["member"] for image, _ in left.values()])
        ) as records:
            for record in records:
                if record.id in left:
                    found[record.id] = _write(record, left.pop(record.id)[1])
                if not left:
                    break
    except (OSError, ValueError, ImportError) as error:
        missing = InputError(f"{part.source} cannot be read: {error}")
    return found | dict.fromkeys(left, missing)


def _records(shard: str, source: str, members: Iterable[str]) -> Any:
    kind = kind_of(source)[0]
    named = Shard(shard, kind, source, "")
    if kind == "parquet":
        rows = [int(member) for member in members if member.isdecimal()]
        return read_parquet(named, needs_masks=False, rows=rows)
    return READERS[kind](named, needs_masks=False)


def _written(path: Path) -> Path | None:
    """The file of an earlier time."""
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
    import fsspec

    found: tuple[Any, str] = fsspec.core.url_to_fs(source)
    return found


def _in_folder(chosen: ChosenImage) -> Path:
    """Where it lies below its shard's folder, and not above."""
    source = Path(chosen.part.source)
    path: Path = source / chosen.image["member"]
    if not path.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{chosen.image['member']} leaves its folder {source}")
    return path
