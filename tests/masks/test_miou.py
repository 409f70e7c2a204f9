"""mIoU against mmsegmentation's own numbers, a plain twin, and hand-counted pixels."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.evaluate import evaluate_files, read_class_map
from fiftyone_ssa.masks.miou import Scores, confusion_matrix


def plain_scores(pairs, class_count):
    """mmsegmentation's intersect_and_union and total_area_to_metrics, pixel class by pixel class."""
    hits, truths, predictions = np.zeros((3, class_count))
    for truth, prediction in pairs:
        counted = truth < class_count
        for i in range(class_count):
            hits[i] += np.sum(counted & (truth == i) & (prediction == i))
            truths[i] += np.sum(counted & (truth == i))
            predictions[i] += np.sum(counted & (prediction == i))
    with np.errstate(invalid="ignore"):
        iou, accuracy = hits / (truths + predictions - hits), hits / truths
    return hits.sum() / truths.sum(), np.nanmean(iou), np.nanmean(accuracy), iou, accuracy


@pytest.mark.parametrize(("class_count", "dtype"), [(3, np.uint8), (19, np.uint8), (255, np.uint8), (300, np.uint16)])
def test_scores_equal_the_plain_twin(class_count, dtype):
    rng = np.random.default_rng(class_count)
    none = np.iinfo(dtype).max
    # few classes in many, so that some occur on one side only and some never
    present = rng.choice(class_count, min(class_count, 12), replace=False).astype(dtype)
    maps = np.append(present, dtype(none))[rng.integers(0, len(present) + 1, (2, 2, 20, 30))]
    maps[:, 1][maps[:, 1] == present[0]] = none
    confusion = sum(confusion_matrix(truth, prediction, class_count) for truth, prediction in maps)
    scores = Scores(tuple(map(str, range(class_count))), confusion)
    pixel, mean_iou, mean_accuracy, iou, accuracy = plain_scores(maps, class_count)
    assert scores.pixel_accuracy == pytest.approx(pixel)
    assert scores.mean_iou == pytest.approx(mean_iou)
    assert scores.mean_accuracy == pytest.approx(mean_accuracy)
    np.testing.assert_allclose(scores.iou, iou)
    np.testing.assert_allclose(scores.accuracy, accuracy)


def test_confusion_matrix_of_hand_counted_pixels():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    prediction = np.array([[0, 1, 255, 0]], np.uint8)
    np.testing.assert_array_equal(confusion_matrix(truth, prediction, 2), [[1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(confusion_matrix(truth, None, 2), [[0, 0, 2], [0, 0, 1]])


def test_sizes_must_be_equal():
    with pytest.raises(InputError, match=r"prediction is 3x2 but the ground truth is 4x2"):
        confusion_matrix(np.zeros((2, 4), np.uint8), np.zeros((2, 3), np.uint8), 2)


def test_a_class_that_never_occurs_is_null_and_out_of_the_means():
    scores = Scores(("a", "b", "c"), np.array([[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0]]))
    assert scores.to_json() == {
        "aAcc": 7 / 8,
        "mIoU": (3 / 4 + 4 / 5) / 2,
        "mAcc": (3 / 4 + 1) / 2,
        "classes": {"a": {"IoU": 0.75, "Acc": 0.75}, "b": {"IoU": 0.8, "Acc": 1.0}, "c": {"IoU": None, "Acc": None}},
    }
    nothing = Scores(("a",), np.zeros((1, 2), np.int64))
    assert math.isnan(nothing.mean_iou)
    assert nothing.to_json()["mIoU"] is None


def test_scores_are_printed_as_a_table():
    scores = Scores(
        ("sky", "swimming pool"), np.array([[1, 0, 1], [0, 0, 0]]), 2, ("a",), ("b",), {"c": "it is damaged"}
    )
    text = str(scores)
    assert "sky             50.00   50.00" in text
    assert "(1 of 2 classes occur neither" in text
    assert "2 images: mIoU   50.00  mAcc   50.00  aAcc   50.00" in text
    assert "1 without a prediction, counted as misses:\n  a" in text
    assert "1 FAILED:\n  c: it is damaged" in text


def test_names_must_differ():
    with pytest.raises(InputError, match="2 different class names"):
        Scores(("wall", "wall"), np.zeros((2, 3), np.int64))


def test_published_results_get_the_published_score(parity):
    expected = json.loads((parity / "expected/evaluation-ade20k.json").read_text())
    scores = evaluate_files(parity / "expected/ssa-ade20k", parity / "gt/ade20k", "ade20k", progress=False)
    found = scores.to_json()
    assert scores.images == 3
    assert not scores.errors
    for key in ("aAcc", "mIoU", "mAcc"):
        assert found[key] == pytest.approx(expected[key], abs=1e-6)
    for key in ("IoU", "Acc"):
        for ours, theirs in zip(found["classes"].values(), expected[key], strict=True):
            assert ours[key] == (theirs if theirs is None else pytest.approx(theirs, abs=1e-6))


def write_prediction(path, ids, size=None):
    from fiftyone_ssa.masks.rle import class_rles

    path.parent.mkdir(parents=True, exist_ok=True)
    size = size or list(ids.shape)
    codes = {str(i): {"size": size, "counts": counts.decode()} for i, counts in class_rles(ids, 255)}
    path.write_text(json.dumps({"annotations": [], "semantic_mask": codes}))


def write_truth(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def test_class_map_comes_back_from_its_file(tmp_path):
    ids = np.random.default_rng(0).choice([0, 7, 149, 255], (9, 11)).astype(np.uint8)
    write_prediction(tmp_path / "a_semantic.json", ids)
    np.testing.assert_array_equal(read_class_map(tmp_path / "a_semantic.json", 150, (9, 11)), ids)


def test_missing_and_unusable_predictions_count_as_misses(tmp_path):
    results, truths = tmp_path / "results", tmp_path / "gt"
    ids = np.zeros((2, 4), np.uint8)
    for name in ("good", "missing", "smaller", "unknown", "damaged", "engine", "broken truth"):
        write_truth(truths / "val" / f"{name}.png", ids + 1)
    (truths / "val/broken truth.png").write_bytes(b"\x89PNG")
    write_prediction(results / "val/good_semantic.json", ids)
    write_prediction(results / "val/smaller_semantic.json", ids[:1])
    write_prediction(results / "val/unknown_semantic.json", ids + np.uint8(150))
    (results / "val/damaged_semantic.json").write_bytes(b'{"semantic_mask": {"0"')
    (results / "val/engine_semantic.json").write_text('{"annotations": []}')
    write_prediction(results / "val/broken truth_semantic.json", ids)
    write_prediction(results / "other_semantic.json", ids)
    scores = evaluate_files(results, truths, "ade20k", progress=False)
    assert scores.images == 6
    assert scores.pixel_accuracy == pytest.approx(1 / 6)
    assert scores.missing_predictions == ("val/missing",)
    assert scores.missing_ground_truth == ("other",)
    assert set(scores.errors) == {f"val/{name}" for name in ("smaller", "unknown", "damaged", "engine", "broken truth")}
    assert "size [1, 4] but the ground truth is [2, 4]" in scores.errors["val/smaller"]
    assert "class id 150 is unknown: this data set has 0 to 149" in scores.errors["val/unknown"]
    assert "is not a JSON file" in scores.errors["val/damaged"]
    assert "no semantic_mask" in scores.errors["val/engine"]


def test_codes_that_overlap_are_refused(tmp_path):
    path = tmp_path / "a_semantic.json"
    write_prediction(path, np.zeros((2, 2), np.uint8))
    codes = json.loads(path.read_text())["semantic_mask"]
    path.write_text(json.dumps({"semantic_mask": codes | {"1": codes["0"]}}))
    with pytest.raises(InputError, match=r"a_semantic.json: two classes claim the same pixel"):
        read_class_map(path, 150, (2, 2))


@pytest.mark.parametrize("dataset", ["cityscapes", "foggy-driving"])
def test_cityscapes_ground_truth_in_either_form(tmp_path, dataset):
    ids = np.array([[0, 1, 18, 255]], np.uint8)
    for name in ("trained", "fresh"):
        write_prediction(tmp_path / f"results/zürich/{name} 1_leftImg8bit_semantic.json", ids)
    write_truth(tmp_path / "gt/zürich/trained 1_gtFine_labelTrainIds.png", ids)
    write_truth(tmp_path / "gt/zürich/trained 1_gtFine_labelIds.png", [[7, 7, 7, 7]])
    write_truth(tmp_path / "gt/zürich/fresh 1_gtFine_labelIds.png", [[7, 8, 33, 4]])
    scores = evaluate_files(tmp_path / "results", tmp_path / "gt", dataset, progress=False)
    assert scores.images == 2
    assert (scores.mean_iou, scores.pixel_accuracy, int(scores.confusion.sum())) == (1.0, 1.0, 6)


def test_ground_truth_of_another_data_set_is_told(tmp_path):
    write_prediction(tmp_path / "results/a_semantic.json", np.zeros((1, 2), np.uint8))
    write_truth(tmp_path / "gt/a.png", [[1, 151]])
    scores = evaluate_files(tmp_path / "results", tmp_path / "gt", "ade20k", progress=False)
    assert "value 151 is no ADE20K class" in scores.errors["a"]
    Image.new("RGB", (2, 1), (1, 2, 3)).save(tmp_path / "gt/a.png")
    scores = evaluate_files(tmp_path / "results", tmp_path / "gt", "ade20k", progress=False)
    assert "one channel" in scores.errors["a"]


def test_nothing_to_compare_says_what_was_looked_for(tmp_path):
    results, truths = tmp_path / "results", tmp_path / "gt"
    with pytest.raises(InputError, match="folder of predictions does not exist"):
        evaluate_files(results, truths, "ade20k")
    results.mkdir()
    (results / "a.jpg").touch()
    with pytest.raises(InputError, match=r"looked for predictions \(\*_semantic.json\) in .*; found 1 .jpg"):
        evaluate_files(results, truths, "ade20k")
    write_prediction(results / "val/a_semantic.json", np.zeros((1, 2), np.uint8))
    write_truth(truths / "a.png", [[1, 1]])
    with pytest.raises(InputError, match="both must lie under the same sub-folders"):
        evaluate_files(results, truths, "ade20k")
    with pytest.raises(InputError, match="one of ade20k, cityscapes, foggy-driving, got 'coco'"):
        evaluate_files(results, truths, "coco")
