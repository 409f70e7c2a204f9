"""Pictures in: the pixels of a file, upright and RGB."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.types import Image

# Named, because Pillow's full list holds formats that start other programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "JPEG2000", "AVIF")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, struct.error, zlib.error)


def read_image(path: str | Path) -> Image:
    """The (H, W, 3) uint8 RGB pixels of a picture, turned upright by its EXIF orientation.

    Grayscale, palette and CMYK are converted, 16 bits are scaled to 8, transparency is dropped, of several frames the
    first is taken. Raises InputError if the file is missing, damaged, no picture, or beyond Pillow's limit of pixels.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or download it again")
    try:
        with PIL.Image.open(path, formats=FORMATS) as picture:
            picture.load()
            return _rgb(PIL.ImageOps.exif_transpose(picture))
    except PIL.UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture of a known format ({', '.join(FORMATS)})") from error
    except PIL.Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large: {error}; cut it into tiles") from error
    except _DAMAGED as error:
        raise InputError(f"{path} is damaged and cannot be decoded: {error}") from error


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
