"""The quickstart with the models that come with the package: what it writes, that it goes on, and its scores."""

from __future__ import annotations

import json
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_ssa as ssa
from fiftyone_ssa import cli
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.documents import CORNER_SHIFT
from fiftyone_ssa.masks.rle import decode
from fiftyone_ssa.quickstart.run import DATASET, draw, quickstart
from fiftyone_ssa.quickstart.scenes import class_names


@pytest.fixture(scope="module")
def report():
    said: list[str] = []
    return quickstart(2, progress=False, say=said.append), said


def test_dataset_holds_truth_and_both_pipelines_labels(report):
    dataset = fo.load_dataset(DATASET)
    assert dataset.values("seed") == [0, 1]
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
    assert f"{found.masks:,} in 2 scenes" in str(found)
    assert any(DATASET in line for line in said)


def test_coco_file_holds_every_named_mask(report):
    labels = json.loads(report[0].coco_path.read_text())
    assert len(labels["images"]) == 2
    assert len(labels["annotations"]) == report[0].masks


def test_second_run_is_the_same_and_touches_nothing(report, monkeypatch, capsys):
    before = fo.load_dataset(DATASET).values("engine.detections.id")
    Path(fo.load_dataset(DATASET).first().filepath).unlink()
    monkeypatch.setattr("fiftyone_ssa.quickstart.run.open_app", lambda _: pytest.fail("--no-app opened the App"))
    assert cli.main(["quickstart", "--no-app", "--samples", "2"]) == 0
    assert str(report[0]).rsplit("seconds", 1)[0] in capsys.readouterr().out
    assert fo.load_dataset(DATASET).values("engine.detections.id") == before
    assert Path(fo.load_dataset(DATASET).first().filepath).exists()


def true_name(sample: fo.Sample, mask: fo.Detection) -> str | None:
    """The class that most of a mask's pixels truly have."""
    truth = sample.ground_truth.get_mask()
    height, width = truth.shape
    x, y = int(mask.bounding_box[0] * width), int(mask.bounding_box[1] * height)
    under = truth[y : y + mask.mask.shape[0], x : x + mask.mask.shape[1]][mask.mask]
    value = np.bincount(under).argmax() if under.size else 0
    return dict(enumerate(class_names("ade20k"), 1)).get(value)


def corrected(dataset: fo.Dataset) -> dict[str, tuple[str, str | None]]:
    """Relabel every wrong mask, reject one and draw one in each scene; the id of each to its label and review."""
    done = {}
    for sample in dataset.iter_samples():
        for mask in sample.ssa.detections:
            name = true_name(sample, mask)
            if name is not None and name != mask.label:
                mask.label, mask["review"] = name, "corrected"
                done[mask.id] = (name, "corrected")
        rejected = min(sample.ssa.detections, key=lambda mask: mask["vote_share"])
        rejected["review"] = "rejected"
        done[rejected.id] = (rejected.label, "rejected")
        drawn = _drawn(sample)
        sample.ssa.detections.append(drawn)
        done[drawn.id] = (drawn.label, None)
        sample.save()
    return done


def _drawn(sample: fo.Sample) -> fo.Detection:
    """The scene's largest thing as a person would draw it."""
    scene = draw(sample.seed)
    masks = scene.mask_set()
    names = [node.name for node in scene.regions()]
    index = max((i for i, name in enumerate(names) if name in class_names("ade20k")), key=lambda i: masks.areas_px[i])
    (x, y, width, height), (rows, columns) = masks.boxes_xywh[index].tolist(), scene.size_hw
    mask = decode(masks.rles[index], scene.size_hw)[y : y + height, x : x + width]
    corner = ((x + CORNER_SHIFT) / columns, (y + CORNER_SHIFT) / rows)
    return fo.Detection(label=names[index], bounding_box=[*corner, width / columns, height / rows], mask=mask)


def labels(dataset: fo.Dataset) -> dict[str, tuple[str, str | None]]:
    return {
        mask.id: (mask.label, mask.get_attribute_value("review", None))
        for sample in dataset
        for mask in sample.ssa.detections
    }


def test_corrections_survive_another_vote_and_reach_miou(report):
    dataset = fo.load_dataset(DATASET).clone(persistent=True)
    try:
        check_corrections(dataset)
    finally:
        dataset.delete()


def check_corrections(dataset: fo.Dataset) -> None:
    before = ssa.evaluate(dataset, "ssa_semantic", progress=False)
    assert before.outdated_maps == []
    done = corrected(dataset)
    assert len(done) > 6
    ssa.repaint(dataset, progress=False)
    repainted = ssa.evaluate(dataset, "ssa_semantic", progress=False)
    assert repainted.scores.mean_iou > before.scores.mean_iou + 0.05

    options = {"overrides": {"semantic.vote": "soft"}, "keep_branch": True, "progress": False}
    summary = ssa.annotate(dataset, "mini-ssa", overwrite=True, **options)
    assert (summary.done, summary.kept) == (2, len(done))
    dataset.reload()
    found = labels(dataset)
    assert {mask_id: found[mask_id] for mask_id in done} == done

    rerun = ssa.evaluate(dataset, "ssa_semantic", progress=False)
    assert len(rerun.outdated_maps) == 2
    assert "fiftyone_ssa.repaint" in rerun.notes[0]
    assert ssa.repaint(dataset, progress=False).painted == 2
    again = ssa.evaluate(dataset, "ssa_semantic", progress=False)
    assert again.outdated_maps == []
    assert again.scores.mean_iou > rerun.scores.mean_iou + 0.05


@pytest.mark.parametrize(
    "wrong", [{"samples": 0}, {"samples": -4}, {"samples": "1e3"}, {"samples": True}, {"samples": 2, "device": "tpu"}]
)
def test_wrong_arguments_are_refused_before_anything_is_drawn(report, wrong):
    said: list[str] = []
    with pytest.raises(InputError, match=r"samples must be a whole number|device must be"):
        quickstart(**wrong, progress=False, say=said.append)
    assert said == []
    assert len(fo.load_dataset(DATASET)) == 2


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


def test_what_an_earlier_version_named_is_named_anew(report):
    dataset = fo.load_dataset(DATASET)
    before = labels(dataset)
    ssa.annotate(dataset, "mini-ssa", overwrite=True, overrides={"semantic.vote": "hard"}, progress=False)
    dataset.reload()
    assert labels(dataset) != before
    said: list[str] = []
    quickstart(2, progress=False, say=said.append)
    dataset.reload()
    assert sorted(labels(dataset).values()) == sorted(before.values())
    assert sum("named anew" in line for line in said) == 1  # the engine named the same masks as it would now
