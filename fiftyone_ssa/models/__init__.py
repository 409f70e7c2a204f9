"""The model families behind small protocols; each file holds one family and imports its library only when built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.types import Image, Inputs, Ints, MaskSet, SemanticMap

if TYPE_CHECKING:
    import torch


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


class CaptionerSlot(Protocol):
    """What describes or names crops. A group is what may share batches: one image's crops on the CPU, all on CUDA."""

    only_names: bool
    """Whether every answer is a tuple of names, so that no sentence has to be read (and spaCy not be there)."""

    def __call__(self, groups: Sequence[Sequence[torch.Tensor]]) -> Sequence[Sequence[str | tuple[str, ...]]]:
        """For each (h, w, 3) uint8 crop of each group a sentence, or a tuple of names, which are taken as they are."""


class ClassFilterSlot(Protocol):
    """What embeds crops and names in one space: the nearer a name, the better it fits."""

    logit_scale: float
    """Similarities are multiplied by this before they are compared."""
    logit_bias: float | None
    """None: probabilities are a softmax over the names; a number: each name's is the sigmoid of its own logit, to
    which this is added (SigLIP)."""

    def images(self, groups: Sequence[Sequence[torch.Tensor]]) -> list[npt.NDArray[np.float32]]:
        """(N, d) unit embeddings of each group's N (h, w, 3) uint8 crops."""

    def texts(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """(N, d) unit embeddings of N names, the filter's template around each."""


@dataclass(frozen=True, eq=False)
class Question:
    """A crop, a mask in it, and the names to choose from."""

    crop: torch.Tensor
    """(h, w, 3) uint8 on the decider's device; a view of `image`."""
    crop_xyxy: tuple[int, int, int, int]
    """Where the crop lies in the image, pixels, x1 and y1 exclusive."""
    box_xyxy: tuple[int, int, int, int]
    """The part of the crop that holds the mask, likewise; may be empty."""
    rle: bytes
    """The mask's compressed code, in the whole image."""
    size_hw: tuple[int, int]
    """Of the image."""
    names: tuple[str, ...]
    image: torch.Tensor
    """(H, W, 3) uint8, the whole image on the decider's device."""
    runs: tuple[Ints, Ints] | None = None
    """Where `rle`'s runs of 1 begin and end (exclusive) in the column-major image, if whoever asks knows them."""


class DeciderSlot(Protocol):
    """What chooses among the names that the filter left of a mask."""

    def __call__(self, groups: Sequence[Sequence[Question]]) -> Sequence[Sequence[npt.NDArray[Any]]]:
        """For each question of each group (names,) counts or scores >= 0, higher is better; all 0: none can be told.

        Or (names, 2): inside the mask and, for `decision = "fused"`, outside it.
        """


def find_masks(inputs: Inputs, generator: MaskGenerator | None) -> MaskSet:
    """The masks an image comes with, or the generator's."""
    if generator is not None:
        return generator(inputs.image)
    if inputs.masks is None:
        raise InputError('this image has no masks; give masks, or let SAM make them with masks.source = "sam"')
    return inputs.masks
