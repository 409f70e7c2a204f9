"""`export` from the App: the target view is what is written."""

from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone import ViewField as F
from fiftyone.operators.executor import ExecutionError
from pycocotools.coco import COCO

from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/export"
OWN = "{0.name}-ssa-coco"


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


def test_form_says_what_is_wrong_with_a_folder_and_proposes_one(form, dataset, tmp_path):
    (tmp_path / "file").touch()
    fields = form("export", dataset)
    assert fields["label_field"]["default"] == "ssa"
    own = Path(fo.config.default_dataset_dir, "exports", OWN.format(dataset))
    assert fields["export_dir"]["view"]["description"].endswith(f"Empty: {own}")
    assert not fields["export_dir"]["invalid"]
    for folder, message in (
        ("out", "must be an absolute path"),
        ("~nobody-of-this-name/x", "no such user"),
        (str(tmp_path / "file"), "is a file"),
        (str(tmp_path), "holds files that are no COCO export"),
    ):
        assert message in form("export", dataset, export_dir=folder)["export_dir"]["error_message"]


def test_form_asks_before_an_export_is_replaced(form, registry, dataset, tmp_path):
    registry.get_operator(URI)(dataset, tmp_path / "out")
    again = form("export", dataset, export_dir=str(tmp_path / "out"))
    assert "6 masks of 3 images" in again["export_dir"]["error_message"]
    in_app = form("export", dataset, export_dir=str(tmp_path / "out"), app={"extended": {}})
    assert "tick 'Overwrite' to replace it" in in_app["export_dir"]["error_message"]
    assert not form("export", dataset, export_dir=str(tmp_path / "out"), overwrite=True)["export_dir"]["invalid"]
    with pytest.raises(ExecutionError, match="overwrite=True"):
        registry.get_operator(URI)(dataset, tmp_path / "out")
    result = registry.get_operator(URI)(dataset.limit(1), tmp_path / "out", overwrite=True)
    assert result.result["message"].startswith("2 masks of 1 image ")


def test_form_proposes_the_field_that_the_view_filters(form, dataset):
    dataset.clone_sample_field("ssa", "corrected")
    assert form("export", dataset)["label_field"]["default"] == "ssa"
    dogs = dataset.filter_labels("corrected", F("label") == "dog")
    assert form("export", dogs)["label_field"]["default"] == "corrected"


def test_what_is_shown_comes_before_what_is_not(form, dataset):
    dataset.clone_sample_field("ssa", "corrected")
    assert form("export", dataset, active_fields=["filepath", "corrected"])["label_field"]["default"] == "corrected"
    dogs = dataset.filter_labels("ssa", F("label") == "dog")
    assert form("export", dogs, active_fields=["corrected"])["label_field"]["default"] == "ssa"


def test_the_sidebars_filters_count_in_a_saved_view_too(registry, dataset, tmp_path):
    dataset.save_view("two", dataset.limit(2))
    filters = {"ssa.detections.label": {"values": ["dog"], "exclude": False, "isMatching": False}}
    params = {"export_dir": str(tmp_path / "out"), "export_media": "none"}
    request = {"dataset_name": dataset.name, "view_name": "two", "filters": filters, "params": params}
    operator = registry.get_operator(URI)
    context = foo.ExecutionContext(request, executor=foo.executor.Executor(), operator_uri=URI)
    with context:
        fields = operator.resolve_type(context, "inputs").to_json()["type"]["properties"]
    assert fields["amount"]["view"]["label"].startswith("2 masks of 2 images, as filtered;")
    with foo.ExecutionContext(request, executor=foo.executor.Executor(), operator_uri=URI) as context:
        assert operator.execute(context)["message"].startswith("2 masks of 2 images in")


def test_form_counts_what_would_be_written(form, dataset):
    assert form("export", dataset)["amount"]["view"]["label"].startswith("6 masks of 3 images;")
    dogs = dataset.limit(1).filter_labels("ssa", F("label") == "dog")
    assert form("export", dogs)["amount"]["view"]["label"].startswith("1 mask of 1 image, as filtered;")


def test_defaults_alone_write_to_a_folder_of_its_own(registry, dataset):
    message = foo.execute_operator(URI, {"dataset": dataset}).result["message"]
    folder = Path(fo.config.default_dataset_dir, "exports", OWN.format(dataset))
    assert message == f"6 masks of 3 images in {folder / 'labels.json'}"


def test_the_former_name_does_the_same(registry, form, dataset, tmp_path):
    operator = registry.get_operator(f"{NAME}/export_coco")
    assert operator.config.unlisted
    operator(dataset, tmp_path / "out", media="none")
    assert len(COCO(tmp_path / "out/labels.json").anns) == 6
    assert list(form("export_coco", dataset)) == list(form("export", dataset))


def test_form_checks_splits_thresholds_and_the_ontology(form, registry, dataset, tmp_path):
    for name, value, message in (
        ("splits", "train=much", "splits must be shares"),
        ("splits", "nothing", "names no splits"),
        ("min_confidence", "2", "from 0 to 1"),
        ("ontology", str(tmp_path / "no.toml"), "no.toml"),
    ):
        assert message in form("export", dataset, **{name: value})[name]["error_message"]
    options = {"format": "coco-panoptic", "splits": "train=2,val=1", "unreviewed": False}
    result = registry.get_operator(URI)(dataset, tmp_path / "out", **options)
    assert "train 2, val 1" in result.result["message"]
    assert "6 unreviewed masks left out" in result.result["message"]
