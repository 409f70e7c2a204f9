"""Pictures in and out: the pixels and the size of a file, upright; the numbers of class maps and masks."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import PIL.Image

from fiftyone_ssa.errors import InputError, TooLargeError, said_by
from fiftyone_ssa.files.atomic import whole_file
from fiftyone_ssa.files.memory import memory_bytes
from fiftyone_ssa.files.packing import png
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.types import Image

# Named, because Pillow's full list holds formats that start other programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "JPEG2000", "AVIF")
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".jp2", ".j2k", ".avif"),
)
"""The endings that pictures of these formats have, in lower case."""
UNDECODED = (
    *(".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
    *(".psd", ".exr", ".hdr", ".tga", ".svg", ".eps"),
)
"""The endings of pictures that nothing here decodes, in lower case."""
# What Pillow's decoders raise of damaged files, by type: nearly anything.
_DAMAGED = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, AssertionError, RuntimeError),
    *(ArithmeticError, LookupError, BufferError, struct.error, zlib.error),
)
ROWS_AT_A_TIME = 64
"""Rows of a decoded picture that are copied at a time."""
PICTURES_HELD = 24
"""How many pictures a run may hold at once, as RGB: those read ahead, named and written, and what decoding takes."""

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
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
_NUMBERS = ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
"""Pillow's modes whose numbers are what is seen: 0 is black."""
_GRAY_STEPS = {"L;2": 85, "L;4": 17}
"""Pillow stretches gray of 2 and 4 bits to 0 to 255; by these steps."""
_SWAPPED = (5, 6, 7, 8)
"""Orientations that swap height and width."""


@dataclass(frozen=True)
class ImageHeader:
    """What is known of a picture before its pixels are decoded."""

    size_hw: tuple[int, int]
    """Height and width in pixels, upright."""
    channels: int
    """How many the file has: 1 for gray and palette, 3 for RGB, 4 with transparency or for CMYK ..."""


@dataclass(frozen=True)
class PictureBytes:
    """A picture's file that lies in the memory: what someone uploaded."""

    name: str
    """What errors call it."""
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


Source = str | Path | PictureBytes
"""Where a picture is read from."""


def read_image(path: Source, *, most: int | None = None) -> Image:
    """The (H, W, 3) uint8 RGB pixels of a picture, turned upright by its EXIF orientation.

    Grayscale, palette and CMYK are converted, of 12 or 16 bits the upper 8 are taken, transparency is dropped, of
    several frames the first is taken. Raises InputError if the file is missing, damaged, no picture, has pixels without
    a fixed range (32 bits, float), or more of them than `most_pixels`, or than `most`.
    """
    with opened_picture(path, most=most) as picture:
        picture.load()
        return _pixels(upright(picture, _rgb(picture, path)))


def image_size_hw(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture as `read_image` gives it, upright, from the file's header.

    Raises InputError as `read_image` does; damage behind the header is not seen.
    """
    return image_header(path).size_hw


def image_header(path: Source, *, most: int | None = None) -> ImageHeader:
    """What a picture's header says of it. Raises InputError as `image_size_hw` does, or beyond `most` pixels."""
    with opened_picture(path, most=most) as picture:
        if picture.format == "PNG" and _has_late_chunks(path):
            picture.load()
        width, height = picture.size
        size_hw = (width, height) if _orientation(picture) in _SWAPPED else (height, width)
        return ImageHeader(size_hw, len(picture.getbands()))


def most_pixels() -> int:
    """How many pixels a picture may have: Pillow's limit, or what the memory holds of `PICTURES_HELD` such pictures."""
    fits = memory_bytes() // (3 * PICTURES_HELD)
    return fits if PIL.Image.MAX_IMAGE_PIXELS is None else min(fits, 2 * PIL.Image.MAX_IMAGE_PIXELS)


def undecoded_note(kinds: Mapping[str, int]) -> str:
    """How many pictures of which ending are left out, for a closing sentence; empty where none is."""
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{counts} left out (no decoder for such pictures; convert them to JPEG or PNG)" if kinds else ""


def read_values(path: str | Path) -> npt.NDArray[Any]:
    """The numbers that a class map's file holds: (H, W), or (H, W, 3) of a coloured one; transparency is dropped.

    A palette's numbers are its indices, not its colours; gray has the depth of its file, so one bit gives 0 and 1. It
    is turned upright by its EXIF orientation. Raises InputError as `read_image` does, and where numbers would be lost:
    JPEG, 16 bits in several channels.
    """
    with opened_picture(path) as picture:
        step = _GRAY_STEPS.get(exact_mode(picture, path), 1)
        if picture.mode not in (*_NUMBERS, "P", "PA"):
            raise InputError(f"{path} holds {picture.mode} colours, no class map; save it with one channel or as RGB")
        picture.load()
        values = np.asarray(upright(picture, picture))
        return _without_alpha(
            values.astype(np.uint8) if values.dtype == np.bool_ else values // values.dtype.type(step)
        )


def exact_mode(picture: PIL.Image.Image, path: str | Path) -> str:
    """How a picture's file holds its pixels, in Pillow's words, before they are loaded.

    Raises InputError where decoding would not give them exactly.
    """
    if picture.format in ("JPEG", "MPO"):
        raise InputError(f"{path} is a JPEG, which does not keep class values exactly; save class maps as PNG")
    tiles = getattr(picture, "tile", ())
    arguments = tiles[0][3] if tiles else ""
    mode = str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
    if "16" in mode and not picture.mode.startswith("I"):
        raise InputError(f"{path} has 16 bits in each of several channels; save class maps with one channel")
    return mode


def read_mask(path: str | Path) -> npt.NDArray[np.bool_]:
    """The pixels (H, W) of a mask's file that are not black; transparency says nothing. Raises as `read_image` does."""
    with opened_picture(path) as picture:
        picture.load()
        return is_set(np.asarray(upright(picture, picture if picture.mode in _NUMBERS else picture.convert("RGBA"))))


def is_set(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which pixels (H, W) of a mask, (H, W) or (H, W, 1 to 4 channels) numbers, are above 0 in a colour channel."""
    if values.dtype == np.bool_ and values.ndim == 2:
        return values
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] > 4):
        raise InputError(f"a mask must be (H, W) or (H, W, channels) numbers, got {values.shape} {values.dtype}")
    above: npt.NDArray[np.bool_] = np.greater(_without_alpha(values), 0)
    return above if above.ndim == 2 else np.logical_or.reduce(above, axis=-1)


def _without_alpha(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W) of one channel or of gray and alpha, (H, W, 3) of RGB or RGBA."""
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values = values[:, :, :-1]
    return values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values


def save_png(values: npt.NDArray[Any], path: Path) -> None:
    """Write a (H, W) bool, uint8 or uint16, or (H, W, 3) uint8 array as PNG, whole or not at all; makes the folder.

    Raises InputError if it cannot be written.
    """
    with whole_file(path) as file:
        file.write(png(values))


@contextlib.contextmanager
def opened_picture(path: Source, *, most: int | None = None) -> Iterator[PIL.Image.Image]:
    """A picture whose header is read; whatever its decoder raises inside becomes an InputError of one sentence."""
    if (len(path.data) if isinstance(path, PictureBytes) else regular_size(Path(path))) == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or download it again")
    try:
        # Opened here, as of a path Pillow maps gray TIFFs into memory, and then turns them before it knows their rows.
        with _opened(path) as file, PIL.Image.open(file, formats=FORMATS) as picture:
            _check_pixels(path, *picture.size, most)
            yield picture
    except InputError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture of a known format ({', '.join(FORMATS)})") from error
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning, MemoryError) as error:
        raise TooLargeError(f"{path} is too large: {str(error) or 'the memory is full'}; cut it into tiles") from error
    except _DAMAGED as error:
        raise InputError(f"{path} is damaged and cannot be decoded: {said_by(error)}") from error


def upright(picture: PIL.Image.Image, pixels: PIL.Image.Image) -> PIL.Image.Image:
    """The pixels of a picture, or what they were converted to, turned by the picture's EXIF orientation."""
    method = _UPRIGHT.get(_orientation(picture))
    return pixels if method is None else pixels.transpose(method)


def _orientation(picture: PIL.Image.Image) -> int:
    """The EXIF orientation by which a picture has still to be turned; 1 where none is given or it cannot be read."""
    if _ORIENTATION in getattr(picture, "tag_v2", ()):
        return 1  # Pillow turns a TIFF itself: its size when it is opened, its pixels when they are decoded
    try:
        # Past PngImageFile.getexif, which decodes the whole picture to find what stands behind the pixels.
        return int(PIL.Image.Image.getexif(picture).get(_ORIENTATION, 1))
    except _DAMAGED:
        return 1


def _opened(path: Source) -> BinaryIO:
    return io.BytesIO(path.data) if isinstance(path, PictureBytes) else Path(path).open("rb")


def _has_late_chunks(path: Source) -> bool:
    """Whether a PNG has text or EXIF, and with it perhaps an orientation, behind its pixels."""
    with _opened(path) as file:
        file.seek(8)
        pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            pixels |= kind == b"IDAT"
            if pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _check_pixels(path: Source, width: int, height: int, most: int | None) -> None:
    if most is not None and width * height > most:
        raise TooLargeError(
            f"{path} is too large: {width} x {height} = {width * height:,} pixels, at most {most:,} are taken here; "
            "make it smaller or cut it into tiles"
        )
    if width * height > (most := most_pixels()):
        raise TooLargeError(
            f"{path} is too large: {width} x {height} = {width * height:,} pixels, at most {most:,} are read "
            f"(Pillow's limit, or what {PICTURES_HELD} such pictures take of the memory); cut it into tiles"
        )


def _pixels(picture: PIL.Image.Image) -> Image:
    """An RGB picture's (H, W, 3) uint8; some rows at a time, as Pillow copies twice, which then stays in the caches."""
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, ROWS_AT_A_TIME):
        rows = picture.crop((0, top, picture.width, min(top + ROWS_AT_A_TIME, picture.height)))
        pixels[top : top + rows.height] = np.frombuffer(rows.tobytes(), np.uint8).reshape(rows.height, rows.width, 3)
    return pixels


def _rgb(picture: PIL.Image.Image, path: Source) -> PIL.Image.Image:
    """A decoded picture as 8-bit RGB."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format != "TIFF"):
        picture = PIL.Image.fromarray(_upper_eight_bits(picture))
    elif picture.mode in ("I", "F"):
        raise InputError(
            f"{path} has {'whole' if picture.mode == 'I' else 'real'} numbers of no fixed range as pixels; "
            "save it with 8 or 16 bits a channel"
        )
    elif picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")  # the palette may hold transparency, which "RGB" would warn of
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _upper_eight_bits(picture: PIL.Image.Image) -> npt.NDArray[np.uint8]:
    """Of 12 or 16 bits gray the upper 8, as Pillow takes them of 16 bits RGB."""
    gray = np.asarray(picture)
    if gray.min() < 0 or gray.max() > 65535:
        raise ValueError(f"{gray.dtype} pixels from {gray.min()} to {gray.max()}")
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    eight = (gray >> (4 if bits == 12 else 8)).astype(np.uint8)
    return 255 - eight if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else eight
