"""The fused decision: each term by itself, and beside a plain twin that takes one mask and one name at a time."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fiftyone_ssa.naming.fusing import TERMS, WEIGHTS, Evidence, Weights, fused_scores, inside_less_outside, softmax

NONE = Weights(**dict.fromkeys(TERMS, 0.0))


def plain_scores(evidence: Evidence, weights: Weights) -> np.ndarray:
    count, names = evidence.logits.shape
    shared = evidence.shared_px
    area = [int(shared[k, k]) for k in range(count)]

    def first(k: int, n: int) -> float:
        """The filter's probability among what was proposed for the mask."""
        odds = [math.exp(evidence.logits[k, i]) if evidence.own[k, i] else 0.0 for i in range(names)]
        return odds[n] / sum(odds) if sum(odds) else 0.0

    def parent(k: int) -> int | None:
        around = [j for j in range(count) if area[k] and shared[k, j] >= 0.9 * area[k] and area[k] < 0.8 * area[j]]
        return min(around, key=lambda j: area[j]) if around else None

    scores = np.zeros((count, names))
    for k in range(count):
        around = parent(k)
        for n in range(names):
            others = [j for j in range(count) if j != k]
            score = weights.filter * evidence.logits[k, n]
            score += 0 if evidence.said[k, n] else weights.unsaid
            score += weights.subject if evidence.subject[k, n] else 0
            score += weights.vote * evidence.votes[k, n]
            if around is not None:
                score += weights.vote_in_part * evidence.votes[k, n]
                score += weights.parent * first(around, n) * (1 - area[k] / area[around])
                score += weights.siblings * max([first(j, n) for j in others if parent(j) == around], default=0.0)
            alike = [j for j in others if shared[k, j] > 0.7 * (area[k] + area[j] - shared[k, j])]
            score += weights.twins * sum(first(j, n) for j in alike)
            score += weights.elsewhere * math.log(1 + sum(first(j, n) for j in others))
            scores[k, n] = score
    return scores


def some_evidence(seed: int, count: int = 9, names: int = 7) -> Evidence:
    random = np.random.default_rng(seed)
    dense = np.zeros((count, 30, 40), np.int64)
    for mask in dense:
        x, y, w, h = random.integers(0, 25), random.integers(0, 18), *random.integers(2, 30, 2)
        mask[y : y + h, x : x + w] = 1
    dense[1] = dense[0]  # twins
    dense[2, :, :], dense[3] = 1, 0  # a mask around all others, and an empty one
    flat = dense.reshape(count, -1)
    own = random.random((count, names)) < 0.4
    own[4] = False  # nobody said anything
    return Evidence(
        logits=random.normal(0, 3, (count, names)),
        own=own,
        said=own & (random.random((count, names)) < 0.7),
        subject=own & (random.random((count, names)) < 0.2),
        votes=random.random((count, names)) * own,
        shared_px=flat @ flat.T,
    )


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_the_plain_twins(seed: int) -> None:
    evidence = some_evidence(seed)
    np.testing.assert_allclose(fused_scores(evidence), plain_scores(evidence, WEIGHTS), atol=1e-9)


@pytest.mark.parametrize("term", [term for term in TERMS if term != "decider"])
def test_every_term_counts_alone(term: str) -> None:
    evidence, alone = some_evidence(1), dataclasses.replace(NONE, **{term: 2.0})
    scores = fused_scores(evidence, alone)
    assert np.ptp(scores) > 0
    np.testing.assert_allclose(scores, plain_scores(evidence, alone), atol=1e-9)


def test_no_masks_and_one_mask() -> None:
    none = Evidence(*np.zeros((2, 0, 3)), *np.zeros((2, 0, 3), bool), np.zeros((0, 3)), np.zeros((0, 0), np.int64))
    assert fused_scores(none).shape == (0, 3)
    one = some_evidence(0)
    row = {f.name: getattr(one, f.name)[:1] for f in dataclasses.fields(one)}
    single = Evidence(**row | {"shared_px": one.shared_px[:1, :1]})
    np.testing.assert_allclose(fused_scores(single), plain_scores(single, WEIGHTS), atol=1e-9)


def test_probabilities_and_shares() -> None:
    np.testing.assert_allclose(softmax(np.array([[0.0, math.log(3)], [-np.inf, -np.inf]])), [[0.25, 0.75], [0, 0]])
    np.testing.assert_allclose(inside_less_outside(np.array([[30, 5], [10, 15]])), [0.75 - 0.25, 0.25 - 0.75])
    np.testing.assert_allclose(inside_less_outside(np.array([30, 10])), [0.75, 0.25])
    np.testing.assert_allclose(inside_less_outside(np.array([[4, 0], [0, 0]])), [1, 0])  # the mask fills its box
