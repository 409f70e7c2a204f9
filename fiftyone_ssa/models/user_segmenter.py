"""A segmenter of the user's own, behind checks that name it when its answer cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models import Segmenter
from fiftyone_ssa.models.class_names import users_names
from fiftyone_ssa.models.factories import told
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.models.user_answers import answers_of, array_of, described
from fiftyone_ssa.types import Image, SemanticMap, class_ids


def adopt(segmenter: Any, what: str) -> Segmenter:
    """A user's segmenter as one of ours; raises InputError if it lacks `classes` or cannot be called."""
    with told(f"{what} failed", "it must build an object with `classes` and `__call__(images)`"):
        classes = getattr(segmenter, "classes", None)
        probabilities = getattr(segmenter, "probabilities", None)
    if not callable(segmenter) or isinstance(segmenter, type) or classes is None:
        got = segmenter.__name__ if isinstance(segmenter, type) else f"a {type(segmenter).__name__}"
        raise InputError(f"{what} must build an object with `classes` and `__call__(images)`, got {got}")
    if probabilities is None:
        return UserSegmenter(segmenter, what)
    if not callable(probabilities):
        raise InputError(f"{what}.probabilities must be a method of images, got a {type(probabilities).__name__}")
    return UserScoringSegmenter(segmenter, what)


class UserSegmenter:
    """Checks what a user's segmenter answers: one map of the image's size per image, with known ids."""

    def __init__(self, segmenter: Any, what: str) -> None:
        self.segmenter, self.what = segmenter, what
        self.classes: Sequence[str] = users_names(segmenter.classes, what)

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """One class map per image; plain (H, W) integer arrays are taken too."""
        answers = answers_of(self.what, self.segmenter, _copies(images), "maps", "image")
        return [self._checked(answer, image) for answer, image in zip(answers, images, strict=True)]

    def _checked(self, answer: object, image: Image) -> SemanticMap:
        if not isinstance(answer, SemanticMap):
            array = array_of(answer)
            if array is None or array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
                raise InputError(f"{self.what} must answer SemanticMaps or (H, W) integers, got {described(answer)}")
            if array.dtype != np.uint8 and array.size and (array.min() < 0 or array.max() >= len(self.classes)):
                raise InputError(
                    f"{self.what} answered class ids from {array.min()} to {array.max()}, but has "
                    f"{len(self.classes)} classes; give SemanticMaps where pixels are to be ignored"
                )
            answer = SemanticMap(class_ids(array, len(self.classes)), tuple(self.classes))
        if answer.size_hw != image.shape[:2]:
            raise InputError(
                f"{self.what} answered a map of {answer.size_hw} (height, width) for an image of {image.shape[:2]}; "
                "resize it to the image"
            )
        return answer


class UserScoringSegmenter(UserSegmenter):
    """A user's segmenter that also tells probabilities."""

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """The user's probabilities, checked."""
        answers = answers_of(
            self.what, self.segmenter.probabilities, _copies(images), "arrays of probabilities", "image"
        )
        return [self._scores(answer, image) for answer, image in zip(answers, images, strict=True)]

    def _scores(self, answer: object, image: Image) -> ClassScores:
        values = array_of(answer, np.float32)
        usable = values is not None and values.ndim == 3 and 0 not in values.shape
        if values is None or not usable or len(values) != len(self.classes):
            raise InputError(
                f"{self.what}.probabilities must give ({len(self.classes)}, h, w) numbers, got {described(answer)}"
            )
        if not np.isfinite(values).all() or values.min() < 0:
            raise InputError(f"{self.what}.probabilities must give finite non-negative numbers; some are not")
        return ClassScores(
            torch.from_numpy(values), tuple(self.classes), (image.shape[0], image.shape[1]), logits=False
        )


def _copies(images: Sequence[Image]) -> list[Image]:
    """Users draw on what they are given."""
    return [np.array(image) for image in images]
