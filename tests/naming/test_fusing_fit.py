"""Weights of the fused decision: what truth was drawn by comes back, and what gains nothing is not taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.fusing import TERMS, WEIGHTS, Weights, weights_of, weights_text
from fiftyone_ssa.naming.fusing_fit import Case, fit_weights

OTHERS = replace(WEIGHTS, vote=-2.0, decider=0.5, siblings=3.0)


def drawn(weights: Weights, count: int, seed: int = 0) -> list[Case]:
    """Masks whose right name is drawn as the weights say."""
    random = np.random.default_rng(seed)
    values = np.array([getattr(weights, term) for term in TERMS])
    cases = []
    for index in range(count):
        terms = random.normal(0, 1, (6, len(TERMS)))
        odds = np.exp(terms @ values)
        right = np.arange(6) == random.choice(6, p=odds / odds.sum())
        cases.append(Case(terms, right, index % 2))
    return cases


def test_weights_that_truth_was_drawn_by_come_back() -> None:
    fitted = fit_weights(drawn(OTHERS, 1500))
    for term in TERMS:
        assert getattr(fitted.weights, term) == pytest.approx(getattr(OTHERS, term), abs=0.3)
    assert fitted.better
    assert fitted.after > fitted.before + 0.1
    assert fitted.masks == 1500


def test_weights_that_gain_nothing_are_no_better() -> None:
    fitted = fit_weights([*drawn(WEIGHTS, 60), Case(np.zeros((2, len(TERMS))), np.zeros(2, bool), 0)])
    assert not fitted.better or fitted.after > fitted.before
    for term in TERMS:  # few masks move them little
        assert getattr(fitted.weights, term) == pytest.approx(getattr(WEIGHTS, term), abs=1)
    none = fit_weights([])
    assert (none.weights, none.masks, none.better) == (WEIGHTS, 0, False)


def test_weights_as_a_setting() -> None:
    assert weights_of(()) == WEIGHTS
    assert weights_of(["vote = 2", "decider=0.25"]) == replace(WEIGHTS, vote=2.0, decider=0.25)
    assert weights_of(weights_text(OTHERS)) == OTHERS
    assert weights_of(["vote=-1000"]).vote == -1000
    numbers = [f"vote={number}" for number in ("nan", "inf", "-inf", "1e308", "1001", "")]
    for wrong in ("vote", "vote=much", "votes=1", "", *numbers):
        with pytest.raises(InputError, match=r'must read "term=number".*a number from -1000 to 1000'):
            weights_of([wrong])
