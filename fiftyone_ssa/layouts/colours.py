"""The colour of a class name: a function of the name alone, so that pictures, the App and other days agree."""

from __future__ import annotations

import colorsys
import hashlib

from fiftyone_ssa.layouts.ade20k import NAMES

UNNAMED = "#8f8f8f"
"""The colour of masks without a name."""
TONES = ((0.85, 0.95), (0.55, 1.0), (0.95, 0.7))
"""Saturation and value, in turn: names with neighbouring hues mostly differ in tone."""
BRIGHTEST = 0.6
"""The highest luma (0 to 1): names are written on their colour in white, by the App as well."""
GOLDEN_RATIO = 0.6180339887498949
_PLACES = {name.lower(): place for place, name in reversed(list(enumerate(NAMES)))}


def colour_of(name: str | None) -> str:
    """The colour of a class name as "#rrggbb", whatever its case; gray without a name.

    ADE20K's names come by how often they are seen, and neighbours in that order are far apart in hue; the place of
    every other name is a hash of it.
    """
    if name is None:
        return UNNAMED
    key = name.lower()
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    place = _PLACES.get(key, len(NAMES) + int.from_bytes(digest, "big"))
    saturation, value = TONES[place % len(TONES)]
    rgb = colorsys.hsv_to_rgb(place * GOLDEN_RATIO % 1, saturation, value)
    luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    return "#" + "".join(f"{round(part * min(1.0, BRIGHTEST / luma) * 255):02x}" for part in rgb)
