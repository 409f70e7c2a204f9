"""From an image's candidates to the evidence of `fusing`, and back: proposals first, and the name when all is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.overlaps import intersections
from fiftyone_ssa.naming.candidates import Candidate
from fiftyone_ssa.naming.fusing import (
    CAPTION,
    TERMS,
    VOCABULARY,
    WEIGHTS,
    Evidence,
    Weights,
    fused_scores,
    fused_terms,
    inside_less_outside,
    softmax,
)
from fiftyone_ssa.naming.ranking import Embeddings, TextEncoder
from fiftyone_ssa.types import Floats, Proposals


@dataclass(frozen=True)
class Traced:
    """One image's masks, whose `terms` are filled, and its names."""

    group: Sequence[Candidate]
    names: tuple[str, ...]


class Fusion:
    """Proposes, for all masks of an image together, the `top_k` names of most evidence, and decides among them."""

    def __init__(self, encoder: TextEncoder, vocabulary: Sequence[str], top_k: int, weights: Weights = WEIGHTS) -> None:
        self._encoder, self._top_k, self._weights = encoder, top_k, weights
        self._vocabulary = tuple(vocabulary)
        self.traced: list[Traced] | None = None
        """A list is given what spoke for each name of each image that is decided, for whoever fits weights."""

    def propose(self, group: Sequence[Candidate], looks: Sequence[Embeddings]) -> None:
        """Give each mask of one image its proposals, best first, with their probabilities among the image's names."""
        sources: dict[str, str] = {}
        for candidate in group:
            for name, source in candidate.sources.items():
                sources.setdefault(name, source)
        for name in self._vocabulary:
            sources.setdefault(name, VOCABULARY)
        if not group or not sources:
            return
        names = tuple(sources)
        evidence = self._evidence(group, looks, names)
        scores = fused_scores(evidence, self._weights)
        if self.traced is not None:
            self.traced.append(_trace(group, names, evidence))
        for candidate, row, best in zip(group, scores, np.argsort(-scores, axis=1, kind="stable"), strict=True):
            candidate.evidence, candidate.columns = row, best[: self._top_k]
            candidate.proposals = _proposals([names[i] for i in candidate.columns], row, candidate.columns)
            for name in candidate.proposals.names:  # a name from another mask comes from who said it there
                candidate.sources.setdefault(name, sources[name])

    def decide(self, candidate: Candidate, answer: npt.NDArray[Any]) -> None:
        """Add what the decider said of the mask's proposals, and take the best of them.

        `answer` is (names,) pixels or scores, or (names, 2) with those outside the mask; a decider that has but one
        name to judge says nothing.
        """
        assert candidate.evidence is not None  # the proposals came from it
        columns, scores = candidate.columns, candidate.evidence.copy()
        if len(columns) > 1:
            shares = inside_less_outside(answer)
            scores[columns] += self._weights.decider * shares
            if candidate.terms is not None:
                candidate.terms[columns, TERMS.index("decider")] = shares
        order = np.argsort(-scores[columns], kind="stable")
        candidate.proposals = _proposals([candidate.proposals.names[i] for i in order], scores, columns[order])
        candidate.label, candidate.confidence = candidate.proposals.names[0], candidate.proposals.scores[0]

    def _evidence(self, group: Sequence[Candidate], looks: Sequence[Embeddings], names: tuple[str, ...]) -> Evidence:
        places = {name: place for place, name in enumerate(names)}
        shape = len(group), len(names)
        own, said, subject = (np.zeros(shape, np.bool_) for _ in range(3))
        votes = np.zeros(shape)
        offered = [places[name] for name in self._vocabulary]
        own[:, offered] = said[:, offered] = True
        for row, candidate in enumerate(group):
            for name, source in candidate.sources.items():
                own[row, places[name]] = True
                # a segmenter proposes one name; a caption begins with what it is about
                said[row, places[name]] |= source != CAPTION or name == candidate.subject
            if candidate.subject is not None:
                subject[row, places[candidate.subject]] = True
            for name, share in candidate.votes.items():
                if name in places:
                    votes[row, places[name]] = share
        texts = self._encoder.texts(names).astype(np.float64)
        logits = self._encoder.logit_scale * np.stack(looks).astype(np.float64) @ texts.T
        masks = group[0].masks[[candidate.index for candidate in group]]
        return Evidence(logits, own, said, subject, votes, intersections(masks))


def _trace(group: Sequence[Candidate], names: tuple[str, ...], evidence: Evidence) -> Traced:
    terms = fused_terms(evidence) | {"decider": np.zeros(evidence.own.shape)}  # which is asked later
    table = np.stack([np.broadcast_to(terms[term], evidence.own.shape) for term in TERMS], -1).astype(np.float64)
    for candidate, rows in zip(group, table, strict=True):
        candidate.terms = rows
    return Traced(group, names)


def _proposals(names: Sequence[str], scores: Floats, columns: npt.NDArray[np.int64]) -> Proposals:
    return Proposals(tuple(names), tuple(float(share) for share in softmax(scores[None])[0, columns]))
