"""A generator of masks of the user's own, behind checks that name it when its answer cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import foreign, rle
from fiftyone_ssa.masks.records import mask_set_from_records
from fiftyone_ssa.masks.runs import keep, runs_of
from fiftyone_ssa.models import MaskGenerator
from fiftyone_ssa.models.user_answers import array_of, described
from fiftyone_ssa.types import Image, MaskSet

FORMS = "a MaskSet, an (N, H, W) array of bool, or SAM's records"


def adopt_generator(generator: Any, what: str) -> MaskGenerator:
    """A user's generator of masks as one of ours; raises InputError if it cannot be called."""
    if not callable(generator) or isinstance(generator, type):
        got = generator.__name__ if isinstance(generator, type) else f"a {type(generator).__name__}"
        raise InputError(f"{what} must build an object with `__call__(image)`, which answers {FORMS}; got {got}")
    return UserMaskGenerator(generator, what)


class UserMaskGenerator:
    """Checks what a user's generator answers for an image: masks of the image's size.

    It may answer a MaskSet, (N, H, W) bools (or numbers of which those above zero are inside), or a list of records
    as `SamAutomaticMaskGenerator.generate` gives them, each with a `segmentation` (a dense mask or a COCO RLE).
    Names come as a MaskSet's `source_names`, or under `class_name` and `score` of a record.
    """

    def __init__(self, generator: Any, what: str) -> None:
        self.generator, self.what = generator, what

    def __call__(self, image: Image) -> MaskSet:
        """The user's masks of one (H, W, 3) uint8 RGB image, checked."""
        size_hw = (image.shape[0], image.shape[1])
        try:
            answer = self.generator(np.array(image))  # a copy: users draw on what they are given
        except SystemExit as error:  # it would end the run, and say nothing
            raise InputError(f"{self.what} called sys.exit({error}) instead of answering; raise an error") from error
        if isinstance(answer, MaskSet):
            self._check_size(answer.size_hw, size_hw)
            return answer
        if isinstance(answer, list | tuple) and all(isinstance(record, Mapping) for record in answer):
            return self._from_records(answer, size_hw)
        return self._from_array(answer, size_hw)

    def _from_records(self, records: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]) -> MaskSet:
        coded = [{**record, "segmentation": self._code(record.get("segmentation"), size_hw)} for record in records]
        try:
            found = mask_set_from_records(coded, size_hw, with_names=True)
        except InputError as error:
            raise InputError(f"{self.what} must answer {FORMS}: {error}") from error
        return keep(replace(found, records=({},) * len(found)), runs_of(found))

    def _code(self, segmentation: Any, size_hw: tuple[int, int]) -> Any:
        if not isinstance(segmentation, np.ndarray | torch.Tensor):
            return segmentation
        [counts] = self._from_array(segmentation[None], size_hw).rles
        return {"size": list(size_hw), "counts": counts.decode()}

    def _from_array(self, answer: Any, size_hw: tuple[int, int]) -> MaskSet:
        dense = array_of(answer)
        if dense is None or dense.ndim != 3 or dense.dtype.kind not in "biuf" or np.isnan(dense).any():
            got = foreign.short(answer) if dense is None or dense.dtype == object else described(dense)
            raise InputError(f"{self.what} must answer {FORMS}, got {got}")
        self._check_size(dense.shape[1:], size_hw)
        return rle.mask_set(size_hw, [rle.encode(mask > 0) for mask in dense])

    def _check_size(self, got: tuple[int, ...], size_hw: tuple[int, int]) -> None:
        if got != size_hw:
            raise InputError(
                f"{self.what} answered masks of {got} (height, width) for an image of {size_hw}; "
                "resize them to the image"
            )
