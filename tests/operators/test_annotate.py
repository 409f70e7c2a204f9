"""`annotate` from the App: its form tells what is wrong, and the published answers come out."""

import inspect

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa.folders.evaluate import read_class_map
from fiftyone_ssa.labels.annotate import annotate
from fiftyone_ssa.plugin import NAME

URI = f"{NAME}/annotate"


@pytest.fixture
def preset(parity, tmp_path):
    """The parity preset as a user's own TOML file."""
    path = tmp_path / "own.toml"
    path.write_text(
        f'[masks]\nsource = "existing"\n[semantic]\nmodel = "{(parity / "models/segformer-ade20k").as_posix()}"\n'
    )
    return str(path)


def assert_published(dataset, parity):
    for sample in dataset:
        stem = sample.filename.removesuffix(".png")
        values = sample["ssa_semantic"].get_mask()
        expected = read_class_map(parity / f"expected/ssa-ade20k/{stem}_semantic.json", 150, values.shape)
        np.testing.assert_array_equal(values, expected + np.uint8(1))


def test_runs_at_once_with_the_users_own_preset(registry, photographs, preset, parity):
    view = photographs.match_tags("none").concat(photographs)
    result = registry.get_operator(URI)(view, preset, device="cpu", batch_size=2)
    assert result.result["message"].startswith("3 images, ")
    photographs.reload()
    assert_published(photographs, parity)
    again = registry.get_operator(URI)(photographs, preset, device="cpu")
    assert again.result["message"].endswith("3 already done")


def test_runs_delegated_and_reports_progress(registry, photographs, preset):
    queued = registry.get_operator(URI)(photographs.limit(1), preset, device="cpu", delegate=True)
    assert queued.delegated
    service = DelegatedOperationService()
    service.execute_queued_operations(dataset_name=photographs.name)
    (done,) = service.list_operations(dataset_name=photographs.name)
    assert done.run_state == "completed", done.result
    assert done.result.result["message"].startswith("1 images, ")
    photographs.reload()
    assert photographs.exists("ssa").count() == 1


def test_form_lists_presets_and_fields_and_changes_nothing(form, photographs):
    fields = form("annotate", photographs)
    assert [choice["value"] for choice in fields["preset"]["view"]["choices"]][-2:] == [
        "ssa-foggy-driving",
        "own TOML file",
    ]
    offered = "require_flat" in inspect.signature(foo.ExecutionContext.target_view).parameters  # not by FiftyOne 1.14
    assert ("view_target" in fields) == offered
    assert not [name for name, field in fields.items() if field["invalid"]]
    assert "ssa" not in photographs.get_field_schema()


@pytest.mark.parametrize(
    ("field", "params", "message"),
    [
        ("overrides", {"overrides": "masks.points_per_sid=3"}, "did you mean 'points_per_side'?"),
        ("overrides", {"overrides": "semantic.vote=hrad"}, "did you mean 'hard'?"),
        ("overrides", {"overrides": "semantic"}, "must read section.key=value"),
        ("preset_file", {"preset": "own TOML file"}, "name a TOML file"),
        ("preset_file", {"preset": "own TOML file", "preset_file": "/no.toml"}, "does not exist"),
        ("label_field", {"label_field": "my field"}, "must be letters, digits and underscores"),
        ("label_field", {"label_field": "filepath"}, "exists and is no Detections"),
        ("device", {"device": "gpu"}, "must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_form_tells_what_is_wrong_with_a_value(form, photographs, field, params, message):
    fields = form("annotate", photographs, **params)
    assert fields[field]["invalid"]
    assert message in fields[field]["error_message"]
    assert [name for name, entry in fields.items() if entry["invalid"]] == [field]


@pytest.fixture
def labelled(photographs, preset):
    """The photographs, named with the user's own preset."""
    annotate(photographs, preset, device="cpu")
    return photographs


def test_form_refuses_a_field_with_results_of_other_settings_while_one_types(form, labelled, preset):
    own = {"preset": "own TOML file", "preset_file": preset}
    assert not form("annotate", labelled, **own)["label_field"]["invalid"]
    other = {**own, "overrides": "semantic.vote=soft"}
    field = form("annotate", labelled, **other)["label_field"]
    assert field["invalid"]
    assert "holds results of other settings (3 samples, preset own; different: semantic.vote)" in field["error_message"]
    assert not form("annotate", labelled, **other, overwrite=True)["label_field"]["invalid"]
    assert not form("annotate", labelled, **other, label_field="another")["label_field"]["invalid"]


def test_form_refuses_masks_of_someone_else_unless_they_are_to_be_named(form, photographs, preset):
    photographs.set_values("mine", [fo.Detections(detections=[fo.Detection(label="cat")])] * 3)
    own = {"preset": "own TOML file", "preset_file": preset, "label_field": "mine"}
    field = form("annotate", photographs, **own)["label_field"]
    assert "Detections that SSA did not make" in field["error_message"]
    assert not form("annotate", photographs, **own, masks_field="mine")["label_field"]["invalid"]


def test_form_asks_twice_before_it_drops_what_people_touched(form, registry, labelled, preset):
    own = {"preset": "own TOML file", "preset_file": preset}
    assert "everything" not in form("annotate", labelled, **own)
    assert "everything_sure" not in form("annotate", labelled, **own, overwrite=True)
    asked = form("annotate", labelled, **own, overwrite=True, everything=True)["everything_sure"]
    assert asked["invalid"]
    assert "cannot be undone" in asked["error_message"]
    sure = {"overwrite": True, "everything": True, "everything_sure": True}
    assert not form("annotate", labelled, **own, **sure)["everything_sure"]["invalid"]
    with pytest.raises(ExecutionError, match="cannot be undone"):
        registry.get_operator(URI)(labelled, preset, device="cpu", overwrite=True, everything=True)
    detection = labelled.first().ssa.detections[0]
    labelled.set_label_values("ssa.detections.review", {detection.id: "rejected"})
    kept = registry.get_operator(URI)(labelled, preset, device="cpu", overwrite=True)
    assert "1 masks kept as people left them" in kept.result["message"]
    registry.get_operator(URI)(labelled, preset, device="cpu", overwrite="everything")
    labelled.reload()
    assert labelled.count("ssa.detections.review") == 0


def test_a_wrong_value_stops_the_run_with_its_sentence(registry, photographs):
    with pytest.raises(ExecutionError, match="device must be auto, cpu, cuda or cuda:N"):
        registry.get_operator(URI)(photographs, device="gpu")
