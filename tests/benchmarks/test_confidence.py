"""The confidence tables: every row is there, told of other images, and chance is what a true confidence is off by."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import confidence
from benchmarks._foreign import foreign
from benchmarks.confidence import by_fitted, chance, measure, table
from fiftyone_ssa.naming.confidence import JudgedMask, NamedMask, calibration_error, fit, right_of
from fiftyone_ssa.quickstart.scenes import draw_scene
from fiftyone_ssa.types import Proposals


def drawn(images: int, masks: int, *, together: bool) -> list[JudgedMask]:
    """Masks that are as often right as they say, those of an image all by one throw or each by its own."""
    random = np.random.default_rng(0)
    odds = random.normal(0, 2, (images, masks))
    likely = 1 / (1 + np.exp(-odds))
    right = np.broadcast_to(random.random((images, 1 if together else masks)) < likely, odds.shape)
    look = Proposals(), Proposals()
    return [
        JudgedMask(NamedMask(odds[place][None], "cat", look), likely[place], yes, "cat" if yes else "dog", place[0])
        for place, yes in np.ndenumerate(right)
    ]


def test_chance_is_the_error_of_confidences_that_mean_what_they_say() -> None:
    found = {}
    for together in (False, True):
        judged = drawn(100, 40, together=together)
        confidences = np.array([mask.confidence for mask in judged])
        found[together] = chance(confidences, judged)
        assert calibration_error(confidences, right_of(judged)) == pytest.approx(found[together], rel=0.6)
    assert found[True] > 1.5 * found[False]


def test_fits_are_told_of_images_that_they_did_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = drawn(30, 20, together=False)
    rows = by_fitted(judged, "ssa", [2, 20], 30, 4)
    assert rows["20"]["auroc"] > 0.8
    assert rows["20"]["error"] < rows["2"]["error"]
    fitted, seen = [], []
    monkeypatch.setattr(confidence, "fit", lambda some, pipeline: fitted.append(some) or fit(some, pipeline))
    monkeypatch.setattr(confidence, "told", lambda _, others: seen.append(others) or (0, 0, 0))
    by_fitted(judged, "ssa", [2, 20], 30, 1)
    images = [{mask.image for mask in masks} for masks in (*fitted, *seen)]
    assert list(map(len, images)) == [2, 20, 10, 10]
    assert not images[1] & images[2]


def test_a_row_for_all_pictures_pipelines_and_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence, "SIZES_HW", ((96, 112),))
    rows = measure(2, 6_000, [1], 1, ["foreign"], ["published", "ssa"])["rows"]
    assert len({(row["pictures"], row["pipeline"], row["masks"]) for row in rows}) == len(rows) == 4
    assert all(row["judged"] > 5 for row in rows)
    assert len(table(rows).splitlines()) == 6


def test_a_foreign_scene_has_other_colours_and_the_same_truth() -> None:
    scene = draw_scene(6_000, (96, 112))
    moved = foreign(scene)
    assert (moved.leaves is scene.leaves, moved.image.dtype, moved.image.shape) == (True, np.uint8, scene.image.shape)
    assert np.abs(moved.image.astype(int) - scene.image).mean() > 20
