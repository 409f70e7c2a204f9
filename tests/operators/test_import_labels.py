"""`import_labels` from the App, and the command `import`: labels, and corrections with who made them."""

import json

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa import cli
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.labels.jobs import jobs
from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/import_labels"


@pytest.fixture
def dataset(photographs, tmp_path):
    """An image with a cat and a dog, exported to Label Studio and renamed there by Ann."""
    sample = photographs.first()
    masks = [
        fo.Detection(label=label, bounding_box=[x, 0, 0.5, 1], mask=np.ones((300, 225), bool))
        for label, x in (("cat", 0), ("dog", 0.5))
    ]
    sample["ssa"] = fo.Detections(detections=masks)
    sample.save()
    export(photographs.limit(1), tmp_path / "out", format="label-studio")
    (task,) = json.loads((tmp_path / "out/tasks.json").read_text())
    task["annotations"] = [{**task.pop("predictions")[0], "completed_by": {"email": "ann@x.org"}}]
    task["annotations"][0]["result"][0]["value"]["brushlabels"] = ["lynx"]
    (tmp_path / "project.json").write_text(json.dumps([task]))
    return photographs


def test_corrections_come_back_from_python_and_the_command(registry, dataset, tmp_path, capsys):
    file = tmp_path / "project.json"
    dry = ["import", str(file), dataset.name, "--format", "label-studio", "--corrections", "--dry-run"]
    assert cli.main(dry) == 0
    assert "would change: 1 image came back: 1 renamed, 1 unchanged; by ann@x.org 1" in capsys.readouterr().out
    result = registry.get_operator(URI)(dataset, file, label_field="ssa")
    assert result.result["message"].startswith("1 image came back: 1 renamed")
    dataset.reload()
    assert [each.label for each in dataset.first().ssa.detections] == ["lynx", "dog"]
    assert cli.main([*dry[:-1], "--label-field", "sky"]) == 2
    assert cli.main(["import", str(file), "no-such", "--corrections"]) == 2


def test_labels_come_from_the_command_and_python(registry, dataset, tmp_path, capsys):
    export(dataset.limit(1), tmp_path / "yolo", format="yolo")
    assert cli.main(["import", str(tmp_path / "yolo"), "fresh-from-yolo", "--format", "yolo"]) == 0
    fresh = fo.load_dataset("fresh-from-yolo")
    assert (fresh.persistent, fresh.count("imported.detections")) == (True, 2)
    fresh.delete()
    assert cli.main(["import", str(tmp_path / "yolo"), dataset.name, "--by", "me"]) == 2
    result = registry.get_operator(URI)(dataset, tmp_path / "yolo", kind="labels", format="yolo", to="y")
    assert result.result["message"].startswith("2 masks in 'y'")
    dataset.reload()
    assert dataset.count("y.detections") == 2
    assert [entry["path"] for entry in dataset.app_config.color_scheme.fields] == ["y"]
    capsys.readouterr()


def test_what_cannot_be_read_leaves_no_field(registry, form, dataset, tmp_path):
    with pytest.raises(ExecutionError, match=r"labels\.json"):
        registry.get_operator(URI)(dataset, tmp_path / "out", kind="labels", format="coco")
    dataset.reload()
    assert not dataset.has_field("imported")
    assert not form("import_labels", dataset, kind="labels", folder=str(tmp_path))["to"]["invalid"]
    assert jobs(dataset)[0].label_field == "imported"
    told = form("import_labels", dataset.to_patches("ssa"))["refusal"]["error_message"]
    assert told.startswith("an import takes whole images")


def test_form_tells_what_is_wrong(form, registry, dataset, tmp_path):
    fields = form("import_labels", dataset, folder="nowhere")
    assert fields["label_field"]["default"] == "ssa"
    assert "absolute path of what is there" in fields["folder"]["error_message"]
    assert not form("import_labels", dataset, folder=str(tmp_path))["folder"]["invalid"]
    for to, expected in (("a b", "label_field must be"), ("ssa", "has a field 'ssa'"), ("filepath", "exists and is")):
        assert expected in form("import_labels", dataset, kind="labels", to=to)["to"]["error_message"]
    assert not form("import_labels", dataset, kind="labels", to="ssa", overwrite=True)["to"]["invalid"]
    changed = form("import_labels", dataset, kind="labels", label_field="ssa")  # what the form showed as corrections'
    assert changed["to"]["default"] is None
    with pytest.raises(ExecutionError, match="holds no tasks"):
        registry.get_operator(URI)(dataset, tmp_path / "out" / "data", label_field="ssa")
