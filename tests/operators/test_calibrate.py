"""`calibrate` from the App: by the command, and its form."""

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest

from fiftyone_ssa import cli
from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/calibrate"


@pytest.fixture
def dataset(photographs):
    """Three images with thirty masks each, of which every third is wrong."""
    names = ["dog", "cat", "dog"] * 10
    masks = [
        fo.Detection(label=name, class_name=name, confidence=0.9, bounding_box=[0, 0, 1, 1], mask=np.ones((2, 4), bool))
        for name in names
    ]
    photographs.set_values("ssa", [fo.Detections(detections=[mask.copy() for mask in masks]) for _ in range(3)])
    sizes = [image_size_hw(path) for path in photographs.values("filepath")]
    photographs.set_values("ground_truth", [fo.Segmentation(mask=np.full(size, 2, np.uint8)) for size in sizes])
    photographs.add_dynamic_sample_fields()
    photographs.mask_targets["ground_truth"] = {1: "cat", 2: "dog"}
    photographs.save()
    return photographs


def test_defaults_hold_where_no_form_was_filled_in(registry, dataset):
    message = foo.execute_operator(URI, {"dataset": dataset}).result["message"]
    assert message.startswith("calibrated on 90 masks, 66.7% rightly named; calibration error 0.233 -> ")


def test_runs_from_python_and_by_the_command(registry, dataset, capsys):
    result = registry.get_operator(URI)(dataset, "ssa", delegate=False)
    assert "calibrated on 90 masks" in result.result["message"]
    assert cli.main(["calibrate", dataset.name]) == 0
    assert "calibrated on 90 masks" in capsys.readouterr().out
    assert cli.main(["calibrate", dataset.name, "--gt-field", "sky"]) == 2
    assert "gt_field must be a Segmentation or Detections field" in capsys.readouterr().err
    assert cli.main(["calibrate", "no-such-dataset"]) == 2
    assert "there is no dataset 'no-such-dataset' to calibrate" in capsys.readouterr().err


def test_form_tells_what_is_wrong_with_a_field(form, dataset):
    fields = form("calibrate", dataset)
    assert not fields["gt_field"]["invalid"]
    assert "'ssa' cannot be its own truth" in form("calibrate", dataset, gt_field="ssa")["gt_field"]["error_message"]
    dataset.clone_sample_field("ssa", "ssa_classes")  # as an ontology leaves it and the App shows it
    assert form("calibrate", dataset, ["ssa_classes"])["label_field"]["default"] == "ssa"
