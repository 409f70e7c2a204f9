"""`evaluate` from the App: headless without any parameter but the fields' defaults, delegated, and its form."""

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.delegated import DelegatedOperationService

from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/evaluate"


@pytest.fixture
def dataset(photographs):
    """Three images, one without a prediction, in the fields that the form takes by default."""
    truth = fo.Segmentation(mask=np.array([[1, 1, 2]], np.uint8))
    photographs.set_values("ground_truth", [truth.copy() for _ in range(3)])
    photographs.set_values("ssa_semantic", [truth.copy(), truth.copy(), None])
    photographs.default_mask_targets = {1: "cat", 2: "dog"}
    photographs.save()
    return photographs


def test_defaults_hold_where_no_form_was_filled_in(registry, dataset):
    result = foo.execute_operator(URI, {"dataset": dataset})
    assert result.result["message"] == (
        "mIoU 66.67 %, mAcc 66.67 %, aAcc 66.67 % over 3 images, stored as ssa_eval; "
        "1 without a prediction count as misses"
    )
    assert dataset.load_evaluation_results("ssa_eval").scores.mean_iou == pytest.approx(2 / 3)


def test_only_annotated_images_and_what_the_numbers_rest_on(registry, dataset):
    dataset.mask_targets["ssa_semantic"] = {1: "Cat", 2: "dog"}
    dataset.save()
    result = foo.execute_operator(URI, {"dataset": dataset}, params={"only_annotated": True})
    assert result.result["message"] == (
        "mIoU 100.00 %, mAcc 100.00 %, aAcc 100.00 % over 2 images, stored as ssa_eval; "
        "1 without a prediction are left out; "
        "class names that are written differently are taken for the same: 'Cat' for 'cat'"
    )


def test_form_refuses_a_key_whose_fields_are_taken(form, dataset):
    dataset.set_values("ssa_eval_miou", [7.0] * 3)
    assert "'ssa_eval_miou', which exists" in form("evaluate", dataset)["eval_key"]["error_message"]


def test_runs_delegated(registry, dataset):
    registry.get_operator(URI)(dataset, "ssa_semantic", eval_key="queued", delegate=True)
    service = DelegatedOperationService()
    service.execute_queued_operations(dataset_name=dataset.name)
    (done,) = service.list_operations(dataset_name=dataset.name)
    assert done.run_state == "completed", done.result
    dataset.reload()
    assert dataset.has_evaluation("queued")


@pytest.mark.parametrize(
    ("field", "params", "message"),
    [
        ("pred_field", {"pred_field": "ground_truth", "gt_field": "ground_truth"}, "are the same field"),
        ("pred_field", {"pred_field": "sam"}, "pred_field must be one of ground_truth, ssa_semantic, got 'sam'"),
        ("eval_key", {"eval_key": "my run"}, "must be letters, digits and underscores"),
    ],
)
def test_form_tells_what_is_wrong_with_a_value(form, dataset, field, params, message):
    fields = form("evaluate", dataset, **params)
    assert message in fields[field]["error_message"]
    assert [name for name, entry in fields.items() if entry["invalid"]] == [field]


def test_form_guesses_the_truth_by_its_name_and_the_prediction_by_what_is_shown(form, dataset):
    for field in ("labels_gt", "other_semantic"):
        dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    shown = form("evaluate", dataset, active_fields=["other_semantic"])
    assert (shown["gt_field"]["default"], shown["pred_field"]["default"]) == ("ground_truth", "other_semantic")
    dataset.delete_sample_field("ground_truth")
    assert form("evaluate", dataset)["gt_field"]["default"] == "labels_gt"


def test_form_refuses_a_key_of_another_run(form, dataset):
    dataset.add_sample_field("other", fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    dataset.evaluate_segmentations("ssa_semantic", eval_key="ssa_eval", mask_targets={1: "cat", 2: "dog"})
    assert "choose another key" in form("evaluate", dataset)["eval_key"]["error_message"]


def test_metric_serves_the_stock_evaluation_too(registry, dataset):
    results = dataset.evaluate_segmentations(
        "ssa_semantic", eval_key="stock", mask_targets={1: "cat", 2: "dog"}, custom_metrics=[f"{NAME}/miou"]
    )
    assert results.metrics()["mIoU"] == 1.0  # FiftyOne leaves the image without a prediction out
    assert results.custom_metrics[f"{NAME}/miou"]["lower_is_better"] is False
