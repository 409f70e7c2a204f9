"""Weights of the fused decision, fitted to truth: right names are likeliest under them, and they are near the fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.naming.fusing import TERMS, WEIGHTS, Weights, softmax
from fiftyone_ssa.types import Floats

DRAWN = 2.0
"""How far weights are drawn to the fixed ones, in squared nats: some hundred masks outweigh it."""


@dataclass(frozen=True, eq=False)
class Case:
    """One mask whose truth is known, and the n names of its image."""

    terms: Floats
    """(n, terms) what each of `TERMS` says of each name."""
    right: npt.NDArray[np.bool_]
    """(n,) whether it is a right name."""
    half: int
    """0 or 1: images are fitted on in two halves."""


@dataclass(frozen=True)
class Fitted:
    """What a fit gains on images that it was not fitted on."""

    weights: Weights
    masks: int
    before: float
    """The share of them that the fixed weights name rightly."""
    after: float
    """The same of fitted weights, every second image by what the others fitted."""

    @property
    def better(self) -> bool:
        """Whether it gains at all: otherwise the fixed weights stay."""
        return self.after > self.before


def fit_weights(cases: Sequence[Case]) -> Fitted:
    """Weights fitted on all cases, and what weights fitted on half of them name in the other half."""
    halves = [[case for case in cases if case.half == side] for side in (0, 1)]
    right = 0
    for tried, others in zip(halves, reversed(halves), strict=True):
        weights = _fit(others)
        right += sum(_is_right(case, weights) for case in tried)
    fixed = np.array([getattr(WEIGHTS, term) for term in TERMS])
    before = sum(_is_right(case, fixed) for case in cases)
    found = dict(zip(TERMS, _fit(cases).tolist(), strict=True))
    return Fitted(Weights(**found), len(cases), before / max(len(cases), 1), right / max(len(cases), 1))


def _fit(cases: Sequence[Case]) -> Floats:
    """(terms,) by Newton's method, in steps of at most a half."""
    fixed = np.array([getattr(WEIGHTS, term) for term in TERMS])
    weights, told = fixed.copy(), [case for case in cases if case.right.any()]
    most = max((len(case.right) for case in told), default=0)
    terms = np.stack([_padded(case.terms, most) for case in told] or [np.zeros((0, len(TERMS)))])
    right = np.stack([_padded(case.right, most) for case in told] or [np.zeros(0, np.bool_)])
    there = np.stack([np.arange(most) < len(case.right) for case in told] or [np.zeros(0, np.bool_)])
    for _ in range(40):
        scores = terms @ weights
        likely = softmax(np.where(there, scores, -np.inf))
        wanted = softmax(np.where(right, scores, -np.inf))
        mean = (likely[..., None] * terms).sum(1)
        slope = np.einsum("mn,mnt->t", wanted - likely, terms) - DRAWN * (weights - fixed)
        seen = (likely[..., None] * terms).reshape(-1, len(weights)).T @ terms.reshape(-1, len(weights))
        step = np.linalg.solve(seen - mean.T @ mean + DRAWN * np.eye(len(weights)), slope)
        weights += step / max(1.0, 2 * np.abs(step).max())
        if np.abs(step).max() < 1e-3:
            break
    return weights


def _padded(rows: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    return np.pad(rows, [(0, count - len(rows)), *[(0, 0)] * (rows.ndim - 1)])


def _is_right(case: Case, weights: Floats) -> bool:
    return bool(case.right[(case.terms @ weights).argmax()])
