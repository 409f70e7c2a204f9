"""Pictures in and out: the pixels and the size of a file, upright; class maps and masks as PNG."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import whole_file
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.types import Image

# Named, because Pillow's full list holds formats that start other programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "JPEG2000", "AVIF")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, struct.error, zlib.error)

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what turns the pixels upright."""
_SWAPPED = (5, 6, 7, 8)
"""Orientations that swap height and width."""


@dataclass(frozen=True)
class ImageHeader:
    """What is known of a picture before its pixels are decoded."""

    size_hw: tuple[int, int]
    """Height and width in pixels, upright."""
    channels: int
    """How many the file has: 1 for gray and palette, 3 for RGB, 4 with transparency or for CMYK ..."""


def read_image(path: str | Path) -> Image:
    """The (H, W, 3) uint8 RGB pixels of a picture, turned upright by its EXIF orientation.

    Grayscale, palette and CMYK are converted, 16 bits are scaled to 8, transparency is dropped, of several frames the
    first is taken. Raises InputError if the file is missing, damaged, no picture, or beyond Pillow's limit of pixels.
    """
    with _opened(Path(path)) as picture:
        picture.load()
        method = _UPRIGHT.get(_orientation(picture))
        return _rgb(picture if method is None else picture.transpose(method))


def image_size_hw(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture as `read_image` gives it, upright, from the file's header.

    Raises InputError as `read_image` does; damage behind the header is not seen.
    """
    return image_header(path).size_hw


def image_header(path: str | Path) -> ImageHeader:
    """What a picture's header says of it. Raises InputError as `image_size_hw` does."""
    with _opened(Path(path)) as picture:
        if picture.format == "PNG" and _has_late_chunks(Path(path)):
            picture.load()
        width, height = picture.size
        size_hw = (width, height) if _orientation(picture) in _SWAPPED else (height, width)
        return ImageHeader(size_hw, len(picture.getbands()))


def save_png(values: npt.NDArray[Any], path: Path) -> None:
    """Write a (H, W) bool, uint8 or uint16, or (H, W, 3) uint8 array as PNG, whole or not at all; makes the folder.

    Raises InputError if it cannot be written.
    """
    with whole_file(path) as file:
        # Flat regions suit run-length coding: half the time of Pillow's default, and smaller.
        PIL.Image.fromarray(values).save(file, "PNG", compress_type=zlib.Z_RLE)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    """A picture whose header is read; whatever its decoder raises becomes one sentence."""
    if regular_size(path) == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or download it again")
    try:
        with PIL.Image.open(path, formats=FORMATS) as picture:
            yield picture
    except InputError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture of a known format ({', '.join(FORMATS)})") from error
    except PIL.Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large: {error}; cut it into tiles") from error
    except _DAMAGED as error:
        raise InputError(f"{path} is damaged and cannot be decoded: {error}") from error


def _orientation(picture: PIL.Image.Image) -> int:
    """The EXIF orientation by which a picture has still to be turned; 1 where none is given or it cannot be read."""
    if _ORIENTATION in getattr(picture, "tag_v2", ()):
        return 1  # Pillow turns a TIFF itself: its size when it is opened, its pixels when they are decoded
    try:
        # Past PngImageFile.getexif, which decodes the whole picture to find what stands behind the pixels.
        return int(PIL.Image.Image.getexif(picture).get(_ORIENTATION, 1))
    except (*_DAMAGED, KeyError, AttributeError):
        return 1


def _has_late_chunks(path: Path) -> bool:
    """Whether a PNG has text or EXIF, and with it perhaps an orientation, behind its pixels."""
    with path.open("rb") as file:
        file.seek(8)
        pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            pixels |= kind == b"IDAT"
            if pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _rgb(picture: PIL.Image.Image) -> Image:
    if picture.mode.startswith(("I", "F")):
        gray = np.asarray(picture)
        if gray.dtype.kind == "f" or gray.min() < 0 or gray.max() > 65535:
            raise ValueError(f"{gray.dtype} pixels have no fixed range; save it with 8 or 16 bits")
        scaled = ((gray.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(scaled[:, :, None], 3, axis=2)
    if picture.mode == "P":
        picture = picture.convert("RGBA")  # the palette may hold transparency, which "RGB" would warn of
    return np.array(picture.convert("RGB"))
