"""What a class of a suggested ontology looks like: its example masks, cut out of their pictures, on one sheet."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.labels.database import needs_database, root_dataset, samples_of
from fiftyone_ssa.labels.shown import check_masks, masks_of
from fiftyone_ssa.labels.stored_masks import mask_counts
from fiftyone_ssa.layouts.ontology import Ontology, OntologyClass
from fiftyone_ssa.layouts.ontology_suggested import EXAMPLES
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Image

CELL_PX = 92
"""Side of an example, in pixels."""
PAGE = 12
"""Classes on a sheet."""
COLUMNS = 2
"""Classes side by side."""
CAPTION_PX, GAP_PX = 20, 6
DIMMED = 0.3
"""What is left of the light around a mask."""
MARGIN = 0.2
"""Of a mask's longer side, what is shown around it."""
_PAPER, _INK = (250, 250, 250), (20, 20, 20)
_WANTED = ("_id", "bounding_box", "mask", "mask_path")


@needs_database()
def example_sheet(samples: Any, label_field: str, classes: Sequence[OntologyClass]) -> bytes:
    """A JPEG with a row of pictures for each class: its examples, the surroundings of each mask dark.

    An example that is gone, or whose picture cannot be read, is a blank.

    Args:
        samples: the dataset or view whose names the classes were suggested of
        label_field: its Detections field
        classes: one at least, in the order in which they are drawn, two side by side; what they are called and how many
            masks they have stands below

    Raises InputError if there is no such field.
    """
    check_masks(samples, label_field)
    crops = _crops(samples, label_field, {identity for each in classes for identity in each.examples[:EXAMPLES]})
    width, height = EXAMPLES * (CELL_PX + 2) + GAP_PX, CELL_PX + CAPTION_PX + GAP_PX
    rows = -(-len(classes) // COLUMNS)
    sheet = PIL.Image.new("RGB", (COLUMNS * width, rows * height), _PAPER)
    draw, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(13)
    for number, each in enumerate(classes):
        x, y = number % COLUMNS * width + GAP_PX, number // COLUMNS * height + GAP_PX
        for place, identity in enumerate(each.examples[:EXAMPLES]):
            if identity in crops:
                sheet.paste(crops[identity], (x + place * (CELL_PX + 2), y))
        text = caption(each).encode("utf-8", "backslashreplace").decode()
        while font.getlength(text) > width - GAP_PX:
            text = text[:-2].rstrip("…") + "…"
        draw.text((x, y + CELL_PX + 2), text, _INK, font)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()


def pages(ontology: Ontology) -> dict[str, tuple[OntologyClass, ...]]:
    """A suggestion in pages for `example_sheet`: first each class beside those that may be the same, then all of them.

    Classes without an example are on no page.
    """
    by_name = {each.name: each for each in ontology.classes if each.examples}
    pairs = [(each, by_name[name]) for each in by_name.values() for name in each.maybe if name in by_name]
    unsure, known = [each for pair in pairs for each in pair], list(by_name.values())
    return {
        f"{title} {start + 1} to {start + len(part)}: {part[0].name} ... {part[-1].name}": tuple(part)
        for title, classes in (("May be the same", unsure), ("Classes", known))
        for start in range(0, len(classes), PAGE)
        for part in [classes[start : start + PAGE]]
    }


def caption(entry: OntologyClass) -> str:
    """What a class is called, and how many masks it has."""
    return f"{entry.name} ({sum(entry.counts.values()):,})"


def _crops(samples: Any, label_field: str, wanted: set[str]) -> dict[str, PIL.Image.Image]:
    """The masks of these ids that are there, each a square picture; every image is read once."""
    ids = [ObjectId(identity) for identity in wanted if ObjectId.is_valid(identity)]
    columns = {name: {"$ifNull": [f"$$this.{name}", None]} for name in _WANTED}
    of_image: dict[ObjectId, list[dict[str, Any]]] = {}
    for document in masks_of(samples, label_field, columns, where={"$in": ["$$this._id", ids]}):
        rows = zip(*(document[name] for name in _WANTED), strict=True)
        found = [dict(zip(_WANTED, row, strict=True)) for row in rows]
        if found:
            of_image.setdefault(document["sample"], []).extend(found)
    paths = samples_of(root_dataset(samples)).find({"_id": {"$in": list(of_image)}}, {"filepath": 1})
    crops: dict[str, PIL.Image.Image] = {}
    for sample in paths:
        try:
            image = read_image(sample["filepath"])
        except InputError:
            continue
        for row in of_image[sample["_id"]]:
            crops |= _crop(image, row)
    return crops


def _crop(image: Image, detection: Mapping[str, Any]) -> dict[str, PIL.Image.Image]:
    """One mask's square picture by its id; nothing where the mask cannot be read."""
    size_hw = (image.shape[0], image.shape[1])
    try:
        masks = rle.mask_set(size_hw, [mask_counts(detection, size_hw)])
    except InputError:
        return {}
    x, y, w, h = masks.boxes_xywh[0].astype(int).tolist()
    if not w or not h:
        return {}
    margin = max(int(MARGIN * max(w, h)), 4)
    left, top = max(x - margin, 0), max(y - margin, 0)
    right, bottom = min(x + w + margin, size_hw[1]), min(y + h + margin, size_hw[0])
    mask = rle.decode_crop(masks.rles[0], size_hw, (left, top, right, bottom))
    pixels = image[top:bottom, left:right]
    shown = np.where(mask[..., None], pixels, (pixels * DIMMED).astype(np.uint8))
    picture = PIL.Image.fromarray(shown)
    scale = CELL_PX / max(picture.size)
    picture = picture.resize((max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)))
    square = PIL.Image.new("RGB", (CELL_PX, CELL_PX))
    square.paste(picture, ((CELL_PX - picture.width) // 2, (CELL_PX - picture.height) // 2))
    return {str(detection["_id"]): square}
