"""How well names fit at all: what competes, what is tempered, and what a list of few names is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fiftyone_ssa.naming.support import FEWEST, SPREAD, Support, known_names


class Encoder:
    """Names whose embeddings are known."""

    logit_bias: float | None = None

    def __init__(self, scale: float, **vectors: list[float]) -> None:
        self.logit_scale, self._vectors = scale, vectors
        self.asked: list[str] = []

    def texts(self, names: Sequence[str]) -> np.ndarray:
        self.asked += names
        return np.array([self._vectors[name] for name in names], np.float32).reshape(len(names), 2)


def test_a_name_is_compared_with_all_that_is_known_and_the_images_own() -> None:
    encoder = Encoder(1.0, cat=[1.0, 0.0], dog=[0.0, 1.0], paw=[0.6, 0.8])
    support = Support(encoder, ["cat", "dog"])
    look = np.array([0.8, 0.6], np.float32)
    cosines, shares = support([look], ["paw"], ["cat", "paw", "paw"])
    odds = np.exp([0.8, 0.6, 0.96])  # spread by less than the limit: as they are
    assert cosines[0] == pytest.approx(0.96, abs=1e-6)
    assert shares[0] == pytest.approx(odds[2] / odds.sum(), abs=1e-6)
    assert support([look], ["paw"], [])[1] == pytest.approx(shares)  # the name itself always competes
    assert encoder.asked.count("cat") == 1  # what is known is embedded once


def test_a_filter_that_is_surer_is_tempered() -> None:
    vectors = {f"n{i}": [float(np.cos(i)), float(np.sin(i))] for i in range(30)}
    names, look = list(vectors), np.array([1.0, 0.0], np.float32)
    shares = [Support(Encoder(scale, **vectors), names)([look], ["n0"], [])[1][0] for scale in (1, 100, 1000)]
    assert shares[0] < shares[1] == pytest.approx(shares[2])
    logits = np.cos(np.arange(30)) * SPREAD / np.cos(np.arange(30)).std()
    assert shares[1] == pytest.approx(np.exp(logits[0]) / np.exp(logits).sum(), rel=1e-5)


def test_few_names_are_compared_with_common_ones() -> None:
    many = [f"class {i}" for i in range(FEWEST)]
    assert known_names([many[:9], many], ["class 0", "mine"]) == (*many, "mine")
    few = known_names([["sky", "mine"]], ["chair"])
    assert few[:3] == ("sky", "mine", "chair")
    assert len(few) > 500
    assert len(set(few)) == len(few)
    assert known_names([["sky"]], ["chair"], common=False) == ("sky", "chair")


def test_nothing_is_known_and_one_name_is_said() -> None:
    support = Support(Encoder(5.0, cat=[1.0, 0.0]), [])
    cosines, shares = support([np.array([0.6, 0.8], np.float32)], ["cat"], ["cat"])
    np.testing.assert_allclose([cosines[0], shares[0]], [0.6, 1], rtol=1e-6)
