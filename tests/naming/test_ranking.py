from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fiftyone_ssa.naming.ranking import Embeddings, Ranking

DIRECTIONS = {"cat": (1.0, 0.0), "Cat": (1.0, 0.0), "dog": (0.0, 1.0), "sky": (-1.0, 0.0), "tree": (0.6, 0.8)}


class Directions:
    logit_scale = 2.0
    logit_bias: float | None = None

    def texts(self, names: Sequence[str]) -> Embeddings:
        return np.array([DIRECTIONS[name] for name in names], np.float32).reshape(-1, 2)


LOOK = np.array([1.0, 0.0], np.float32)


def test_the_best_candidates_come_first_with_their_softmax_over_all() -> None:
    (proposals,) = Ranking(Directions(), (), top_k=2)([LOOK], [["sky", "dog", "cat", "tree"]])
    assert proposals.names == ("cat", "tree")
    weights = np.exp(2.0 * np.array([1.0, 0.6, 0.0, -1.0]))
    assert proposals.scores == pytest.approx(weights[:2] / weights.sum(), rel=1e-6)


def test_a_sigmoid_model_keeps_its_sigmoids() -> None:
    encoder = Directions()
    encoder.logit_bias = -1.5
    (proposals,) = Ranking(encoder, (), top_k=2)([LOOK], [["sky", "dog", "cat", "tree"]])
    assert proposals.names == ("cat", "tree")
    assert proposals.scores == pytest.approx(1 / (1 + np.exp(-2.0 * np.array([1.0, 0.6]) + 1.5)), rel=1e-6)


def test_ties_go_to_the_earlier_candidate() -> None:
    first, second = Ranking(Directions(), (), top_k=3)([LOOK, LOOK], [["Cat", "cat"], ["cat", "dog", "Cat"]])
    assert first.names == ("Cat", "cat")
    assert second.names == ("cat", "Cat", "dog")


def test_fewer_candidates_than_top_k_all_come_back() -> None:
    one, none = Ranking(Directions(), (), top_k=3)([LOOK, LOOK], [["dog"], []])
    assert (one.names, one.scores) == (("dog",), (1.0,))
    assert (none.names, none.scores) == ((), ())


def test_a_vocabulary_is_offered_for_every_mask_and_counts_a_name_once() -> None:
    ranking = Ranking(Directions(), ("cat", "tree"), top_k=3)
    with_own, without = ranking([LOOK, LOOK], [["dog", "cat"], []])
    assert with_own.names == ("cat", "tree", "dog")
    weights = np.exp(2.0 * np.array([1.0, 0.6, 0.0]))
    assert with_own.scores == pytest.approx(weights / weights.sum(), rel=1e-6)
    assert without.names == ("cat", "tree")


def test_no_crops_give_no_proposals() -> None:
    assert Ranking(Directions(), ("cat",), top_k=3)([], []) == []
