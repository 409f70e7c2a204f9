"""`annotate` from the App: its form tells what is wrong, and the published answers come out."""

import numpy as np
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_ssa.folders.evaluate import read_class_map
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
    assert "view_target" in fields
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


def test_a_wrong_value_stops_the_run_with_its_sentence(registry, photographs):
    with pytest.raises(ExecutionError, match="device must be auto, cpu, cuda or cuda:N"):
        registry.get_operator(URI)(photographs, device="gpu")
