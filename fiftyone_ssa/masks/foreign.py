"""Masks and numbers of other people's files: checked here, before they reach numpy or pycocotools.

What comes may be anything that JSON or a database can hold. What leaves is a mask's compressed code or bounded floats;
anything else raises InputError. pycocotools itself checks nothing: a polygon with a corner at 1e9 takes all memory and
its process with it.
"""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle

LARGEST = 1e9
"""No coordinate, size or score of an image lies beyond it, and int64 and float64 calculate with it exactly."""
MOST_RINGS = 10_000
"""Polygons of one mask: joining them takes time by the square."""
MOST_OUTLINE_PX = 2_000_000
"""Length of one mask's polygons: pycocotools takes about 100 bytes for each pixel of it."""
FORMS = 'expected an RLE with "size" and "counts", polygons [[x1, y1, x2, y2, ...]], or rows of 0 and 1'


def mask_counts(segmentation: Any, size_hw: tuple[int, int]) -> bytes | str:
    """The compressed code of a mask of an image of `size_hw`, whichever way it is written.

    A COCO RLE, compressed or not; polygons `[[x1, y1, x2, y2, ...], ...]` or a single one without the outer list; or an
    array of 0 and 1 (or 0 and 255) as large as the image. A compressed code is returned as it came: `mask_set` checks
    it as it measures it. Raises InputError, saying what is wrong, for anything else.
    """
    if isinstance(segmentation, dict):
        return _rle_counts(segmentation, size_hw)
    if not isinstance(segmentation, list) or not segmentation:
        raise InputError(f"its segmentation is no mask: {FORMS}, got {short(segmentation)}")
    rows = segmentation if isinstance(segmentation[0], list) else [segmentation]
    if not all(isinstance(row, list) for row in rows):
        raise InputError(f"its segmentation is no mask: {FORMS}, got {short(segmentation)}")
    dense = _dense(rows, size_hw)
    return _polygon_counts(rows, size_hw) if dense is None else rle.encode(dense)


def numbers(value: Any, width: int, name: str) -> list[float]:
    """`width` numbers, as a list or (one) alone; NaN, which stands for unknown, is let through.

    Raises InputError, calling the value `name`, for anything else and for numbers beyond `LARGEST`.
    """
    values = value if isinstance(value, list | tuple) else [value]
    if len(values) != width or not all(map(_is_possible, values)):
        raise InputError(f"{name} must be {width} number(s) up to {LARGEST:.0e}, got {short(value)}")
    return [float(number) for number in values]


def box(value: Any, name: str) -> list[float]:
    """A box XYWH: four numbers of which none is NaN and neither side negative. Raises InputError otherwise."""
    found = numbers(value, 4, name)
    if any(map(math.isnan, found)) or found[2] < 0 or found[3] < 0:
        raise InputError(f"{name} must be [x, y, width, height], neither side negative, got {short(value)}")
    return found


def is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold: neither text nor a truth value."""
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() < 1024
    return isinstance(value, float | np.integer | np.floating)


def number_or_nan(value: Any) -> float:
    """A stored value as a float; NaN for what is no number, or not finite, for people may have written anything."""
    return float(value) if is_number(value) and math.isfinite(value) else math.nan


def _is_possible(value: Any) -> bool:
    return (type(value) is float or is_number(value)) and not abs(value) > LARGEST


def short(value: Any) -> str:
    """A value in an error's sentence, at most 100 characters of it."""
    text = reprlib.repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _rle_counts(code: dict[str, Any], size_hw: tuple[int, int]) -> bytes | str:
    if not {"size", "counts"} <= code.keys():
        raise InputError(f"its segmentation is no mask: {FORMS}, got the keys {short(list(code))}")
    size, counts = code["size"], code["counts"]
    if not isinstance(size, list) or not all(map(is_number, size)) or size != list(size_hw):
        raise InputError(
            f"its mask is of size {short(size)} but the image is {list(size_hw)} (height, width); "
            "the mask file is not of this image"
        )
    if isinstance(counts, str | bytes):  # files have text, pycocotools itself bytes
        return counts
    pixels = math.prod(size_hw)
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run <= pixels for run in counts):
        raise InputError("its counts must be a string or a list of run lengths from 0 to the pixels")
    return rle.counts_from_runs(np.array(counts, np.int64))


def _dense(rows: list[list[Any]], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """The mask (H, W) that rows of 0 and 1, or 0 and 255, are; None where they must be polygons.

    Raises InputError for what polygons never are: as many numbers as the image has pixels, or nothing but 0 and 1.
    """
    try:
        distinct = set().union(*rows)
    except TypeError as error:
        raise InputError(f"its segmentation is no mask: {FORMS}, got {short(rows)}") from error
    as_large = len(rows) == size_hw[0] and all(len(row) == size_hw[1] for row in rows)
    if as_large and (distinct <= {0, 1} or distinct <= {0, 255}):
        return np.array(rows, np.float64) > 0
    if as_large or (distinct <= {0, 1} and sum(map(len, rows)) > 10):
        raise InputError(
            f"its mask has {len(rows)} rows, the first of {len(rows[0])} numbers; a mask of 0 and 1 has "
            f"{size_hw[0]} rows of {size_hw[1]}, as the image has, and nothing else in them"
        )
    return None


def _polygon_counts(rings: list[list[Any]], size_hw: tuple[int, int]) -> bytes:
    from pycocotools import mask as coco

    if len(rings) > MOST_RINGS:
        raise InputError(f"its mask has {len(rings):,} polygons, at most {MOST_RINGS:,} are read; use an RLE")
    if any(len(ring) < 6 or len(ring) % 2 for ring in rings):
        raise InputError(f"a polygon needs at least three points, as [x1, y1, x2, y2, ...], got {short(rings)}")
    outline_px = sum(_outline_px(ring, size_hw) for ring in rings)
    if outline_px > MOST_OUTLINE_PX:
        raise InputError(
            f"its polygons are {outline_px:,.0f} pixels long, at most {MOST_OUTLINE_PX:,} are read; use an RLE"
        )
    counts: bytes = coco.merge(coco.frPyObjects(rings, *size_hw))["counts"]
    return counts


def _outline_px(ring: list[Any], size_hw: tuple[int, int]) -> float:
    """How long a polygon is, its larger step in x or y counted. Raises InputError if it is none or far outside."""
    if not all(is_number(value) and value == value for value in ring):
        raise InputError(f"a polygon must be a list of finite numbers [x1, y1, x2, y2, ...], got {short(ring)}")
    height, width = size_hw
    if not all(-width <= x <= 2 * width for x in ring[::2]) or not all(-height <= y <= 2 * height for y in ring[1::2]):
        raise InputError(
            f"a polygon lies far outside the image of {width}x{height} (width x height): {short(ring)}; "
            "the mask file is not of this image"
        )
    points = np.array(ring, np.float64).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())
