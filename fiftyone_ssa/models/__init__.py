"""The model families behind small protocols; each file holds one family and imports its library only when built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fiftyone_ssa.types import Image, MaskSet, SemanticMap


class MaskGenerator(Protocol):
    """Everything-mode: all masks of one image."""

    def __call__(self, image: Image) -> MaskSet:
        """Masks of one (H, W, 3) uint8 RGB image."""


@runtime_checkable
class Segmenter(Protocol):
    """A closed-set semantic segmenter. A user's own is a class with these two members, named `"module:factory"`."""

    classes: Sequence[str]
    """Class names in id order."""

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """One class map per (H, W, 3) uint8 RGB image, of the image's size."""
