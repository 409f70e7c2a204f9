"""One decision from all that is known of an image's masks, in place of the decider's alone.

Every name that was proposed for any mask of the image can name every mask. A name's evidence is a sum of terms, each a
weight times a number that says what it says (`Weights`), and its probability the softmax over the image's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.masks.overlaps import parents, twins
from fiftyone_ssa.types import Floats, Ints

CAPTION, VOCABULARY = "caption", "vocabulary"
"""What proposed a name, beside the segmenters."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Weights:
    """What each term counts, in nats.

    Fitted on 30 drawn scenes (seeds from 3,000), plain and with foreign textures, on SAM's and on true masks, and
    rounded; docs/models.md has what each gains on other scenes. None is about what scenes show.
    """

    filter: float = 0.4
    """The class filter's logit: below 1, for it is surer than it is right."""
    unsaid: float = -1.0
    """Nobody said it of this mask but, if anyone, a caption in passing ("a bench on the grass")."""
    subject: float = 0.4
    """The mask's caption begins with it."""
    vote: float = 0.6
    """The share of the mask's pixels that segmenters give it, summed over segmenters."""
    vote_in_part: float = -1.1
    """The same for masks inside a larger one: segmenters call a part by the whole's name."""
    parent: float = -0.9
    """How much the mask around it is called that, times the share of that mask which this one leaves."""
    siblings: float = 1.1
    """How much another mask in the same parent is called that: wheels come in pairs."""
    twins: float = 0.8
    """How much masks of nearly the same pixels are called that, summed."""
    elsewhere: float = -0.6
    """log(1 + how many other masks are called that): what fits everywhere fits by chance."""
    decider: float = 2.0
    """The decider's share inside the mask less that outside it, of the names that it was asked about."""


WEIGHTS = Weights()
LARGEST = 1000
"""Of a weight that is given, either way; fitted ones stay below a fiftieth of it."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of K masks of one image and n names."""

    logits: Floats
    """(K, n) the class filter's."""
    own: Flags
    """(K, n) whether a name was proposed for the mask, by whomever."""
    said: Flags
    """(K, n) whether it is the mask's own: a segmenter's choice, the caption's subject, or offered by the user."""
    subject: Flags
    """(K, n) whether the mask's caption begins with it."""
    votes: Floats
    """(K, n) summed shares of the segmenters."""
    shared_px: Ints
    """(K, K) pixels that masks share."""


def weights_of(given: Sequence[str]) -> Weights:
    """The fixed weights with those that are given as `"term=number"` in their place. Raises InputError for others."""
    found = {}
    for text in given:
        term, _, number = text.partition("=")
        try:
            found[term.strip()] = float(number)
        except ValueError:
            found[term.strip()] = float("nan")
        if term.strip() not in TERMS or not abs(found[term.strip()]) <= LARGEST:
            raise InputError(
                f'open_vocabulary.weights must read "term=number", a term being one of {", ".join(TERMS)}, a number '
                f"from -{LARGEST} to {LARGEST}, got {shown(text)}"
            )
    return replace(WEIGHTS, **found)


def weights_text(weights: Weights) -> list[str]:
    """The other way: what `open_vocabulary.weights` takes."""
    return [f"{term}={getattr(weights, term):.4g}" for term in TERMS]


def fused_scores(evidence: Evidence, weights: Weights = WEIGHTS) -> Floats:
    """(K, n) the evidence of each name for each mask, in nats, without the decider's."""
    scores = np.zeros(evidence.own.shape)
    for name, values in fused_terms(evidence).items():
        scores += getattr(weights, name) * values
    return scores


def fused_terms(evidence: Evidence) -> dict[str, npt.NDArray[Any]]:
    """(K, n) what each term but the decider says of each name for each mask, by the term's name."""
    own, votes = evidence.own, evidence.votes
    areas = np.diag(evidence.shared_px)
    parent = parents(evidence.shared_px)
    inside = parent >= 0
    first = softmax(np.where(own, evidence.logits, -np.inf))
    around = np.where(inside[:, None], first[parent], 0.0) * (1 - areas / np.maximum(areas[parent], 1))[:, None]
    return {
        "filter": evidence.logits,
        "unsaid": ~evidence.said,
        "subject": evidence.subject,
        "vote": votes,
        "vote_in_part": votes * inside[:, None],
        "parent": around,
        "siblings": _most_among(first, (parent[:, None] == parent) & inside & ~np.eye(len(parent), dtype=np.bool_)),
        "twins": twins(evidence.shared_px).astype(np.float64) @ first,
        "elsewhere": np.log1p(np.maximum(first.sum(0) - first, 0)),
    }


def softmax(scores: Floats) -> Floats:
    """Probabilities of each row; a row of -inf alone is all zeros."""
    top = scores.max(axis=1, keepdims=True, initial=-np.inf)
    odds = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    found: Floats = odds / np.maximum(odds.sum(axis=1, keepdims=True), 1e-300)
    return found


def inside_less_outside(counts: npt.NDArray[np.number]) -> Floats:
    """(names,) in [-1, 1], of a decider's (names, 2) pixels inside and outside a mask, or of its (names,) scores."""
    values = np.asarray(counts, np.float64).reshape(len(counts), -1)
    shares = values / np.maximum(values.sum(0), 1e-300)
    found: Floats = shares[:, 0] - (shares[:, 1] if values.shape[1] > 1 else 0.0)
    return found


def _most_among(beliefs: Floats, others: Flags) -> Floats:
    """(K, n) the highest of each name's probabilities among the rows that `others` (K, K) selects; 0 among none."""
    found = np.zeros_like(beliefs)
    for row, chosen in enumerate(others):
        if chosen.any():
            found[row] = beliefs[chosen].max(0)
    return found


TERMS = tuple(entry.name for entry in fields(Weights))
"""The terms by name, for tables that leave one out."""
