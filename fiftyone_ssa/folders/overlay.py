"""A picture of an annotation: every named mask in its class's colour, the larger ones with their names."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageColor

from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Annotation, Floats, Image, MaskSet

LONGEST_SIDE_PX = 1600
OPACITY = 0.45
MOST_NAMES = 40
SMALLEST_NAMED = 0.003
"""Share of the picture below which a mask gets its colour but no name, so that names do not cover it."""


def overlay_jpeg(image: Image, annotation: Annotation, comment: bytes = b"") -> bytes:
    """The (H, W, 3) image with its masks and names as a JPEG of at most 1600 px a side, in the App's colours.

    `comment` goes into the file's first bytes. Masks without a name are left out; of two the smaller lies above.
    """
    picture = PIL.Image.fromarray(image)
    picture.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
    masks, labels = annotation.masks, annotation.labels
    named = [i for i in masks.order_by_area().tolist() if labels[i] is not None]
    painted, middles_xy = _painted(np.asarray(picture), masks, named, [colour_of(labels[i]) for i in named])
    picture = PIL.Image.fromarray(painted)
    fewest_px = SMALLEST_NAMED * image.shape[0] * image.shape[1]
    large = [place for place, i in enumerate(named) if masks.areas_px[i] >= fewest_px][:MOST_NAMES]
    if large:
        picture = _with_names(picture, middles_xy[large], [labels[named[place]] for place in large])
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, comment=comment)
    return buffer.getvalue()


def _painted(pixels: Image, masks: MaskSet, named: Sequence[int], colours: Sequence[str]) -> tuple[Image, Floats]:
    """(h, w, 3) pixels under see-through masks, each with its outline, larger ones first; (N, 2) their middles."""
    import cv2

    palette = np.array([[0, 0, 0], *(PIL.ImageColor.getrgb(colour)[:3] for colour in colours)], np.uint8)
    owners = np.zeros(pixels.shape[:2], np.int32)
    outlines, middles_xy = [], np.zeros((len(named), 2))
    for place, i in enumerate(named):  # one mask is dense at a time
        (left, top), inside = _scaled(masks, i, pixels.shape[:2])
        if not inside.any():  # it vanishes when drawn smaller
            continue
        np.copyto(owners[top : top + inside.shape[0], left : left + inside.shape[1]], place + 1, where=inside)
        plane = inside.astype(np.uint8)
        contours, _ = cv2.findContours(plane, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
        outlines.append((contours, palette[place + 1].tolist()))
        totals = plane.sum(0), plane.sum(1)
        middles_xy[place] = [total @ np.arange(len(total)) / total.sum() for total in totals]
        middles_xy[place] += left, top
    blended = cv2.addWeighted(palette[owners], OPACITY, pixels, 1 - OPACITY, 0)
    painted = np.where((owners > 0)[..., None], blended, pixels)
    for contours, colour in outlines:
        cv2.polylines(painted, contours, isClosed=True, color=colour)
    return painted, np.floor(middles_xy)


def _with_names(picture: PIL.Image.Image, middles_xy: Floats, names: Sequence[str | None]) -> PIL.Image.Image:
    """The picture with names on plates of their colours, moved apart where they would cover one another."""
    import supervision as sv

    known = list(dict.fromkeys(names))
    write = sv.RichLabelAnnotator(
        sv.ColorPalette.from_hex([colour_of(name) for name in known]),
        font_size=max(10, picture.width // 70),
        text_padding=3,
        smart_position=True,
        text_position=sv.Position.CENTER,
    )
    boxes = np.tile(middles_xy.astype(np.float32), 2)  # without a size: a name is written over their middle
    drawn = sv.Detections(boxes, class_id=np.array([known.index(name) for name in names]))
    written: PIL.Image.Image = write.annotate(picture, drawn, [_drawable(name) for name in names])
    return written


def _drawable(name: str | None) -> str:
    """A name without the halves of characters that no font draws."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def _scaled(masks: MaskSet, i: int, size_hw: tuple[int, int]) -> tuple[tuple[int, int], npt.NDArray[np.bool_]]:
    """The x, y of a box in a picture of another size and (h, w) which of its pixels, the nearest, are mask i's."""
    rows, columns = (
        ((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(size_hw, masks.size_hw, strict=True)
    )
    x, y, width, height = map(int, masks.boxes_xywh[i])
    top, bottom = map(int, np.searchsorted(rows, (y, y + height)))
    left, right = map(int, np.searchsorted(columns, (x, x + width)))
    crop = rle.decode_crop(masks.rles[i], masks.size_hw, (x, y, x + width, y + height))
    return (left, top), crop[np.ix_(rows[top:bottom] - y, columns[left:right] - x)]
