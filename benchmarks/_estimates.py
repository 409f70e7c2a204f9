"""What was expected of one H100 before any GPU ran this: counted calls, ±40 %, each beside what was measured.

An image of 1500x2250 with 100 masks, engine-base, four images at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stage:
    """Milliseconds an image: of the device's work, and of one thread launching it; and launches an image."""

    what: str
    busy_ms: float
    launching_ms: float
    launches: int


ENGINE_STAGES = {
    "segment": Stage("two OneFormers and their maps", 50, 150, 8918),
    "caption": Stage("BLIP, looking and writing", 165, 122, 4929),
    "filter": Stage("CLIP", 45, 25, 0),
    "decide": Stage("CLIPSeg", 55, 8, 1101),
}
"""The launches of CLIP were not counted; those of BLIP are of 256 crops at a time; CLIPSeg's of `benchmarks.host`."""
ENGINE_TFLOP = 78.8
"""An image, every crop seen once and texts cached, without SAM, which existing masks do not need."""
SAM_ENCODER_TFLOP, SAM_POINTS_TFLOP = 5.9, 3.7
"""ViT-H, and 1,024 points."""
CPU_MS = {
    "votes on two maps": 64.0,
    "decode_crop of every mask": 102.0,
    "refine": 31.0,
    "class RLEs": 33.0,
    "spaCy on every caption": 118.0,
    "small regions of SAM's masks": 76.0,
}
"""Of one image, one thread."""


def beside(stages: dict[str, dict[str, Any]], images: int) -> dict[str, dict[str, Any]]:
    """Each estimate with what was measured of its stage, an image; None where it was not."""
    table = {}
    for name, expected in ENGINE_STAGES.items():
        found = stages.get(name, {})

        def each(key: str, factor: float = 1.0, found: dict[str, Any] = found) -> float | None:
            return round(found[key] * factor / images, 2) if key in found else None

        table[name] = {
            "what": expected.what,
            "busy_ms": {"estimated": expected.busy_ms, "measured": each("busy_ms")},
            "launching_ms": {"estimated": expected.launching_ms, "measured": each("launching_ms")},
            "launches": {"estimated": expected.launches or None, "measured": each("launches")},
            "waited_for_ms": each("seconds", 1e3),
        }
    return table
