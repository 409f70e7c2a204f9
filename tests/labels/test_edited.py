"""Masks that people edited with FiftyOne's own tools count as corrected, and nothing is decoded twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import fiftyone as fo
import pytest

from fiftyone_ssa.curation.decisions import relabel, review
from fiftyone_ssa.curation.queue import review_queue
from fiftyone_ssa.labels import edited
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.edited import mark_edited
from fiftyone_ssa.labels.repaint import repaint

Make = Callable[..., fo.Dataset]
Run = Callable[..., Any]


@pytest.fixture
def dataset(make_dataset: Make, name_masks: Run) -> fo.Dataset:
    made = make_dataset(4)
    name_masks(made)
    made.reload()
    return made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The samples that were looked through, one entry each time."""
    seen: list[Any] = []
    mark = edited._mark

    def counted(dataset: Any, field: str, sample: Any) -> int:
        seen.append(sample)
        return mark(dataset, field, sample)

    monkeypatch.setattr(edited, "_mark", counted)
    return seen


def edit(dataset: fo.Dataset) -> None:
    """Brush, move, rename and tag, one image each, as the App's own tools do."""
    samples = list(dataset)
    mask = samples[0].ssa.detections[0].mask.copy()
    mask[:3, :3] = False
    samples[0].ssa.detections[0].mask = mask
    x, y, w, h = samples[1].ssa.detections[1].bounding_box
    samples[1].ssa.detections[1].bounding_box = [x + 2 / 96, y, w, h]
    samples[3].ssa.detections[0].tags = ["look again"]
    for sample in samples:
        sample.save()
    dataset.skip(2).limit(1).set_values("ssa.detections.label", [["kite", "sky", "grass"]])


def reviews(dataset: fo.Dataset) -> list[list[Any]]:
    rows = [document["ssa"]["detections"] for document in samples_of(dataset).find({}).sort("_id")]
    return [[row.get("review") for row in sample] for sample in rows]


def test_edits_count_as_corrected(dataset: fo.Dataset) -> None:
    assert mark_edited(dataset) == 0
    edit(dataset)
    assert mark_edited(dataset.limit(1)) == 1
    assert mark_edited(dataset) == 2
    assert reviews(dataset) == [
        ["corrected", None, None],
        [None, "corrected", None],
        ["corrected", None, None],
        [None] * 3,
    ]
    assert mark_edited(dataset) == 0
    assert dataset.first().ssa.detections[0].review == "corrected"


def test_a_queue_and_a_repaint_look(dataset: fo.Dataset) -> None:
    edit(dataset)
    assert review_queue(dataset).reviewed == 3
    sample = dataset.last()
    mask = sample.ssa.detections[0].mask.copy()
    mask[:3, :3] = False
    sample.ssa.detections[0].mask = mask
    sample.save()
    repaint(dataset)
    assert reviews(dataset)[3] == ["corrected", None, None]


def test_only_what_others_wrote_is_decoded(dataset: fo.Dataset, name_masks: Run, decoded: list[Any]) -> None:
    assert mark_edited(dataset) == 0
    review(dataset, "accept", ids=[dataset.first().ssa.detections[0].id])
    relabel(dataset.limit(2), label="kite")
    repaint(dataset)
    name_masks(dataset.skip(2), "Other", overwrite=True)
    review_queue(dataset)
    assert decoded == []
    dataset.reload()
    sample = dataset.last()
    sample.tags = ["x"]
    sample.save()
    review_queue(dataset)
    review_queue(dataset)
    assert list(map(str, decoded)) == [sample.id]


def test_a_decision_does_not_hide_an_edit(dataset: fo.Dataset) -> None:
    edit(dataset)
    review(dataset, "accept", ids=[dataset.first().ssa.detections[2].id])
    assert mark_edited(dataset) == 3
    assert reviews(dataset)[0] == ["corrected", None, "accepted"]


def test_a_run_that_keeps_an_edit_leaves_it_to_be_found(dataset: fo.Dataset, name_masks: Run) -> None:
    edit(dataset)
    name_masks(dataset, "Other", overwrite=True)
    assert Counter(word for sample in reviews(dataset) for word in sample)["corrected"] == 0
    assert mark_edited(dataset) == 3


def test_someone_elses_field_and_masks_that_people_drew_stay(dataset: fo.Dataset) -> None:
    assert mark_edited(dataset, "masks") == 0
    sample = dataset.first()
    sample.ssa.detections.append(fo.Detection(label="bird", bounding_box=[0, 0, 0.1, 0.1]))
    sample.save()
    assert mark_edited(dataset) == 0


def test_it_stops_in_time_and_goes_on(dataset: fo.Dataset, decoded: list[Any]) -> None:
    edit(dataset)
    assert mark_edited(dataset, seconds=-1.0) == 0
    assert decoded == []
    assert mark_edited(dataset, seconds=60) == 3
