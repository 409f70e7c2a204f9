"""The data card: what is in an export, who saw it, what made it, and what was lost."""

from __future__ import annotations

import json
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_ssa as ssa
from fiftyone_ssa.exports.card_sources import LICENCES, licence_of
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.database import documents, samples_of
from fiftyone_ssa.models.catalogue import PARAMETERS_M, preset_models
from fiftyone_ssa.naming.stamp import settings_stamp
from fiftyone_ssa.presets import load_preset, preset_names
from tests.exports.odd_dataset import odd_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three images; two masks are accepted, one renamed, one drawn, one rejected; a run and its preset are recorded."""
    folder = tmp_path_factory.mktemp("card")
    dataset = odd_dataset(folder, many=6)
    ids = [str(row["_id"]) for row in list(documents(dataset))[2]["ssa"]["detections"]]
    ssa.review(dataset, "accept", "ssa", ids=ids[:2])
    ssa.relabel(dataset, "ssa", ids=ids[2:3], label="lorry | <b>")
    ssa.review(dataset, "reject", "ssa", ids=ids[3:4])
    where = {"ssa.detections._id": list(documents(dataset))[2]["ssa"]["detections"][4]["_id"]}
    gone = {"ssa.detections.$.class_name": "", "ssa.detections.$.mask_digest": ""}
    samples_of(dataset).update_one(where, {"$unset": gone, "$set": {"ssa.detections.$.reviewed_by": "ann@x.org"}})
    settings = settings_stamp(load_preset("mini-ssa"))
    runs.begin(dataset, "ssa", "mini-ssa", settings, Path(folder), False)
    dataset.add_sample_field("ssa_preset", fo.StringField)
    samples_of(dataset).update_many({}, {"$set": {"ssa_preset": settings.fingerprint}})
    dataset.info = {"license": "CC BY 4.0", "other": 1}
    dataset.save()
    dataset.reload()
    yield dataset
    dataset.delete()


def card_of(folder):
    return json.loads((folder / "data_card.json").read_text())


def test_it_counts_by_class_source_and_review(dataset, tmp_path):
    summary = export(dataset, tmp_path / "out", format="yolo", splits={"train": 2, "val": 1}, min_confidence=0.1)
    card = card_of(tmp_path / "out")
    total = card["masks"]
    assert (total["masks"], total["images"], card["images"]["all"]) == (summary.annotations, 3, 3)
    assert sum(row["masks"] for row in card["classes"].values()) == summary.annotations
    assert (total["accepted"], total["corrected"]) == (2, 2)  # the drawn one's name is a person's
    assert total["sources"]["drawn by a person"] == total["sources"]["named by a person"] == 1
    assert card["left_out"] == {"rejected": 1}
    assert card["reviewed_share"] == round(4 / summary.annotations, 4)
    assert card["reviewed_by"] == {"ann@x.org": 1}
    assert (card["chosen"]["min_confidence"], card["chosen"]["unreviewed"]) == (0.1, True)
    assert card["images"]["splits"] == {"train": 2, "val": 1}
    assert card["loss"]["iou_min"] == round(summary.loss.total.iou_min, 6)


def test_it_names_presets_models_with_revisions_licences_and_data(dataset, tmp_path):
    export(dataset, tmp_path / "out")
    card = card_of(tmp_path / "out")
    (preset,) = card["presets"]
    assert (preset["preset"], preset["images"]) == ("mini-ssa", 3)
    models = {model["slot"]: model for model in preset["models"]}
    assert models["masks.model"]["model"] == "sam"
    assert models["masks.model"]["licence"] == models["semantic.model"]["licence"] == "apache-2.0"
    assert models["semantic.model"]["revision"].startswith("files ")
    assert preset["thresholds"]["masks.stability_score_thresh"] == 0.4
    assert card["data"] == {"licence": "CC BY 4.0", "license": "CC BY 4.0"}
    assert card["evaluations"] == []


def test_people_read_it_whatever_names_hold(dataset, tmp_path):
    export(dataset, tmp_path / "out", format="label-studio")
    text = (tmp_path / "out/DATA_CARD.md").read_text()
    for line in (
        "# ssa of ",
        "- reviewed by people: ",
        "| lorry \\| \\<b\\> | 1 |",
        "- mini-ssa, settings ",
        "  - masks.model: sam, files ",
        "licence apache-2.0",
        "- none stored for this field",
        "- IoU of masks as read back: mean 1.0, least 1.0",
    ):
        assert line in text


def test_an_evaluation_of_the_field_is_told(tmp_path):
    dataset = odd_dataset(tmp_path / "in", odd=False, many=2)
    (sample,) = dataset
    sample["truth"] = fo.Segmentation(mask=np.ones((90, 90), np.uint8))
    sample["ssa_semantic"] = fo.Segmentation(mask=np.repeat([[1, 2]], 90, axis=0).repeat(45, axis=1).astype(np.uint8))
    sample.save()
    dataset.mask_targets = {"truth": {1: "car", 2: "sky"}, "ssa_semantic": {1: "car", 2: "sky"}}
    dataset.save()
    ssa.evaluate(dataset, "ssa_semantic", "truth", eval_key="first")
    export(dataset, tmp_path / "out", format="labelme")
    card = card_of(tmp_path / "out")
    assert [(row["key"], row["ground_truth"], row["aAcc"]) for row in card["evaluations"]] == [("first", "truth", 0.5)]
    text = (tmp_path / "out/DATA_CARD.md").read_text()
    assert "- ssa_semantic against truth on 1 images: mIoU 0.2500, aAcc 0.5000" in text
    assert "nobody recorded what made these masks" in text
    dataset.delete()


@pytest.mark.parametrize("preset", preset_names())
def test_licences_of_all_models_of_our_presets_are_known(preset):
    models = [model.removeprefix("local-dir:") for model in preset_models(load_preset(preset))]
    assert "unknown" not in map(licence_of, models)


def test_every_licence_is_of_a_model_that_presets_name():
    from fnmatch import fnmatch

    used = {pattern for pattern in LICENCES for model in (*PARAMETERS_M, "ViT-L-14:openai") if fnmatch(model, pattern)}
    assert used == set(LICENCES)
    assert licence_of("someone/something") == "unknown"
