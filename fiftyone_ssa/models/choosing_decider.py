"""An image-text model as decider: it is shown the mask and asked which of the names fits, by a letter."""

from __future__ import annotations

import string
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.masks import rle
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.devices import plan_chunks, upload
from fiftyone_ssa.models.prompted import check_can_be_asked, load_prompted

LETTERS = string.ascii_uppercase
ASKED = "Which name fits the object that is not darkened best?\n{names}\nAnswer with the letter only."
DARKENED = 3
"""Pixels outside the mask are divided by this."""
Scores = npt.NDArray[np.float64]


class ChoosingDecider:
    """For each question the model's probabilities of the letters that stand for the names, by one step of writing.

    What the model would write is not read: its logits say more. Questions share a batch only where their texts are
    equally long, so that none is padded and an answer depends on nothing else.
    Raises InputError if the model cannot be loaded or asked, with what to do.
    """

    def __init__(
        self, config: Any, model: str, device: torch.device, dtype: torch.dtype, *, most: int, what: str, takes: str
    ) -> None:
        """`most` names are to be chosen among (26 can be), and `what` takes `takes`."""
        if most > len(LETTERS):
            raise InputError(
                f"{what} {model} chooses among {len(LETTERS)} names at most; set open_vocabulary.top_k, which is "
                f"{most}, to that or less"
            )
        check_can_be_asked(config, model, what, takes)
        self._parts = load_prompted(model, what, device, dtype, {})
        self._device = device
        self._letters = [self._tokens(letter) for letter in LETTERS]
        if len({token for tokens in self._letters for token in tokens}) < len(LETTERS):
            raise InputError(f"cannot load {what}: {model} has no token for each letter to answer with; give {takes}")
        blank = torch.zeros((64, 64, 3), dtype=torch.uint8, device=device)
        text = self._text(("a", "b"))
        try:
            self._chunks = plan_chunks(
                lambda rows: self._choose([(blank, text, 2)] * rows), self._parts.network, device, most=16, what=what
            )
            self._choose([(blank, text, 2)])
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise InputError(
                f"cannot load {what}: {model} ({self._parts.kind}) cannot be asked about an image; give {takes} "
                f"({type(error).__name__}: {said_by(error)})"
            ) from error

    def __call__(self, groups: Sequence[Sequence[Question]]) -> list[list[Scores]]:
        """(names,) probabilities for each question; a name without rivals is not asked about."""
        return [self._group(questions) for questions in groups]

    def _group(self, questions: Sequence[Question]) -> list[Scores]:
        answers = [np.ones(len(question.names)) for question in questions]
        texts = {index: self._text(q.names) for index, q in enumerate(questions) if len(q.names) > 1}
        lengths = {index: len(self._parts.processor.tokenizer(text)["input_ids"]) for index, text in texts.items()}
        for _, alike in groupby(sorted(texts, key=lambda index: lengths[index]), key=lambda index: lengths[index]):
            indices = list(alike)
            asked = [(_shown(questions[i], self._device), texts[i], len(questions[i].names)) for i in indices]
            for index, scores in zip(indices, self._chunks.map(self._choose, asked), strict=True):
                answers[index] = scores
        return answers

    def _text(self, names: Sequence[str]) -> str:
        listed = "\n".join(f"{letter}. {name}" for letter, name in zip(LETTERS, names, strict=False))
        return self._parts.words(ASKED.format(names=listed))

    def _tokens(self, letter: str) -> list[int]:
        """The tokens that may begin an answer with a letter: as it stands, or after a space."""
        tokenizer = self._parts.processor.tokenizer
        return sorted({tokenizer.encode(text, add_special_tokens=False)[-1] for text in (letter, f" {letter}")})

    @torch.inference_mode()
    def _choose(self, asked: Sequence[tuple[torch.Tensor, str, int]]) -> list[Scores]:
        inputs = self._parts.inputs([crop for crop, _, _ in asked], [text for _, text, _ in asked])
        written = self._parts.network.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            num_beams=1,
            pad_token_id=self._parts.processor.tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits = written.logits[0].cpu().double()  # MPS has no float64
        per_letter = torch.stack([logits[:, tokens].logsumexp(1) for tokens in self._letters], 1)
        return [per_letter[row, :count].softmax(0).numpy() for row, (_, _, count) in enumerate(asked)]


def _shown(question: Question, device: torch.device) -> torch.Tensor:
    """(h, w, 3) uint8: the question's crop, what is outside the mask darkened."""
    inside = upload(rle.decode_crop(question.rle, question.size_hw, question.crop_xyxy), device)
    return torch.where(inside[..., None], question.crop, question.crop // DARKENED)
