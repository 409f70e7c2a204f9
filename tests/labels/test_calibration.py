"""`calibrate`: what it judges, what it refuses, and that later runs use what was fitted."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_ssa import annotate, calibrate
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.labels.calibration import calibration_of, fitted_weights
from fiftyone_ssa.labels.database import own_collection
from fiftyone_ssa.labels.documents import annotation_document
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.types import Annotation, Proposals

ENGINE, SSA = load_preset("mini-engine"), load_preset("mini-ssa")
SIDE, IMAGES = 20, 8
FEW = {"open_vocabulary.captioner": ""}
"""What is left out of runs: what confidence becomes does not depend on who proposed the names."""


@pytest.fixture
def dataset(tmp_path):
    """Images of 16 squares each; a name is right as often as its score says, below what its confidence says."""
    random = np.random.default_rng(0)
    samples = []
    for number in range(IMAGES):
        path = tmp_path / f"{number}.png"
        save_png(np.zeros((80, 80, 3), np.uint8), path)
        squares, labels, truth = [], [], np.zeros((80, 80), np.uint8)
        for y in range(0, 80, SIDE):
            for x in range(0, 80, SIDE):
                square = np.zeros((80, 80), bool)
                square[y : y + SIDE, x : x + SIDE] = True
                score = random.uniform(0.5, 1)
                truth[square] = 1 if random.random() < (score - 0.5) * 2 else 2
                squares.append(square), labels.append(score)
        masks = mask_set((80, 80), [encode(square) for square in squares])
        proposals = tuple(Proposals(("cat", "dog"), (score, 1 - score)) for score in labels)
        said = Annotation(masks, ("cat",) * 16, np.full(16, 0.95), proposals, label_sources=("coco",) * 16)
        true = [
            fo.Detection(label="cat" if truth[square].max() == 1 else "dog", bounding_box=[0, 0, 1, 1], mask=square)
            for square in squares
        ]
        sample = fo.Sample(str(path), ground_truth=fo.Segmentation(mask=truth), things=fo.Detections(detections=true))
        sample["engine"] = fo.Detections.from_dict(annotation_document(said, tmp_path / f"masks-{number}"))
        samples.append(sample)
    dataset = fo.Dataset()
    dataset.add_samples(samples, progress=False)
    dataset.add_dynamic_sample_fields()
    dataset.mask_targets = {"ground_truth": {1: "cat", 2: "dog"}}
    dataset.save()
    yield dataset
    dataset.delete()


@pytest.mark.parametrize("gt_field", ["ground_truth", "things"])
def test_confidence_comes_to_mean_something(dataset, gt_field):
    before = dataset.values("engine.detections.confidence")
    done = calibrate(dataset, "engine", gt_field, progress=False)
    assert done.masks == IMAGES * 16
    assert 0.4 < done.right < 0.6
    assert done.error_before > 0.35
    assert done.error_after < 0.15
    assert done.auroc_before == 0.5
    assert done.auroc_after > 0.75
    assert "128 masks" in str(done)
    assert dataset.values("engine.detections.confidence") == before  # what is stored stays
    calibration = calibration_of(dataset, "engine", ENGINE)
    assert calibration.weights[1] > 0
    assert list(calibration.names) == ["cat"]
    assert calibration_of(dataset, "engine", SSA) is None
    assert calibration_of(dataset, "other", ENGINE) is None


def test_what_people_said_is_not_what_is_judged(dataset):
    done = calibrate(dataset, "engine", progress=False)
    labels = [["dog"] * 16] * IMAGES
    dataset.set_values("engine.detections.label", labels)
    assert calibrate(dataset, "engine", progress=False) == done


def test_names_of_the_truth_may_be_written_differently(dataset):
    done = calibrate(dataset, "engine", progress=False)
    dataset.mask_targets = {"ground_truth": {1: "Cat ", 2: "DOG, hound"}}
    dataset.save()
    assert calibrate(dataset, "engine", progress=False) == done
    dataset.mask_targets = {"ground_truth": {1: "lorry", 2: "van"}}
    dataset.save()
    with pytest.raises(InputError, match=r"\('cat'\) and 'ground_truth' \('lorry', 'van'\) have no name in common"):
        calibrate(dataset, "engine", progress=False)


def test_masks_that_say_nothing_are_left_out(dataset):
    dataset.set_values("engine.detections.class_name", [["wheel"] * 16, *[["cat"] * 16] * (IMAGES - 1)])
    assert calibrate(dataset, "engine", progress=False).masks == (IMAGES - 1) * 16  # the truth knows no wheels
    dataset.set_values("engine.detections.class_name", [["dog"] * 16] * IMAGES)
    assert 0.3 < calibrate(dataset, "engine", progress=False).right < 0.6
    sample = dataset.first()
    sample["ground_truth"] = fo.Segmentation(mask=np.ones((5, 5), np.uint8))
    sample.save()
    done = calibrate(dataset, "engine", progress=False)
    assert "(5, 5)" in done.errors[sample.filepath]
    sample["ground_truth"] = fo.Segmentation(mask_path=f"{sample.filepath}.lost.png")
    sample.save()
    done = calibrate(dataset, "engine", progress=False)
    assert "lost.png cannot be read: No such file" in done.errors[sample.filepath]
    assert done.masks == (IMAGES - 1) * 16


def test_what_cannot_be_fitted_is_one_sentence(dataset):
    for fields, says in {
        ("nothing", "ground_truth"): "label_field must be a Detections field",
        ("engine", "nothing"): "gt_field must be a Segmentation or Detections field",
        ("engine", "engine"): "'engine' cannot be its own truth",
        ("things", "ground_truth"): "was not filled by annotate",
    }.items():
        with pytest.raises(InputError, match=says):
            calibrate(dataset, *fields, progress=False)
    with pytest.raises(InputError, match="needs 50 masks whose truth is known, 'ground_truth' tells that of 32"):
        calibrate(dataset.limit(2), "engine", progress=False)
    dataset.set_values("ground_truth.mask", [np.ones((80, 80), np.uint8)] * IMAGES)
    with pytest.raises(InputError, match="all names of 'engine' are right"):
        calibrate(dataset, "engine", progress=False)
    dataset.mask_targets = {}
    dataset.save()
    with pytest.raises(InputError, match="has no class names"):
        calibrate(dataset, "engine", progress=False)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, None])
def test_numbers_that_are_none_count_as_unknown(dataset, number):
    """They were a traceback about negative elements."""
    dataset.set_values("engine.detections.confidence", [[number] * 16] * IMAGES)
    dataset.set_values("engine.detections.name_similarity", [[number] * 16] * IMAGES)
    for sample in dataset[:2].iter_samples(autosave=True):
        for detection in sample.engine.detections:
            detection["proposal_scores"] = None if number is None else [number, 0.1]
            detection["predicted_iou"] = number
    done = calibrate(dataset, "engine", progress=False)
    assert done.error_before == pytest.approx(done.right)  # as if they were all 0
    assert done.error_after < 0.2
    assert np.isfinite(calibration_of(dataset, "engine", ENGINE).weights).all()


def test_what_would_be_worse_elsewhere_is_not_kept(dataset):
    truth = [np.full((80, 80), 1 + image % 2, np.uint8) for image in range(IMAGES)]  # every second image is all wrong
    dataset.set_values("ground_truth.mask", truth)
    with pytest.raises(InputError, match=r"worse on images that it was not fitted on \(error"):
        calibrate(dataset, "engine", progress=False)
    assert calibration_of(dataset, "engine", ENGINE) is None


def test_what_ranks_worse_elsewhere_is_not_kept_though_its_error_falls(dataset):
    calibrate(dataset, "engine", progress=False)
    kept = calibration_of(dataset, "engine", ENGINE)
    for sample in dataset.iter_samples(autosave=True):
        for detection, true in zip(sample.engine.detections, sample.things.detections, strict=True):
            detection.confidence = 0.95 if true.label == "cat" else 0.94
    with pytest.raises(InputError, match=r"worse on .*\(error 0\.4.* -> 0\.0.*, AUROC 1\.000 -> 0\.8"):
        calibrate(dataset, "engine", progress=False)
    assert calibration_of(dataset, "engine", ENGINE) == kept


def test_later_runs_use_it(dataset):
    calibrate(dataset, "engine", progress=False)
    options = {"label_field": "again", "masks_field": "things", "progress": False, "overrides": FEW}
    first = dataset[:1]
    annotate(first, "mini-engine", **options)
    dataset.reload()
    said = {detection.confidence for detection in dataset.first().again.detections if detection.label}
    row = own_collection("calibrations").find_one({"field": "engine", "dataset": dataset._doc.id})
    own_collection("calibrations").insert_one({**row, "_id": ObjectId(), "field": "again"})
    touched = dataset.first()
    touched.again.detections[0].confidence = 0.123
    touched.again.detections[0]["review"] = "accepted"
    touched.save()
    annotate(dataset[:1], "mini-engine", overwrite=True, **options)
    dataset.reload()
    confidences = {detection.confidence for detection in dataset.first().again.detections}
    assert 0.123 in confidences  # a person's stays
    assert confidences.isdisjoint(said)
    assert len(said) > 3


def test_an_earlier_versions_calibration_is_not_used(dataset, caplog):
    calibrate(dataset, "engine", progress=False)
    own_collection("calibrations").update_one(
        {"field": "engine", "dataset": dataset._doc.id}, {"$set": {"weights": [1.0]}}
    )
    assert calibration_of(dataset, "engine", ENGINE) is None
    assert "calibrate again" in caplog.text


def with_colourless_shares(dataset, without=()):
    """As if SSA had said it: of right names more is left without colours, whatever their score."""
    for sample in dataset:
        for detection, true in zip(sample.engine.detections, sample.things.detections, strict=True):
            detection["vote_share"] = detection.proposal_scores[0]
            if detection.id not in without:
                detection["colourless_share"] = share = 0.8 if true.label == "cat" else 0.2
                detection["colourless_classes"], detection["colourless_scores"] = ["cat", "dog"], [share, 1 - share]
        sample.save()


def test_what_names_keep_without_colours_tells_right_from_wrong(dataset, caplog):
    before = calibrate(dataset, "engine", progress=False).auroc_after
    with_colourless_shares(dataset)
    assert calibrate(dataset, "engine", progress=False).auroc_after == 1 > before
    kept = calibration_of(dataset, "engine", SSA)
    assert kept.needs_check
    assert kept.classes.needs_check
    assert kept.mix[2] > 0
    assert not caplog.text
    for without in ({"semantic.check": "none"}, {"semantic.source": "field"}):
        assert calibration_of(dataset, "engine", load_preset(SSA, without)) is None
        assert 'fitted on runs with semantic.check = "colourless"' in caplog.text
        caplog.clear()


def test_what_is_known_of_some_masks_only_is_no_reason(dataset):
    before = calibrate(dataset, "engine", progress=False).auroc_after
    with_colourless_shares(dataset, without=[dataset.first().engine.detections[0].id])
    assert calibrate(dataset, "engine", progress=False).auroc_after == pytest.approx(before, abs=0.02)
    assert not calibration_of(dataset, "engine", SSA).needs_check


def test_a_calibration_of_before_the_check_holds(dataset):
    calibrate(dataset, "engine", progress=False)
    where = {"field": "engine", "dataset": dataset._doc.id}
    weights = own_collection("calibrations").find_one(where)["weights"]
    assert weights[-1] == 0
    own_collection("calibrations").update_one(where, {"$set": {"weights": weights[:-1]}})
    assert calibration_of(dataset, "engine", ENGINE).weights == tuple(weights)


def test_weights_of_a_fused_decision_are_fitted_to_what_its_models_say(dataset):
    done = calibrate(dataset, "engine", preset="mini-engine", progress=False)
    assert done.fused is not None
    assert done.fused.masks == 0  # black squares have other names than these models give
    assert "stay as fixed" in str(done)
    assert fitted_weights(dataset, "engine") == []
    with pytest.raises(InputError, match="only a fused decision has weights to fit, preset 'mini-ssa' has none"):
        calibrate(dataset, "engine", preset="mini-ssa", progress=False)


def test_runs_use_fitted_weights_and_say_that_they_differ(dataset):
    dataset.set_values("things.detections.label", [["cat"] * 16] * IMAGES)
    options = {"label_field": "named", "masks_field": "things", "progress": False, "overrides": FEW}
    assert annotate(dataset[:1], "mini-engine", **options).done == 1
    weights = ["decider=0", "vote=5"]
    row = {"dataset": dataset._doc.id, "field": "named", "weights": [], "names": [], "pipeline": "ssa"}
    own_collection("calibrations").insert_one({**row, "fusing": weights})
    with pytest.raises(InputError, match=r"open_vocabulary\.weights"):
        annotate(dataset[:1], "mini-engine", **options)
    assert annotate(dataset[:1], "mini-engine", overwrite=True, **options).done == 1
    assert annotate(dataset[:1], "mini-engine", **options).skipped == 1
