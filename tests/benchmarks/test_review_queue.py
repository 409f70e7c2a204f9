"""The figures of a review queue, on orders whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.review_queue import FITTED, measure, order_answer, random_answer

WRONG = np.arange(100) % 5 == 0


def test_a_queue_that_knows_and_one_that_errs() -> None:
    best = order_answer(WRONG.astype(float), WRONG, 0.97)
    assert best["found"] == {"5%": 0.25, "10%": 0.5, "20%": 1.0}
    assert best["times_random"] == {"5%": 5.0, "10%": 5.0, "20%": 5.0}
    assert (best["looks"], best["looks_share"]) == (17, 0.17)  # 80 are right, 17 more make it 97
    worst = order_answer(-WRONG.astype(float), WRONG, 0.97)
    assert worst["found"] == {"5%": 0.0, "10%": 0.0, "20%": 0.0}
    assert worst["looks"] == 97


def test_chance_is_what_a_random_order_finds() -> None:
    told = random_answer(WRONG, 0.97)
    tried = [order_answer(np.random.default_rng(seed).random(100), WRONG, 0.97) for seed in range(200)]
    assert told["looks"] == pytest.approx(np.mean([one["looks"] for one in tried]), rel=0.03)
    assert np.mean([one["found"]["10%"] for one in tried]) == pytest.approx(told["found"]["10%"], abs=0.02)
    assert random_answer(~np.ones(5, bool), 0.97)["looks"] == 0


def test_scenes_that_doubt_was_fitted_on_are_refused() -> None:
    with pytest.raises(SystemExit, match="choose others"):
        measure(FITTED[0] - 1, 2, 0.97)
