"""FiftyOne's metadata of a picture, from the file's header as everything here reads it.

What FiftyOne itself computes turns JPEGs by their EXIF orientation, and PNGs, TIFFs and WebPs not; what is stored may
be of an image that was replaced since. So the size is taken from `files.image_size_hw`, and stored metadata is mended.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import image_header


def image_metadata(path: str | Path) -> fo.ImageMetadata:
    """The metadata of a picture, upright. Raises InputError if its header cannot be read."""
    header = image_header(path)
    return fo.ImageMetadata(
        size_bytes=Path(path).stat().st_size,
        mime_type=mimetypes.guess_type(path)[0],
        width=header.size_hw[1],
        height=header.size_hw[0],
        num_channels=header.channels,
    )


def mended(stored: Mapping[str, Any] | None, path: str, size_hw: tuple[int, int]) -> dict[str, Any] | None:
    """The metadata of a picture of `size_hw` as the database holds it; None where what is stored has that size.

    None, too, where the file cannot be read any more.
    """
    if stored is not None and (stored.get("height"), stored.get("width")) == size_hw:
        return None
    try:
        document: dict[str, Any] = image_metadata(path).to_dict()
    except (InputError, OSError):
        return None
    return document
