"""Which of a mask's candidate names fit its crop best: CLIP's probabilities, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.types import Floats, Proposals

Embeddings = npt.NDArray[np.float32]


class TextEncoder(Protocol):
    """What embeds names where crops are embedded too."""

    logit_scale: float
    """Similarities are multiplied by this before the softmax."""
    logit_bias: float | None
    """None: scores are a softmax over all names; a number: each the sigmoid of its logit, to which this is added."""

    def texts(self, names: Sequence[str]) -> Embeddings:
        """(N, d) unit embeddings."""


class Ranking:
    """The best `top_k` of each mask's own candidates and of a vocabulary that is offered for every mask.

    Scores are computed mask by mask in float64 and compared in float32: two spellings that the text encoder takes for
    one tie exactly, and ties go to the earlier candidate, a mask's own before the vocabulary.
    """

    def __init__(self, encoder: TextEncoder, vocabulary: Sequence[str], top_k: int) -> None:
        self._encoder, self._top_k = encoder, top_k
        self._vocabulary = tuple(vocabulary)
        self._places = {name: place for place, name in enumerate(self._vocabulary)}
        self._offered = encoder.texts(self._vocabulary).astype(np.float64) if vocabulary else None

    def __call__(self, looks: Sequence[Embeddings], candidates: Sequence[Sequence[str]]) -> list[Proposals]:
        """Proposals for each of N crops: its (d,) unit embedding, and the mask's own distinct names in order."""
        texts = iter(self._encoder.texts([name for names in candidates for name in names]).astype(np.float64))
        ranked = []
        for embedding, names in zip(looks, candidates, strict=True):
            look = embedding.astype(np.float64)
            scores = np.array([next(texts) @ look for _ in names], np.float64)
            ranked.append(self._rank(names, scores, look))
        return ranked

    def _rank(self, names: Sequence[str], scores: Floats, look: Floats) -> Proposals:
        if self._offered is not None:
            offered = self._offered @ look
            offered[[self._places[name] for name in names if name in self._places]] = -np.inf
            scores = np.concatenate([scores, offered])
        if not np.isfinite(scores).any():
            return Proposals()
        logits = (scores * self._encoder.logit_scale).astype(np.float32)
        best = np.argsort(-logits, kind="stable")[: self._top_k]
        best = best[np.isfinite(logits[best])]
        shares = self._probabilities(logits.astype(np.float64))[best]
        every = [*names, *self._vocabulary] if self._offered is not None else names
        return Proposals(tuple(every[i] for i in best), tuple(float(share) for share in shares))

    def _probabilities(self, logits: Floats) -> Floats:
        bias = self._encoder.logit_bias
        odds = np.exp(logits - logits.max())
        probabilities: Floats = odds / odds.sum() if bias is None else 1 / (1 + np.exp(-logits - bias))
        return probabilities
