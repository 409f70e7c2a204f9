"""The model families behind small protocols; each file holds one family and imports its library only when built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.types import Image, Inputs, MaskSet, SemanticMap


class MaskGenerator(Protocol):
    """Everything-mode: all masks of one image."""

    def __call__(self, image: Image) -> MaskSet:
        """Masks of one (H, W, 3) uint8 RGB image."""


@runtime_checkable
class Segmenter(Protocol):
    """A closed-set semantic segmenter. A user's own is a class with these two members, named `"module:factory"`."""

    @property
    def classes(self) -> Sequence[str]:
        """Class names in id order."""

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """One class map per (H, W, 3) uint8 RGB image, of the image's size."""


def find_masks(inputs: Inputs, generator: MaskGenerator | None) -> MaskSet:
    """The masks an image comes with, or the generator's."""
    if generator is not None:
        return generator(inputs.image)
    if inputs.masks is None:
        raise InputError('this image has no masks; give masks, or let SAM make them with masks.source = "sam"')
    return inputs.masks
