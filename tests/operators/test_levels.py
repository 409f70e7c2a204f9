"""`levels` and `panoptic` headless, by defaults alone and with wrong parameters."""

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError
from PIL import Image

from fiftyone_ssa.labels.jobs import jobs
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.plugin import NAME


@pytest.fixture
def dataset(tmp_path):
    """One image of a car with a wheel."""
    dataset = fo.Dataset(persistent=True)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    masks = [
        fo.Detection(label="car", bounding_box=[0, 0, 1, 0.5], mask=np.ones((20, 40), bool)),
        fo.Detection(label="wheel", bounding_box=[0.25, 0.25, 0.25, 0.25], mask=np.ones((10, 10), bool)),
    ]
    dataset.add_sample(fo.Sample(filepath=str(tmp_path / "a.png"), ssa=fo.Detections(detections=masks)))
    yield dataset
    dataset.delete()


def run(job, dataset, **params):
    result = foo.execute_operator(f"{NAME}/{job}", {"dataset": dataset, "view": dataset.view()}, params=params)
    assert result.error is None
    dataset.reload()
    return result.result


def test_levels_by_defaults(registry, form, dataset):
    assert form("levels", dataset)["label_field"]["default"] == "ssa"
    assert "1 whole, 1 part" in run("levels", dataset)["message"]
    assert dataset.first().ssa.detections[1].level == "part"


def test_panoptic_by_defaults_and_by_parts(registry, form, dataset):
    assert "1 segment in 1 image" in run("panoptic", dataset)["message"]
    assert "2 segments in 1 image" in run("panoptic", dataset, level="part")["message"]
    dataset.reload()
    assert form("panoptic", dataset, ["ssa_panoptic"])["label_field"]["default"] == "ssa"
    assert "must be an absolute path" in form("panoptic", dataset, ontology="a.toml")["ontology"]["error_message"]


def test_panoptic_segments_are_shown_alone_in_the_colours_of_their_names(registry, dataset):
    run("panoptic", dataset)
    (entry,) = dataset.app_config.color_scheme.fields
    assert (entry["path"], {"value": "car", "color": colour_of("car")} in entry["valueColors"]) == (
        "ssa_panoptic",
        True,
    )
    request = {"dataset_name": dataset.name, "view": [], "params": {}, "extended": {}, "active_fields": ["ssa", "seed"]}
    with foo.ExecutionContext(request, executor=foo.executor.Executor()) as context:
        registry.get_operator(f"{NAME}/panoptic").show(context, jobs(dataset)[0])
    shown = {asked.operator_uri: asked.params for asked in context.executor._requests}
    assert shown["set_active_fields"] == {"fields": ["seed", "ssa_panoptic"]}


@pytest.mark.parametrize(
    ("job", "params", "message"),
    [
        ("levels", {"label_field": "sky"}, "label_field must be one of ssa, got 'sky'"),
        ("panoptic", {"level": "all"}, "level must be one of whole, part, subpart, got 'all'"),
        ("panoptic", {"ontology": "/nowhere.toml"}, "/nowhere.toml"),
    ],
)
def test_wrong_parameters_are_told_in_the_form_and_by_a_run(registry, form, dataset, job, params, message):
    (told,) = {field["error_message"] for field in form(job, dataset, **params).values() if field["invalid"]}
    assert message in told
    with pytest.raises(ExecutionError):
        run(job, dataset, **params)


def test_the_parts_of_a_selected_mask_open(registry, form, dataset):
    assert form("parts_of", dataset)["still_to_give"]["error_message"].startswith("select one mask")
    car, wheel = (mask.id for mask in dataset.first().ssa.detections)
    assert "has no level yet" in form("parts_of", dataset, id=car)["refusal"]["error_message"]
    run("levels", dataset)
    assert form("parts_of", dataset, id=car)["tree"]["default"] == "- **car** (whole)\n    - wheel (part)"
    assert run("parts_of", dataset, id=car) == {"masks": 1, "message": "1 part"}
    assert run("parts_of", dataset, id=wheel)["message"] == "It has no parts"
    assert run("parts_of", dataset, id=wheel, which="tree")["masks"] == 2
    with pytest.raises(ExecutionError, match="which must be one of"):
        run("parts_of", dataset, id=wheel, which="all")
    chosen = [{"label_id": wheel, "sample_id": dataset.first().id, "field": "ssa"}]
    context = {"dataset": dataset, "view": dataset.view(), "selected_labels": chosen}
    found = foo.execute_operator(f"{NAME}/parts_of", context, params={"which": "whole"})
    assert found.result["message"] == "1 whole"
