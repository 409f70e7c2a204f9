"""Calibrated confidence: what it is fitted on, what it answers, and that it means what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.naming.confidence import (
    REASONS,
    Calibrated,
    Calibration,
    JudgedMask,
    Named,
    NamedMask,
    auroc,
    calibration_error,
    complete,
    fit,
    reasons,
)
from fiftyone_ssa.types import Annotation, Floats, Inputs, MaskSet, Proposals


def three_masks(**columns: list[float]) -> MaskSet:
    dense = [np.zeros((10, 20), bool) for _ in range(3)]
    dense[0][:, :], dense[1][2:4, 5:10] = True, True
    return mask_set((10, 20), [encode(mask) for mask in dense], **columns)


def judged(found: Floats, names: Sequence[str | None], right: Iterable[bool]) -> list[JudgedMask]:
    look = Proposals(), Proposals()
    rows = zip(found, names, right, strict=True)
    return [JudgedMask(NamedMask(row, name, look), 0.0, yes, "", 0) for row, name, yes in rows]


def likely_of(masks: list[JudgedMask], calibration: Calibration) -> Floats:
    return calibration([mask.said for mask in masks])


def test_reasons_of_masks() -> None:
    masks = three_masks(predicted_iou=[0.9, np.nan, 0.5], stability_score=[0.5, np.nan, np.nan])
    proposals = [Proposals(("cat", "dog"), (0.75, 0.25)), Proposals(("dog", "cat"), (0.9, 0.1)), Proposals()]
    similarities = np.array([0.7, np.nan, np.nan])
    colourless = np.array([0.25, 1.0, np.nan])
    found = reasons(Named(masks, ["cat", "cat", None], proposals, ["coco", "caption", None], similarities, colourless))
    assert found.shape == (3, len(REASONS))
    around = dict.fromkeys(("as_twin", "unlike_twin"), 0.0)
    mean = (0.75 + 0.1) / 2
    first = {
        "score": np.log(3),
        "lead": 0.5,
        "area": 0,
        "quality": 0.45,
        "caption": 0,
        "similarity": 0.7,
        "image": mean,
    }
    second = {"score": np.log(1 / 9), "lead": -0.8, "area": np.log10(0.05), "quality": 1, "caption": 1, "similarity": 0}
    for row, expected in (
        (found[0], first | {"image": mean, "inside": 0, "as_parent": 0, "colourless": -np.log(3)} | around),
        (found[1], second | {"image": mean, "inside": 1, "as_parent": 1, "colourless": np.log(999)} | around),
    ):
        np.testing.assert_allclose(row, [expected[reason] for reason in REASONS])
    np.testing.assert_allclose(found[2, :4], [np.log(0.001 / 0.999), 0, -5, 0.5])
    assert np.isnan(found[2, -1])
    unchecked = reasons(Named(masks, ["a"] * 3, [Proposals(("a",), (1.0,))] * 3))
    assert np.isfinite(unchecked[:, :-1]).all()
    assert np.isnan(unchecked[:, -1]).all()
    completed = np.stack([mask.said.reasons for mask in complete(judged(found, [None] * 3, [True] * 3))])
    assert not completed[:, -1].any()
    np.testing.assert_array_equal(completed[:, :-1], found[:, :-1])
    assert reasons(Named(MaskSet.empty((3, 3)), [], [])).shape == (0, len(REASONS))


def test_masks_of_the_same_pixels_agree_or_not() -> None:
    dense = np.zeros((4, 10, 20), bool)
    dense[:3, :, :8], dense[3, :, 12:] = True, True
    masks = mask_set((10, 20), [encode(mask) for mask in dense])
    found = reasons(Named(masks, ["cat", "cat", "dog", "cat"], [Proposals()] * 4))
    np.testing.assert_allclose(found[:, REASONS.index("as_twin")], [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(found[:, REASONS.index("unlike_twin")], [0.5, 0.5, 1, 0])


def test_a_fit_finds_what_truth_was_drawn_by() -> None:
    random = np.random.default_rng(0)
    found = random.normal(2, 3, (20_000, 5))
    weights = np.array([-1.0, 0.8, 0.0, -0.5, 0.3, 0.0])
    names = random.choice(["cat", "dog"], len(found)).tolist()
    odds = weights[0] + found @ weights[1:] + np.where(np.array(names) == "cat", 1.0, -1.0)
    true = 1 / (1 + np.exp(-odds))
    right = random.random(len(true)) < true
    masks = judged(found, names, right)
    calibration = fit(masks)
    np.testing.assert_allclose(calibration.weights, weights, atol=0.08)
    assert calibration.names["cat"] - calibration.names["dog"] == pytest.approx(2, abs=0.15)
    likely = likely_of(masks, calibration)
    assert calibration_error(likely, right) < 0.02
    assert calibration_error(np.sqrt(true), right) > 0.05
    assert auroc(likely, right) == pytest.approx(auroc(true, right), abs=0.005)
    unheard, unnamed = (likely_of(judged(found[:1], [name], [True]), calibration) for name in ("horse", None))
    assert unheard == pytest.approx(unnamed)


def test_a_fit_of_few_masks_a_constant_reason_and_a_perfect_one() -> None:
    found = np.column_stack([np.arange(8.0), *np.ones((4, 8))])
    masks, all_right = (judged(found, ["a"] * 8, right) for right in (np.arange(8) >= 4, np.ones(8, bool)))
    likely = likely_of(masks, fit(masks))
    assert np.isfinite(likely).all()
    assert (np.diff(likely) > 0).all()
    assert likely_of(masks, fit(all_right)).min() > 0.5


def test_a_name_tells_more_in_the_engine_than_among_the_few_classes_of_ssa() -> None:
    right = np.arange(40) < 20
    names = ["cat" if yes else "dog" for yes in right]
    masks = judged(np.ones((40, 2)), names, right)
    of_engine, of_ssa = (fit(masks, pipeline).names for pipeline in ("engine", "ssa"))
    assert of_engine["cat"] > of_ssa["cat"] + 0.1
    assert of_engine["dog"] < of_ssa["dog"] - 0.1


def test_figures_of_confidence_beside_plain_ones() -> None:
    random = np.random.default_rng(1)
    confidences, right = np.round(random.random(60), 1), random.random(60) < 0.6
    pairs = [(a > b) + (a == b) / 2 for a in confidences[right] for b in confidences[~right]]
    assert auroc(confidences, right) == pytest.approx(np.mean(pairs))
    error = 0.0
    for low in np.arange(10):
        inside = np.minimum((confidences * 10).astype(int), 9) == low
        if inside.any():
            error += inside.mean() * abs(confidences[inside].mean() - right[inside].mean())
    assert calibration_error(confidences, right) == pytest.approx(error)
    assert np.isnan(auroc(confidences, np.ones(60, bool)))


def test_a_calibrated_pipeline_changes_confidence_alone() -> None:
    masks = three_masks()
    proposals = (Proposals(("cat",), (0.6,)), Proposals(("dog", "cat"), (0.9, 0.1)), Proposals())
    said = Annotation(masks, ("cat", "dog", None), np.array([0.9, 0.9, 0.0]), proposals)
    calibration = Calibration((0.0, 1.0, *[0.0] * (len(REASONS) - 1)))
    (found,) = Calibrated(lambda batch: [said], calibration)([Inputs(np.zeros((10, 20, 3), np.uint8))])
    np.testing.assert_allclose(found.confidences, [0.6, 0.9, 0.0])
    assert (found.labels, found.proposals, found.masks) == (said.labels, said.proposals, masks)
