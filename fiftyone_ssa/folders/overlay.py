"""A picture of an annotation: every named mask in its class's colour, the larger ones with their names."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Annotation, Image, Ints, MaskSet

LONGEST_SIDE_PX = 1600
MASKS_AT_ONCE = 32
MOST_NAMES = 40
SMALLEST_NAMED = 0.003
"""Share of the picture below which a mask gets its colour but no name, so that names do not cover it."""


def overlay_jpeg(image: Image, annotation: Annotation, comment: bytes = b"") -> bytes:
    """The (H, W, 3) image with its masks and names as a JPEG of at most 1600 px a side, in the App's colours.

    `comment` goes into the file's first bytes. Masks without a name are left out. At most 40 masks are held dense at a
    time, at the size of the picture drawn.
    """
    import supervision as sv

    picture = PIL.Image.fromarray(image)
    picture.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
    named = np.array([i for i in annotation.masks.order_by_area() if annotation.labels[i] is not None], np.int64)
    names = list(dict.fromkeys(annotation.labels[i] for i in named))
    places = {name: place for place, name in enumerate(names)}
    # a palette must not be empty; with no name nothing is drawn
    palette = sv.ColorPalette.from_hex([colour_of(name) for name in names or [None]])
    paint, outline = sv.MaskAnnotator(palette, opacity=0.45), sv.PolygonAnnotator(palette, thickness=1)
    for start in range(0, len(named), MASKS_AT_ONCE):
        drawn = _detections(annotation, named[start : start + MASKS_AT_ONCE], picture.size, places)
        picture = outline.annotate(paint.annotate(picture, drawn), drawn)
    large = named[annotation.masks.areas_px[named] >= SMALLEST_NAMED * image.shape[0] * image.shape[1]][:MOST_NAMES]
    if len(large):
        texts = [_drawable(annotation.labels[i]) for i in large]
        write = sv.RichLabelAnnotator(
            palette,
            font_size=max(10, picture.width // 70),
            text_padding=3,
            smart_position=True,
            text_position=sv.Position.CENTER_OF_MASS,
        )
        picture = write.annotate(picture, _detections(annotation, large, picture.size, places), texts)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, comment=comment)
    return buffer.getvalue()


def _detections(annotation: Annotation, chosen: Ints, size_wh: tuple[int, int], places: dict[str | None, int]) -> Any:
    import supervision as sv

    masks, (width, height) = annotation.masks, size_wh
    scale = np.array([width / masks.size_hw[1], height / masks.size_hw[0]] * 2)
    corners = masks.boxes_xywh[chosen] + np.pad(masks.boxes_xywh[chosen, :2], ((0, 0), (2, 0)))
    return sv.Detections(
        xyxy=(corners * scale).astype(np.float32),
        mask=np.stack([_scaled(masks, int(i), (height, width)) for i in chosen]),
        class_id=np.array([places[annotation.labels[i]] for i in chosen]),
    )


def _drawable(name: str | None) -> str:
    """A name without the halves of characters that no font draws."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def _scaled(masks: MaskSet, i: int, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Mask i at another size, by nearest pixel; only its box is ever dense at full size."""
    rows, columns = (
        ((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(size_hw, masks.size_hw, strict=True)
    )
    x, y, width, height = map(int, masks.boxes_xywh[i])
    down = slice(*np.searchsorted(rows, (y, y + height)))
    right = slice(*np.searchsorted(columns, (x, x + width)))
    scaled = np.zeros(size_hw, bool)
    crop = rle.decode_crop(masks.rles[i], masks.size_hw, (x, y, x + width, y + height))
    scaled[down, right] = crop[np.ix_(rows[down] - y, columns[right] - x)]
    return scaled
