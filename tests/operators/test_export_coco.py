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
    result = registry.get_operator(URI)(view, tmp_path / "out", media="none")
    assert result.result["message"] == f"3 masks of 3 images in {tmp_path / 'out/labels.json'}"
    coco = COCO(tmp_path / "out/labels.json")
    assert {annotation["category_id"] for annotation in coco.anns.values()} == {2}


def test_form_asks_for_a_folder(form, dataset, tmp_path):
    (tmp_path / "file").touch()
    fields = form("export_coco", dataset)
    assert fields["label_field"]["default"] == "ssa"
    assert fields["out_dir"]["required"]
    assert not fields["out_dir"]["invalid"]
    for folder, message in (("out", "must be an absolute path"), (str(tmp_path / "file"), "is a file")):
        assert message in form("export_coco", dataset, out_dir=folder)["out_dir"]["error_message"]


def test_form_says_that_there_are_no_masks(form, photographs):
    assert "annotate first" in form("export_coco", photographs)["label_field"]["error_message"]


def test_missing_folder_is_refused(registry, dataset):
    with pytest.raises(ExecutionError, match="out_dir"):
        foo.execute_operator(URI, {"dataset": dataset}, params={"label_field": "ssa"})
