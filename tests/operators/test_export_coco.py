"""`export_coco` from the App: the target view is what is written."""

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone import ViewField as F
from fiftyone.operators.executor import ExecutionError
from pycocotools.coco import COCO

from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/export_coco"


@pytest.fixture
def dataset(photographs):
    """Each image with a cat and a dog."""
    for sample in photographs.iter_samples(autosave=True):
        masks = [
            fo.Detection(label=label, bounding_box=[x, 0, 0.5, 1], mask=np.ones((300, 225), bool))
            for label, x in (("cat", 0), ("dog", 0.5))
        ]
        sample["ssa"] = fo.Detections(detections=masks)
    return photographs


def test_writes_the_filtered_view(registry, dataset, tmp_path):
    view = dataset.filter_labels("ssa", F("label") == "dog")
    result = registry.get_operator(URI)(view, tmp_path / "out", export_media="none")
    assert result.result["message"] == f"3 masks of 3 images in {tmp_path / 'out/labels.json'}"
    coco = COCO(tmp_path / "out/labels.json")
    assert {annotation["category_id"] for annotation in coco.anns.values()} == {2}


def test_form_asks_for_a_folder(form, dataset, tmp_path):
    (tmp_path / "file").touch()
    fields = form("export_coco", dataset)
    assert fields["label_field"]["default"] == "ssa"
    assert fields["export_dir"]["required"]
    assert not fields["export_dir"]["invalid"]
    for folder, message in (
        ("out", "must be an absolute path"),
        ("~nobody-of-this-name/x", "no such user"),
        (str(tmp_path / "file"), "is a file"),
        (str(tmp_path), "holds files that are no COCO export"),
    ):
        assert message in form("export_coco", dataset, export_dir=folder)["export_dir"]["error_message"]


def test_form_asks_before_an_export_is_replaced(form, registry, dataset, tmp_path):
    registry.get_operator(URI)(dataset, tmp_path / "out")
    again = form("export_coco", dataset, export_dir=str(tmp_path / "out"))
    assert "6 masks of 3 images" in again["export_dir"]["error_message"]
    assert not form("export_coco", dataset, export_dir=str(tmp_path / "out"), overwrite=True)["export_dir"]["invalid"]
    with pytest.raises(ExecutionError, match="overwrite=True"):
        registry.get_operator(URI)(dataset, tmp_path / "out")
    result = registry.get_operator(URI)(dataset.limit(1), tmp_path / "out", overwrite=True)
    assert result.result["message"].startswith("2 masks of 1 images")


def test_form_proposes_the_field_that_the_view_filters(form, dataset):
    dataset.clone_sample_field("ssa", "corrected")
    assert form("export_coco", dataset)["label_field"]["default"] == "ssa"
    dogs = dataset.filter_labels("corrected", F("label") == "dog")
    assert form("export_coco", dogs)["label_field"]["default"] == "corrected"


def test_form_says_that_there_are_no_masks(form, photographs):
    assert "annotate first" in form("export_coco", photographs)["label_field"]["error_message"]


def test_missing_folder_is_refused(registry, dataset):
    with pytest.raises(ExecutionError, match="export_dir"):
        foo.execute_operator(URI, {"dataset": dataset}, params={"label_field": "ssa"})
