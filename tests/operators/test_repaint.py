"""`repaint` from the App: headless, by the command, and its form."""

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest

from fiftyone_ssa import cli
from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/repaint"


@pytest.fixture
def dataset(photographs):
    """Three images with one mask each, and maps that do not show it."""
    mask = fo.Detection(label="dog", bounding_box=[0, 0, 0.5, 1], mask=np.ones((2, 2), bool))
    photographs.set_values("ssa", [fo.Detections(detections=[mask.copy()]) for _ in range(3)])
    photographs.set_values("ssa_semantic", [fo.Segmentation(mask=np.ones((2, 4), np.uint8)) for _ in range(3)])
    photographs.mask_targets["ssa_semantic"] = {1: "cat", 2: "dog"}
    photographs.save()
    return photographs


def test_defaults_hold_where_no_form_was_filled_in(registry, dataset):
    message = foo.execute_operator(URI, {"dataset": dataset}).result["message"]
    assert message.startswith("3 class maps painted, 0 unchanged; 3 had no map of the segmenter's own to begin with")
    dataset.reload()
    assert dataset.first().ssa_semantic.get_mask().tolist() == [[2, 2, 1, 1]] * 2


def test_runs_from_python(registry, dataset):
    result = registry.get_operator(URI)(dataset, "ssa", delegate=False)
    assert "3 class maps painted" in result.result["message"]


def test_the_command_paints_a_dataset_by_its_name(dataset, capsys):
    assert cli.main(["repaint", dataset.name]) == 0
    assert "3 class maps painted" in capsys.readouterr().out
    assert cli.main(["repaint", dataset.name, "--label-field", "sky"]) == 2
    assert cli.main(["repaint", "no-such-dataset"]) == 2
    assert "there is no dataset 'no-such-dataset'" in capsys.readouterr().err


def test_form_tells_what_is_wrong_with_a_field(form, dataset):
    fields = form("repaint", dataset)
    assert not fields["label_field"]["invalid"]
    assert "device" not in fields
    dataset.delete_sample_field("ssa_semantic")
    assert "has no class maps to begin with" in form("repaint", dataset)["label_field"]["error_message"]
    fields = form("repaint", dataset, preset="mini-ssa")
    assert not fields["label_field"]["invalid"]
    assert "device" in fields
