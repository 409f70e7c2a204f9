"""mIoU through FiftyOne: the file path's number, stored, reloaded in another process, and shown by the App's panel."""

import json
import logging
import os
import re
import subprocess
import sys

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import read_values
from fiftyone_ssa.folders.evaluate import evaluate_files, read_class_map
from fiftyone_ssa.labels.documents import mask_targets
from fiftyone_ssa.labels.evaluation import METRIC_URI, SSAEvaluationConfig, evaluate
from fiftyone_ssa.layouts import ade20k, cityscapes


@pytest.fixture
def dataset():
    dataset = fo.Dataset()
    yield dataset
    dataset.delete()


def add(dataset, name, truth, prediction):
    def label(values):
        return None if values is None else fo.Segmentation(mask=np.array(values, np.uint8))

    sample = fo.Sample(filepath=f"/nowhere/{name}.jpg", ground_truth=label(truth), pred=label(prediction))
    dataset.add_sample(sample)
    return sample.id


@pytest.fixture
def published(dataset, parity, tmp_path):
    """The published answers as FiftyOne fields."""
    for truth in sorted((parity / "gt/ade20k").glob("*.png")):
        size = Image.open(truth).size
        ids = read_class_map(parity / f"expected/ssa-ade20k/{truth.stem}_semantic.json", 150, size[::-1])
        path = tmp_path / truth.name
        Image.fromarray(ids + np.uint8(1)).save(path)
        dataset.add_sample(
            fo.Sample(
                filepath=str(parity / f"inputs/{truth.stem}.png"),
                ground_truth=fo.Segmentation(mask_path=str(truth)),
                ssa_semantic=fo.Segmentation(mask_path=str(path)),
            )
        )
    dataset.mask_targets = {name: mask_targets(ade20k.NAMES) for name in ("ground_truth", "ssa_semantic")}
    return dataset


def test_same_number_as_the_files_and_mmsegmentation(published, parity):
    results = evaluate(published, "ssa_semantic", eval_key="ssa")
    files = evaluate_files(parity / "expected/ssa-ade20k", parity / "gt/ade20k", "ade20k", progress=False)
    expected = json.loads((parity / "expected/evaluation-ade20k.json").read_text())
    assert results.scores.to_json() == files.to_json()
    metrics = results.metrics()
    assert metrics["mIoU"] == pytest.approx(expected["mIoU"], abs=1e-6)
    assert metrics["mAcc"] == pytest.approx(expected["mAcc"], abs=1e-6)
    assert metrics["accuracy"] == pytest.approx(expected["aAcc"], abs=1e-6)
    assert metrics["IoU column"] == pytest.approx(expected["IoU"][ade20k.NAMES.index("column")], abs=1e-6)


def test_results_are_reloaded_in_a_fresh_process(published):
    published.persistent = True
    results = evaluate(published, "ssa_semantic", eval_key="ssa")
    code = (
        "import fiftyone as fo, json; "
        f"r = fo.load_dataset({published.name!r}).load_evaluation_results('ssa'); "
        "print(json.dumps([type(r).__name__, r.scores.to_json(), r.metrics()['mIoU'], r.images]))"
    )
    server = fo.core.odm.get_db_conn().client.address
    env = os.environ | {"FIFTYONE_DATABASE_URI": f"mongodb://{server[0]}:{server[1]}"}
    output = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    name, scores, mean_iou, images = json.loads(output.splitlines()[-1])
    assert (name, images) == ("SSAResults", 3)
    assert scores == results.scores.to_json()
    assert mean_iou == results.scores.mean_iou


def test_missing_and_unusable_predictions_count_as_misses(dataset, caplog):
    add(dataset, "good", [[1, 1, 2, 0]], [[1, 2, 2, 1]])
    missing = add(dataset, "missing", [[2, 2]], None)
    smaller = add(dataset, "smaller", [[1, 1]], [[1]])
    untold = add(dataset, "no truth", None, [[1]])
    dataset.mask_targets = {"ground_truth": {1: "a", 2: "b"}}
    with caplog.at_level(logging.WARNING, "fiftyone_ssa"):
        results = evaluate(dataset, "pred", eval_key="try")
    np.testing.assert_array_equal(results.scores.confusion, [[1, 1, 2], [0, 1, 2]])
    assert results.missing_predictions == [missing]
    assert results.missing_ground_truth == [untold]
    assert "prediction is 1x1 but the ground truth is 2x1" in results.errors[smaller]
    assert results.scores.mean_iou == (1 / 4 + 1 / 4) / 2
    assert "1 of 3 images without a prediction in 'pred', and 1 could not be used" in caplog.text
    assert dataset.values("try_miou") == [0.5 * (1 / 2 + 1 / 2), 0.0, 0.0, None]
    assert dataset.values("try_accuracy") == [2 / 3, 0.0, 0.0, None]


def test_value_outside_the_classes_is_a_miss_or_ignored(dataset):
    add(dataset, "x", [[1, 1, 9, 0]], [[9, 0, 1, 1]])
    results = evaluate(dataset, "pred", mask_targets={1: "a", 2: "b"})
    np.testing.assert_array_equal(results.scores.confusion, [[0, 0, 2], [0, 0, 0]])
    assert dataset.list_evaluations() == []


def test_a_prediction_with_its_own_targets_is_matched_by_name(dataset):
    add(dataset, "x", [[1, 2]], [[7, 8]])
    dataset.mask_targets = {"ground_truth": {1: "cat", 2: "dog"}, "pred": {7: "dog", 8: "cat", 9: "cow"}}
    np.testing.assert_array_equal(evaluate(dataset, "pred").scores.confusion, [[0, 1, 0], [1, 0, 0]])
    dataset.mask_targets = {"ground_truth": {1: "cat", 2: "dog"}, "pred": {7: "tram"}}
    with pytest.raises(InputError, match="no class name in common"):
        evaluate(dataset, "pred")


@pytest.mark.parametrize("written", ["Cat", " cat", "cat ", "CAT"])
def test_names_written_differently_are_the_same_and_told(dataset, caplog, written):
    add(dataset, "x", [[1, 2]], [[1, 2]])
    dataset.mask_targets = {"ground_truth": {1: "cat", 2: "dog"}, "pred": {1: written, 2: "dog"}}
    results = evaluate(dataset, "pred", eval_key="k")
    assert results.scores.mean_iou == 1.0
    assert f"taken for the same: {written!r} for 'cat'" in caplog.text
    dataset._evaluation_cache.clear()
    assert dataset.load_evaluation_results("k").scores.notes == results.scores.notes != ()


def test_classes_that_one_side_lacks_are_told_with_the_nearest(dataset, caplog):
    add(dataset, "x", [[1, 2]], [[1, 2]])
    dataset.mask_targets = {"ground_truth": {1: "traffic light", 2: "dog"}, "pred": {1: "trafic light", 2: "dog"}}
    assert evaluate(dataset, "pred").scores.iou.tolist() == [0.0, 1.0]
    assert "'trafic light' (nearest: 'traffic light')" in caplog.text
    assert "whose pixels are all misses: 'traffic light'" in caplog.text


def test_a_predictions_own_targets_hold_beside_given_ones(dataset):
    add(dataset, "x", [[1, 2]], [[2, 1]])
    dataset.mask_targets = {"pred": {1: "dog", 2: "cat"}}
    assert evaluate(dataset, "pred", mask_targets={1: "cat", 2: "dog"}).scores.mean_iou == 1.0


def test_a_prediction_without_names_is_read_as_the_truth_and_that_is_said(dataset):
    add(dataset, "x", [[1, 2]], [[1, 2]])
    dataset.mask_targets = {"ground_truth": {1: "cat", 2: "dog"}}
    results = evaluate(dataset, "pred")
    assert results.scores.mean_iou == 1.0
    assert results.notes == ["'pred' has no mask targets of its own: its values are read as those of 'ground_truth'"]


def test_only_annotated_leaves_missing_predictions_out(dataset):
    add(dataset, "x", [[1, 2]], [[1, 2]])
    missing = add(dataset, "y", [[1, 2]], None)
    targets = {1: "cat", 2: "dog"}
    assert evaluate(dataset, "pred", mask_targets=targets).scores.pixel_accuracy == 0.5
    results = evaluate(dataset, "pred", mask_targets=targets, only_annotated=True, eval_key="k")
    assert (results.images, results.scores.pixel_accuracy) == (1, 1.0)
    assert results.missing_predictions == [missing]
    assert dataset.values("k_miou") == [1.0, None]
    dataset._evaluation_cache.clear()
    text = str(dataset.load_evaluation_results("k").scores)
    assert text.endswith("1 without a prediction are left out")


@pytest.mark.parametrize(
    ("targets", "values", "message"),
    [
        ({1: "a", 2: "b", 3: "c"}, [0, 1, 2, 255], "holds 0 and 255 but never 3"),
        ({1: "a", 2: "b", 3: "c"}, [1, 2, 3, 40], "values of the ground truth without a name .*: 40"),
        ({0: "other", 1: "a", 2: "b"}, [0, 1, 2, 2], r"value 0 of 'ground_truth' \('other'\) is left out"),
        (mask_targets(cityscapes.NAMES), [7, 11, 23, 26], "looks like Cityscapes label ids"),
    ],
)
def test_values_of_another_encoding_are_told(dataset, targets, values, message):
    add(dataset, "x", [values], [values])
    results = evaluate(dataset, "pred", mask_targets=targets)
    assert any(re.search(message, note) for note in results.notes), results.notes


def test_ids_that_are_off_by_one_are_told(dataset):
    ids = np.arange(1, 11, dtype=np.uint8)[None]
    add(dataset, "x", ids - 1, ids)
    targets = {value: f"class {value}" for value in range(1, 11)}
    (note,) = evaluate(dataset, "pred", mask_targets=targets).notes
    assert note.startswith("100% of the pixels would agree (now 0%) if the ground truth's class ids were one higher")


def test_arguments_of_another_type_get_one_sentence(dataset):
    add(dataset, "x", [[1]], [[1]])
    with pytest.raises(InputError, match="samples must be a FiftyOne dataset or view, got str"):
        evaluate("dataset", "pred")
    with pytest.raises(InputError, match="mask_targets must map stored values to names, got list"):
        evaluate(dataset, "pred", mask_targets=["a"])
    with pytest.raises(InputError, match="only_annotated"):
        evaluate(dataset, "pred", mask_targets={1: "a"}, only_annotated="yes")


def test_values_as_expected_tell_nothing(dataset):
    add(dataset, "x", [[0, 1, 2, 3]], [[0, 1, 2, 3]])
    assert evaluate(dataset, "pred", mask_targets={1: "a", 2: "b", 3: "c"}).notes == []


def test_broken_ground_truth_is_counted_apart(dataset, tmp_path, caplog):
    add(dataset, "x", [[1]], [[1]])
    broken = dataset[add(dataset, "y", [[1]], [[1]])]
    broken["ground_truth"] = fo.Segmentation(mask_path=str(tmp_path / "gone.png"))
    broken.save()
    results = evaluate(dataset, "pred", mask_targets={1: "a"})
    assert results.broken_ground_truth == [broken.id]
    assert results.scores.not_compared == "1 whose ground truth cannot be read are left out"
    assert "the ground truth of 1 image cannot be read" in caplog.text
    assert "count as misses" not in caplog.text


@pytest.mark.parametrize("kind", ["L", "P", "1", "I;16", "gray RGB", "turned"])
def test_a_class_map_file_is_read_as_the_command_reads_it(dataset, tmp_path, kind):
    values = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
    exif = Image.Exif()
    pixels = {"1": values.astype(bool), "I;16": values.astype(np.uint16), "gray RGB": np.dstack([values] * 3)}
    picture = Image.fromarray(pixels.get(kind, values))
    if kind == "P":
        picture = picture.convert("P")
        picture.putdata(values.ravel().tolist())
        picture.putpalette([200, 0, 0, 0, 0, 200])
    if kind == "turned":
        picture = Image.fromarray(np.rot90(values).copy())
        exif[0x112] = 6
    picture.save(tmp_path / "x.png", exif=exif)
    sample = dataset[add(dataset, "x", None, values)]
    sample["ground_truth"] = fo.Segmentation(mask_path=str(tmp_path / "x.png"))
    sample.save()
    results = evaluate(dataset, "pred", mask_targets={1: "a"})
    assert (results.scores.confusion.tolist(), results.errors) == ([[4, 0]], {})
    np.testing.assert_array_equal(read_values(tmp_path / "x.png"), values)


@pytest.mark.parametrize("stored", ["file", "palette", "database"])
def test_colours_are_classes_where_the_mask_targets_say_so(dataset, tmp_path, stored):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 0], [9, 9, 9]]], np.uint8)
    truth = fo.Segmentation(mask=colours)
    if stored != "database":
        picture = Image.fromarray(colours)
        (picture.quantize(4) if stored == "palette" else picture).save(tmp_path / "x.png")
        truth = fo.Segmentation(mask_path=str(tmp_path / "x.png"))
    sample = dataset[add(dataset, "x", None, [[1, 1, 1, 1]])]
    sample["ground_truth"] = truth
    sample.save()
    dataset.mask_targets = {"ground_truth": {"#FF0000": "cat", "#00ff00": "dog"}, "pred": {1: "cat"}}
    results = evaluate(dataset, "pred", eval_key="k")
    assert (results.scores.names, results.scores.confusion.tolist()) == (("dog", "cat"), [[0, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize("targets", [{"red": "a"}, {"#ff000": "a"}, {"#gg0000": "a"}, {70000: "a"}, {-1: "a"}])
def test_mask_targets_that_are_neither_get_one_sentence(dataset, targets):
    add(dataset, "x", [[1]], [[1]])
    with pytest.raises(InputError, match=r"must be whole numbers from 1 to 65535, or colours like"):
        evaluate(dataset, "pred", mask_targets=targets)


def test_values_of_one_name_are_one_class(dataset):
    add(dataset, "x", [[1, 3, 2, 2]], [[3, 3, 2, 1]])
    results = evaluate(dataset, "pred", mask_targets={1: "wall", 2: "floor", 3: "wall"})
    assert results.scores.names == ("wall", "floor")
    assert results.scores.confusion.tolist() == [[2, 0, 0], [1, 1, 0]]


def test_bad_fields_are_told_before_anything_is_stored(dataset):
    add(dataset, "x", [[1]], [[1]])
    with pytest.raises(InputError, match=r"'predictions' is no Segmentation field of .* it has ground_truth, pred"):
        evaluate(dataset, "predictions", eval_key="a")
    with pytest.raises(InputError, match="there are no classes for 'ground_truth': pass mask_targets"):
        evaluate(dataset, "pred", eval_key="a")
    dataset.set_values("ground_truth", [None])
    with pytest.raises(InputError, match="no image has ground truth in 'ground_truth'"):
        evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="a")
    assert dataset.list_evaluations() == []


def test_unreadable_and_rgb_masks_are_told(dataset, tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "rgb.png")
    ids = {name: add(dataset, name, [[1]], [[1]]) for name in ("gone", "rgb")}
    for name, sample_id in ids.items():
        sample = dataset[sample_id]
        sample["pred"] = fo.Segmentation(mask_path=str(tmp_path / f"{name}.png"))
        sample.save()
    results = evaluate(dataset, "pred", mask_targets={1: "a"})
    assert "cannot be read" in results.errors[ids["gone"]]
    assert "it holds colours where class values are expected" in results.errors[ids["rgb"]]
    assert results.scores.pixel_accuracy == 0.0


@pytest.mark.parametrize("field", ["ground_truth", "pred"])
@pytest.mark.parametrize("stored", [b"no array", 7, "text"])
def test_a_damaged_mask_costs_itself(dataset, field, stored):
    good, bad = (add(dataset, name, [[1]], [[1]]) for name in ("x", "y"))
    dataset._sample_collection.update_one({"_id": ObjectId(bad)}, {"$set": {f"{field}.mask": stored}})
    results = evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="k")
    assert list(results.errors) == [bad]
    assert results.scores.pixel_accuracy == (0.5 if field == "pred" else 1.0)
    values = dict(zip(*dataset.values(["id", "k_miou"]), strict=True))
    assert values == {good: 1.0, bad: 0.0 if field == "pred" else None}


def test_run_is_renamed_overwritten_and_deleted_with_its_fields(dataset):
    add(dataset, "x", [[1]], [[1]])
    for _ in range(2):
        evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="first")
    dataset.rename_evaluation("first", "second")
    assert dataset.values("second_miou") == [1.0]
    dataset.delete_evaluation("second")
    assert not {"second_miou", "second_accuracy", "first_miou"} & set(dataset.get_field_schema())


@pytest.mark.parametrize("name", ["k_miou", "k_accuracy"])
@pytest.mark.parametrize("value", [7.0, "mine", 7])
def test_a_key_takes_nobodys_field(dataset, name, value):
    add(dataset, "x", [[1]], [[1]])
    dataset.set_values(name, [value])
    with pytest.raises(InputError, match=f"would fill '{name}', which exists and is not its own"):
        evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="k")
    assert dataset.values(name) == [value]
    assert dataset.list_evaluations() == []


def test_fiftyones_own_door_takes_nobodys_field(dataset):
    add(dataset, "x", [[1]], [[1]])
    dataset.set_values("k_miou", [7.0])
    with pytest.raises(InputError, match="is not its own"):
        dataset.evaluate_segmentations("pred", eval_key="k", mask_targets={1: "a"}, method=SSAEvaluationConfig)
    assert dataset.values("k_miou") == [7.0]


def test_a_field_put_in_a_runs_place_is_never_deleted(dataset):
    add(dataset, "x", [[1]], [[1]])
    evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="k")
    dataset.delete_sample_field("k_miou")
    dataset.set_values("k_miou", [7.0])
    with pytest.raises(InputError, match="'k_miou', which exists and is not its own"):
        evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="k")
    dataset.delete_evaluation("k")
    assert dataset.values("k_miou") == [7.0]
    assert not dataset.has_field("k_accuracy")


def test_a_renamed_run_takes_nobodys_field(dataset):
    add(dataset, "x", [[1]], [[1]])
    evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="first")
    dataset.set_values("second_miou", [7.0])
    dataset.rename_evaluation("first", "second")
    assert dataset.values("second_miou") == [7.0]
    assert dataset.values("second_accuracy") == [1.0]
    dataset.delete_evaluation("second")
    assert dataset.values("second_miou") == [7.0]
    assert not {"first_miou", "first_accuracy", "second_accuracy"} & set(dataset.get_field_schema())


@pytest.mark.parametrize("key", ["my run", "", "_k", "1st", "a.b", "k²", 7])
def test_a_key_that_names_no_field_is_refused(dataset, key):
    add(dataset, "x", [[1]], [[1]])
    with pytest.raises(InputError, match="the evaluation key must be letters"):
        evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key=key)


def test_a_key_of_another_evaluation_is_refused(dataset):
    add(dataset, "x", [[1]], [[1]])
    dataset.add_sample_field("other", fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    dataset.evaluate_segmentations("pred", eval_key="stock", mask_targets={1: "a"})
    evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="ours")
    with pytest.raises(InputError, match="'stock' holds an evaluation of another kind"):
        evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="stock")
    with pytest.raises(InputError, match="'ours' holds an evaluation of other fields, 'pred' against 'ground_truth'"):
        evaluate(dataset, "other", mask_targets={1: "a"}, eval_key="ours")
    dataset.get_evaluation_info("ours")
    dataset._doc.evaluations["ours"].config["cls"] = "no.such.Config"
    with pytest.raises(InputError, match="'ours' holds an evaluation of another kind"):
        evaluate(dataset, "pred", mask_targets={1: "a"}, eval_key="ours")


def test_a_view_is_evaluated_alone(dataset):
    add(dataset, "x", [[1]], [[1]])
    add(dataset, "y", [[1]], [[2]])
    view = dataset.match(fo.ViewField("filepath").ends_with("y.jpg"))
    assert evaluate(view, "pred", mask_targets={1: "a", 2: "b"}).scores.pixel_accuracy == 0.0


def test_beyond_the_kept_matches_the_matrix_stays(dataset, monkeypatch):
    import fiftyone_ssa.labels.comparison as comparison

    monkeypatch.setattr(comparison, "MATCHES_KEPT", 1)
    add(dataset, "x", [[1, 2]], [[1, 1]])
    add(dataset, "y", [[2, 2]], [[2, 1]])
    results = evaluate(dataset, "pred", mask_targets={1: "a", 2: "b"}, eval_key="e")
    dataset._evaluation_cache.clear()
    reloaded = dataset.load_evaluation_results("e")
    np.testing.assert_array_equal(reloaded.scores.confusion, results.scores.confusion)
    np.testing.assert_array_equal(results.scores.confusion, [[1, 0, 0], [2, 1, 0]])


def test_panel_gets_metrics_and_matrix(published):
    from plugins.panels.model_evaluation import EvaluationPanel

    class Context:
        """What the panel reads of its context."""

        dataset = published
        params = {"key": "ssa"}  # noqa: RUF012

        class panel:  # noqa: N801
            get_state = staticmethod(lambda _: None)

    evaluate(published, "ssa_semantic", eval_key="ssa")
    data = EvaluationPanel().get_evaluation_data(Context())
    assert data["custom_metrics"][METRIC_URI]["value"] == data["metrics"]["mIoU"]
    assert data["confusion_matrix"]["matrix"].shape == (151, 151)
    assert data["per_class_metrics"]["pot"]["recall"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int32, np.int64])
def test_masks_of_any_whole_numbers_are_read(dataset, dtype):
    truth = fo.Segmentation(mask=np.array([[1, 1, 0]], dtype))
    odd = np.array([[1, -1 if np.issubdtype(dtype, np.signedinteger) else 0, 1]], dtype)
    dataset.add_sample(fo.Sample(filepath="/nowhere/a.jpg", ground_truth=truth, pred=fo.Segmentation(mask=odd)))
    np.testing.assert_array_equal(evaluate(dataset, "pred", mask_targets={1: "a"}).scores.confusion, [[1, 1]])


def test_several_processes_find_what_one_finds(dataset, tmp_path, monkeypatch):
    import fiftyone_ssa.labels.comparing as comparing
    import fiftyone_ssa.labels.evaluation as evaluation

    monkeypatch.setattr(comparing, "SAMPLES", 2)
    monkeypatch.setattr(evaluation, "SAMPLES", 2)
    random = np.random.default_rng(0)
    for index in range(9):
        truth, prediction = random.integers(0, 5, (2, 6, 7), np.uint8)
        add(dataset, str(index), None if index == 4 else truth, None if index == 5 else prediction)
    path = tmp_path / "map.png"
    Image.fromarray(np.full((6, 7), 9, np.uint8)).save(path)
    labels = {"ground_truth": fo.Segmentation(mask_path=str(path)), "pred": fo.Segmentation(mask_path="/no/such.png")}
    dataset.add_sample(fo.Sample(filepath="/nowhere/file.jpg", **labels))
    targets = {1: "a", 2: "b", 3: "c"}
    one = evaluate(dataset, "pred", mask_targets=targets, eval_key="one")
    two = evaluate(dataset, "pred", mask_targets=targets, eval_key="two", workers=2)
    assert two.scores.to_json() == one.scores.to_json()
    np.testing.assert_array_equal(two.scores.confusion, one.scores.confusion)
    for name in ("images", "missing_predictions", "missing_ground_truth", "errors", "notes"):
        assert getattr(two, name) == getattr(one, name)
    assert (len(two.errors), len(two.missing_predictions), len(two.missing_ground_truth)) == (1, 1, 1)
    assert two.ytrue_ids is not None
    assert list(two.ytrue_ids) == list(one.ytrue_ids)
    assert list(two.ypred_ids) == list(one.ypred_ids)
    assert dataset.values("two_miou") == dataset.values("one_miou")
    assert "workers" not in dataset.get_evaluation_info("two").config.serialize()
    with pytest.raises(InputError, match="workers must be a whole number from 1 to 64"):
        evaluate(dataset, "pred", mask_targets=targets, workers=-1)


def test_processes_that_compare_load_no_fiftyone():
    code = "import sys, fiftyone_ssa.labels.comparing; print('fiftyone' in sys.modules, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "False"]
