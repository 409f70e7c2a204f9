"""Confidence by classes: what a segmenter takes for what is found, kept and used."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from fiftyone_ssa.naming import class_confidence
from fiftyone_ssa.naming.class_confidence import Classes, Look, fit_classes
from fiftyone_ssa.naming.confidence import REASONS, JudgedMask, NamedMask, fit
from fiftyone_ssa.types import Proposals


def looks_of(shares: list[float]) -> list[Look]:
    """Always called sky; without colours with a share of so much."""
    return [(Proposals(("sky", "wall"), (0.8, 0.2)), Proposals(("sky", "wall"), (s, 1 - s))) for s in shares]


def test_what_is_taken_for_what_is_found() -> None:
    random = np.random.default_rng(0)
    # all is called sky; without colours walls are called road, which no look says
    true = random.choice(["sky", "wall", "road"], 6000, p=[0.3, 0.5, 0.2]).tolist()
    shown = {"sky": "sky", "wall": "road", "road": "sky"}
    looks: list[Look] = [(Proposals(("sky",), (1.0,)), Proposals((shown[name],), (1.0,))) for name in true]
    classes = fit_classes(looks, true)
    likely = classes(["sky"] * 6000, looks)
    assert likely[[shown[name] == "sky" for name in true]] == pytest.approx(0.6, abs=0.06)
    assert likely[[shown[name] == "road" for name in true]].max() < 0.05
    assert classes(["wall"] * 6000, looks)[[name == "wall" for name in true]].min() > 0.9
    every = sum(classes([name], looks[:1]) for name in (*classes.names, "boat"))
    assert every == pytest.approx(1)
    assert classes.needs_check
    assert not fit_classes([(one, Proposals()) for one, _ in looks], true).needs_check
    again = Classes.of_row(classes.row())  # type: ignore[arg-type]
    np.testing.assert_array_equal(again(["sky"] * 6000, looks), likely)


def test_the_fit_is_the_likeliest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def minimize(loss, start, **options):  # type: ignore[no-untyped-def]
        point = np.random.default_rng(1).normal(0, 0.3, len(start))
        slopes = approx_fprime(point, lambda weights: loss(weights)[0], 1e-6)
        np.testing.assert_allclose(loss(point)[1], slopes, rtol=1e-3, atol=1e-3)
        seen["best"] = original(loss, start, **options)
        return seen["best"]

    original = class_confidence.minimize
    monkeypatch.setattr(class_confidence, "minimize", minimize)
    fit_classes(looks_of([0.9, 0.1, 0.6]), ["sky", "wall", "boat"])
    assert seen["best"].success


def test_many_masks_and_classes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_confidence, "MOST_MASKS", 10)
    monkeypatch.setattr(class_confidence, "MOST_CLASSES", 1)
    classes = fit_classes(looks_of([0.9] * 40), ["sky"] * 39 + ["boat"])
    assert classes.names == ("sky",)
    assert classes.others.shape == (4, 2)


def test_classes_count_by_what_they_tell_elsewhere() -> None:
    random = np.random.default_rng(0)
    found = random.normal(0, 1, (400, len(REASONS)))
    by_reason = found[:, 0] + random.normal(0, 0.3, 400) > 0
    looks = looks_of(random.random(400).tolist())
    by_look = np.array([grey.scores[0] > 0.5 for _, grey in looks])
    for right, counts in ((by_reason, (1, 2)), (by_look, (2, 1))):
        said = [NamedMask(reasons, "sky", look) for reasons, look in zip(found, looks, strict=True)]
        true = ["sky" if yes else "wall" for yes in right]
        masks = [JudgedMask(mask, 0.0, *truth, 0) for mask, *truth in zip(said, right, true, strict=True)]
        fitted = fit(masks, "ssa")
        assert abs(fitted.mix[counts[0]]) > abs(fitted.mix[counts[1]])
        assert (fitted(said)[right] > 0.5).mean() > 0.85
