"""Polygons to pixels as the readers of polygon files fill them: OpenCV, Pillow and pycocotools, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Ints

Fill = Callable[[npt.NDArray[np.uint8], Ints], None]


def fill_opencv(rings: Sequence[npt.ArrayLike], size_hw: tuple[int, int]) -> bytes:
    """The code of the pixels that OpenCV's `fillPoly` sets for rings (N, 2) of x, y, each filled alone and all united.

    Coordinates are rounded to the nearest pixel, as supervision does. Raises InputError for a ring without points.
    """
    import cv2

    def fill(canvas: npt.NDArray[np.uint8], points: Ints) -> None:
        cv2.fillPoly(canvas, [points.astype(np.int32)], 1)

    return _filled([np.round(np.asarray(ring, np.float64)) for ring in rings], size_hw, fill)


def fill_pillow(rings: Sequence[npt.ArrayLike], size_hw: tuple[int, int]) -> bytes:
    """The code of the pixels that Pillow's `ImageDraw.polygon` sets, as Cityscapes' scripts and labelme fill theirs.

    Pillow cuts the fractions of coordinates off. Raises InputError for a ring without points.
    """
    from PIL import Image, ImageDraw

    def fill(canvas: npt.NDArray[np.uint8], points: Ints) -> None:
        image = Image.fromarray(canvas)
        ImageDraw.Draw(image).polygon(points.ravel().tolist(), fill=1, outline=1)
        canvas[:] = np.asarray(image)

    return _filled(rings, size_hw, fill)


def fill_coco(rings: Sequence[npt.ArrayLike], size_hw: tuple[int, int]) -> bytes:
    """The code of the pixels that pycocotools sets for rings along pixel edges, all united; holes cannot be said."""
    from pycocotools import mask as coco

    lists = [np.asarray(ring, np.float64).ravel().tolist() for ring in rings]
    code: bytes = coco.merge(coco.frPyObjects(lists, *size_hw))["counts"]
    return code


def _filled(rings: Sequence[npt.ArrayLike], size_hw: tuple[int, int], fill: Fill) -> bytes:
    """The code of whole-number rings, each filled by `fill` on a canvas no larger than they are."""
    found = [np.asarray(ring, np.int64).reshape(-1, 2) for ring in rings]
    if not found or not all(map(len, found)):
        raise InputError("a polygon needs at least one point x, y")
    every = np.concatenate(found)
    (left, top), (right, bottom) = every.min(axis=0), every.max(axis=0) + 1
    if left < 0 or top < 0 or right > size_hw[1] or bottom > size_hw[0]:
        left, top, right, bottom = 0, 0, size_hw[1], size_hw[0]  # fillers cut at the image's border, as readers' do
    united = np.zeros((bottom - top, right - left), np.uint8)
    for ring in found:
        canvas = np.zeros_like(united) if len(found) > 1 else united
        fill(canvas, ring - (left, top))
        united |= canvas
    return rle.encode_crop(united > 0, (int(left), int(top)), size_hw)
