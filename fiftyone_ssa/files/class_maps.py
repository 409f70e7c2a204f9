"""Class maps in: the number or the colour that a picture holds for each pixel, exactly as it stands in the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files import images

Values = npt.NDArray[np.integer[Any]]
"""(H, W) whole numbers, one a pixel."""
Colours = npt.NDArray[np.uint32]
"""(H, W) colours as 0xRRGGBB."""


def read_values(path: str | Path) -> Values:
    """The value of each pixel, (H, W): palette index, or gray value at the depth of the file (`images.read_values`).

    A picture of three channels counts as gray where they are equal everywhere. Raises InputError for other colours, and
    where the file is missing, damaged, or does not hold values exactly.
    """
    with _naming(path):
        return values_of(images.read_values(path))


def read_colours(path: str | Path) -> Colours:
    """The colour of each pixel as 0xRRGGBB, those of a palette looked up. Otherwise as `read_values`."""
    with _naming(path), images.opened_picture(path) as picture:
        images.exact_mode(picture, path)
        if picture.mode.startswith(("I", "F")):
            raise InputError(f"colours must have 8 bits a channel, got {picture.mode}")
        picture.load()
        return colours_of(np.asarray(images.upright(picture, picture.convert("RGBA"))))


def values_of(pixels: npt.NDArray[Any]) -> Values:
    """Whole numbers of a decoded picture, (H, W) or (H, W, channels); see `read_values`."""
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        if (pixels[..., 1:3] != pixels[..., :1]).any():
            raise InputError(
                "it holds colours where class values are expected; give each class its colour, "
                '{"#rrggbb": name}, or save it with one channel'
            )
        pixels = pixels[..., 0]
    elif pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        pixels = pixels[..., 0]
    if pixels.ndim != 2 or pixels.dtype.kind not in "iub":
        raise InputError(f"a class map must be (H, W) of whole numbers, got {pixels.shape} {pixels.dtype}")
    return pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels


def colours_of(pixels: npt.NDArray[Any]) -> Colours:
    """Colours of a decoded picture, (H, W) gray or (H, W, 3 or 4) uint8; see `read_colours`."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype != np.uint8:
        raise InputError(f"colours must be (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    colours = np.zeros(pixels.shape[:2], np.uint32)
    for channel in range(3):
        colours = (colours << np.uint32(8)) | pixels[..., channel]
    return colours


@contextlib.contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Every InputError raised inside begins with the file's name."""
    try:
        yield
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from error
