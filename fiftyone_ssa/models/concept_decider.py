"""SAM 3 as decider: of a mask's proposals the one whose things in the whole image lie where the mask lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.masks import rle
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.concepts import Concepts, on_grid, overlaps

Scores = npt.NDArray[np.float64]


class ConceptDecider:
    """For each question and name the best of SAM 3's instances: its score times its IoU with the mask.

    An image is looked at once, whole, and each name that is proposed in it is asked once. Where no instance of any
    name meets a mask, all names score alike, so that the first one, the class filter's choice, stays.
    Raises InputError if the model cannot be loaded, with what to do.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype, what: str, takes: str) -> None:
        self._concepts = Concepts(model, what, device, dtype, takes)

    def __call__(self, groups: Sequence[Sequence[Question]]) -> list[list[Scores]]:
        """(names,) scores in [0, 1] for each question; a name without rivals is not asked about."""
        return [self._group(questions) for questions in groups]

    def _group(self, questions: Sequence[Question]) -> list[Scores]:
        answers = [np.ones(len(question.names)) for question in questions]
        of_images: dict[int, list[int]] = {}
        for index, question in enumerate(questions):
            if len(question.names) > 1:
                of_images.setdefault(id(question.image), []).append(index)
        for indices in of_images.values():
            found = self._image([questions[index] for index in indices])
            for index, scores in zip(indices, found, strict=True):
                answers[index] = scores if scores.any() else np.full(len(scores), 1 / len(scores))
        return answers

    @torch.inference_mode()
    def _image(self, questions: Sequence[Question]) -> list[Scores]:
        image = questions[0].image
        asked = list(dict.fromkeys(name for question in questions for name in question.names))
        seen = self._concepts.look(image)
        height, width = self._concepts.grid_hw
        dense = (rle.decode(question.rle, question.size_hw) for question in questions)
        masks = torch.stack([on_grid(mask, height, width, image.device) for mask in dense])
        best = self._concepts.find(seen, asked, lambda found: (overlaps(masks, found.logits) * found.scores).amax(1))
        table = torch.stack(best, 1).cpu().numpy().astype(np.float64)  # (questions, names)
        places = {name: place for place, name in enumerate(asked)}
        return [table[row, [places[name] for name in q.names]] for row, q in enumerate(questions)]
