"""The quickstart with the models that come with the package: what it writes, that it goes on, and its scores."""

from __future__ import annotations

import json
from pathlib import Path

import fiftyone as fo
import pytest

from fiftyone_ssa import cli
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.quickstart.run import DATASET, draw, quickstart
from fiftyone_ssa.quickstart.scenes import class_names


@pytest.fixture(scope="module")
def report():
    said: list[str] = []
    return quickstart(4, progress=False, say=said.append), said


def test_dataset_holds_truth_and_both_pipelines_labels(report):
    dataset = fo.load_dataset(DATASET)
    assert dataset.values("seed") == [0, 1, 2, 3]
    assert dataset.mask_targets["ground_truth"] == dict(enumerate(class_names("ade20k"), 1))
    for sample in dataset:
        scene = draw(sample.seed)
        truth = scene.semantic("ade20k").ids
        assert ((sample.ground_truth.get_mask().astype(int) - 1) % 256 == truth).all()
        assert [region.label for region in sample.regions.detections] == [node.name for node in scene.regions()]
        assert len(sample.engine.detections) == len(sample.ssa.detections) > 0
        assert all(detection.class_proposals for detection in sample.engine.detections)
    assert dataset.list_evaluations() == ["branch", "ssa"]
    assert dataset.persistent


def test_table_tells_what_the_dataset_holds(report):
    found, said = report
    dataset = fo.load_dataset(DATASET)
    assert found.masks == dataset.count("engine.detections")
    assert found.ssa_miou == pytest.approx(dataset.load_evaluation_results("ssa").scores.mean_iou)
    assert 0 < found.things_named <= 1
    assert f"{found.ssa_miou:.3f}" in str(found)
    assert f"{found.masks:,} in 4 scenes" in str(found)
    assert any(DATASET in line for line in said)


def test_coco_file_holds_every_named_mask(report):
    labels = json.loads(report[0].coco_path.read_text())
    assert len(labels["images"]) == 4
    assert len(labels["annotations"]) == report[0].masks


def test_second_run_is_the_same_and_touches_nothing(report, monkeypatch, capsys):
    before = fo.load_dataset(DATASET).values("engine.detections.id")
    Path(fo.load_dataset(DATASET).first().filepath).unlink()
    monkeypatch.setattr("fiftyone_ssa.quickstart.run.open_app", lambda _: pytest.fail("--no-app opened the App"))
    assert cli.main(["quickstart", "--no-app", "--samples", "4"]) == 0
    assert str(report[0]).rsplit("seconds", 1)[0] in capsys.readouterr().out
    assert fo.load_dataset(DATASET).values("engine.detections.id") == before
    assert Path(fo.load_dataset(DATASET).first().filepath).exists()


def test_somebody_elses_dataset_is_left_alone(report):
    mine = fo.load_dataset(DATASET)
    mine.name = "mine"
    other = fo.Dataset(DATASET)
    try:
        with pytest.raises(InputError, match="did not make"):
            quickstart(1, progress=False, say=lambda _: None)
        assert len(other) == 0
    finally:
        other.delete()
        mine.name = DATASET
