"""Names that masks come with: what an instance or panoptic segmenter, a field's labels, or concepts call them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from fiftyone_ssa.layouts.class_names import match_names
from fiftyone_ssa.types import Floats, MaskSet, Proposals

MASKS, CONCEPTS = "masks", "concepts"
"""Who proposed such a name."""


def given_names(masks: MaskSet, heard: Sequence[Proposals], index: int) -> dict[str, str]:
    """What a mask was called before anyone looked at it, in order, with who says so."""
    called = heard[index].names if heard else ()
    own = masks.source_names[index]
    names = {} if own is None else {own: CONCEPTS if own in called else MASKS}
    return names | dict.fromkeys(called, CONCEPTS)


def given_shares(masks: MaskSet, classes: Sequence[str], heard: Sequence[Proposals] = ()) -> Floats | None:
    """(N, C) the score of the name that each mask came with, in its class's column, 1 where the score is unknown.

    `heard` are the names that concepts give each mask; of a class's scores the highest counts.

    Zeros where a mask has no name, or one that is none of `classes`, whatever its case, dashes and synonyms; None where
    that is so of all.
    """
    shares = np.zeros((len(masks), len(classes)))
    for index in np.flatnonzero(masks.areas_px).tolist():
        own = masks.source_names[index]
        said = [] if own is None else [(own, float(np.nan_to_num(masks.source_scores[index], nan=1.0)))]
        said += zip(heard[index].names, heard[index].scores, strict=True) if heard else []
        for name, score in said:
            place = _place(name, tuple(classes))
            if place is not None:
                shares[index, place] = max(shares[index, place], score)
    return shares if shares.any() else None


@lru_cache(maxsize=4096)
def _place(name: str, classes: tuple[str, ...]) -> int | None:
    return match_names([name], classes).ids[0]


def with_given(weights: Floats, given: Floats) -> Floats:
    """(N, C) shares of the classes, of pixels or probabilities (N, C) and of names that masks came with (N, C).

    A name counts against the whole vote as its score against 1: of .95 it wins over all but the clearest votes, of .3
    over none that is clear.
    """
    sums = weights.sum(1, keepdims=True)
    voted = weights / np.where(sums > 0, sums, 1)
    shares: Floats = (voted + given) / (1 + given.sum(1, keepdims=True))
    return shares
