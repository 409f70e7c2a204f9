"""The pictures of chosen images as files: those of a folder where they lie, those of a tar read by their offset."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.scale.selecting import ChosenImage

MOST_BYTES = 1 << 30
"""Of one image; more is a damaged row."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def picture_of(chosen: ChosenImage, media_dir: Path) -> Path:
    """The file of an image; what lies in a tar is written to `media_dir`, once.

    Raises InputError if it cannot be read, or is not of the size that its row says.
    """
    row = chosen.image
    path = _from_tar(chosen, media_dir) if row["offset"] is not None else _in_folder(chosen)
    if (size_hw := image_size_hw(path)) != (row["height"], row["width"]):
        raise InputError(
            f"its row is of a picture of {row['width']}x{row['height']} (width x height), "
            f"that in {chosen.part.source} has {size_hw[1]}x{size_hw[0]}; the shard was changed since"
        )
    return path


def _from_tar(chosen: ChosenImage, media_dir: Path) -> Path:
    row = chosen.image
    member = Path(row["member"])
    name = _UNSAFE.sub("_", member.stem)[-80:] or "image"
    key = hashlib.sha256(f"{chosen.part.source}\0{row['member']}".encode()).hexdigest()[:12]
    path = media_dir / key[:2] / f"{name}-{key}{_UNSAFE.sub('', member.suffix)[:8]}"
    if not path.is_file() or path.stat().st_size != row["size"]:
        write_whole(path, _bytes(chosen.part.source, row["offset"], row["size"]))
    return path


def _bytes(source: str, offset: int, size: int | None) -> bytes:
    """A piece of a file, wherever fsspec finds that; no more is read."""
    if size is None or not 0 < size <= MOST_BYTES or offset < 0:
        raise InputError(f"its row says {size} bytes at {offset} of {source}, where no image can be")
    try:
        system, path = _file_system(source)
        data: bytes = system.cat_file(path, start=offset, end=offset + size)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{source} cannot be read: {error}") from error
    if len(data) < size:
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
    if not source.is_dir():
        raise InputError(f"{source} is neither a folder nor a tar whose members have a place; unpack it into a folder")
    path: Path = source / chosen.image["member"]
    if not path.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{chosen.image['member']} leaves its folder {source}")
    return path
