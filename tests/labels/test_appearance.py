"""What the App is set to show: set where nobody set it, the same after a second call, and a person's choice stays."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from typing import Any

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import appearance
from fiftyone_ssa.labels.appearance import RUNS_GROUP, add_names, prepare_app, shown_colours
from fiftyone_ssa.labels.job_record import Cancelled
from fiftyone_ssa.labels.lease import SCHEMA, hold
from fiftyone_ssa.labels.repaint import repaint
from fiftyone_ssa.layouts.colours import UNNAMED, colour_of

VIEWS = ["doubtful", "unnamed", "failed", "corrected", "rejected"]


@pytest.fixture
def dataset(make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]) -> fo.Dataset:
    found = make_dataset(2)
    name_masks(found)
    found.reload()
    return found


def settings(dataset: fo.Dataset) -> Any:
    """All that is set, as plain values."""
    views = {name: dataset.load_saved_view(name)._serialize(include_uuids=False) for name in dataset.list_saved_views()}
    config = dataset.app_config.to_dict()
    return copy.deepcopy([config, dataset.label_schemas, dataset.active_label_schemas, views])


def colours(dataset: fo.Dataset, path: str) -> dict[Any, str]:
    (entry,) = (entry for entry in dataset.app_config.color_scheme.fields if entry["path"] == path)
    rows = [*entry.get("valueColors", []), *entry.get("maskTargetsColors", [])]
    return {row.get("value", row.get("intTarget")): row["color"] for row in rows}


def groups(dataset: fo.Dataset) -> dict[str, tuple[bool | None, list[str]]]:
    return {group.name: (group.expanded, list(group.paths)) for group in dataset.app_config.sidebar_groups}


def test_masks_are_ready_to_look_at_after_a_run(dataset: fo.Dataset) -> None:
    config = dataset.app_config
    assert config.color_scheme.color_by == "value"
    assert colours(dataset, "ssa") == {"none": UNNAMED, "sky": colour_of("sky"), "grass": colour_of("grass")}
    assert colours(dataset, "ssa_semantic") == {1: colour_of("sky"), 2: colour_of("grass")}
    assert config.active_fields.paths == ["ssa"]
    assert dataset.count("metadata.width") == 2
    found = groups(dataset)
    assert list(found)[:2] == ["tags", "labels"]
    assert found["labels"] == (True, ["ssa", "masks", "ssa_semantic"])
    assert found[RUNS_GROUP] == (False, ["ssa_preset", "ssa_inputs", "ssa_error"])
    assert found["metadata"][0] is found["primitives"][0] is False
    assert not any("." in path for name, (_, paths) in found.items() if name != "metadata" for path in paths)
    schema = {"type": "detections", "component": "dropdown", "classes": ["grass", "sky"], "attributes": []}
    assert dataset.label_schemas == {"ssa": schema}
    assert dataset.active_label_schemas == ["ssa"]
    assert dataset.list_saved_views() == VIEWS


def test_a_second_call_and_a_second_run_change_nothing(dataset: fo.Dataset, name_masks: Callable[..., Any]) -> None:
    before = settings(dataset)
    prepare_app(dataset)
    assert settings(dataset) == before
    name_masks(dataset)
    name_masks(dataset, overwrite=True)
    dataset.reload()
    assert settings(dataset) == before


def test_what_a_person_set_before_stays(
    make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]
) -> None:
    dataset = make_dataset(1)
    own = [{"path": "ssa", "fieldColor": "#123456"}, {"path": "masks", "fieldColor": "#654321"}]
    dataset.app_config.color_scheme = fo.ColorScheme(color_by="instance", fields=own, opacity=0.3)
    dataset.app_config.active_fields = fo.ActiveFields(paths=["masks"])
    dataset.app_config.sidebar_groups = [
        fo.SidebarGroupDocument(name="mine", paths=["masks"], expanded=True),
        fo.SidebarGroupDocument(name="primitives", paths=["id", "filepath"]),
    ]
    dataset.save_view("Doubtful", dataset.limit(1))
    dataset.save()
    name_masks(dataset)
    dataset.reload()
    scheme = dataset.app_config.color_scheme
    assert (scheme.color_by, scheme.opacity) == ("instance", 0.3)
    assert [dict(entry) for entry in scheme.fields][:2] == own
    assert colours(dataset, "ssa_semantic")  # a field that nobody said anything of
    assert dataset.app_config.active_fields.paths == ["masks"]
    found = groups(dataset)
    assert found["mine"] == (True, ["masks"])
    assert found["primitives"][1] == ["id", "filepath"]
    assert set(dataset.list_saved_views()) == {"Doubtful", "doubtful (ssa)", *VIEWS[1:]}
    assert dataset.load_saved_view("Doubtful") == dataset.limit(1)


CHANGES: dict[str, Callable[[fo.Dataset], object]] = {
    "coloured otherwise": lambda d: setattr(d.app_config.color_scheme, "color_by", "field"),
    "colours thrown out": lambda d: setattr(d.app_config, "color_scheme", None),
    "one colour changed": lambda d: d.app_config.color_scheme.fields[0]["valueColors"][1].update(color="#000000"),
    "all fields shown": lambda d: setattr(d.app_config, "active_fields", None),
    "groups renamed": lambda d: setattr(d.app_config.sidebar_groups[1], "name", "mine"),
    "group thrown out": lambda d: d.app_config.sidebar_groups.pop(),
    "schema of their own": lambda d: d.update_label_schema("ssa", {"type": "detections", "component": "text"}),
    "no editing": lambda d: d.deactivate_label_schemas("ssa"),
    "no schema": lambda d: d.delete_label_schemas("ssa"),
    "view thrown out": lambda d: d.delete_saved_view("doubtful"),
    "view renamed": lambda d: d.update_saved_view_info("doubtful", {"name": "to do"}),
    "view of their own": lambda d: d.save_view("doubtful", d.limit(1), overwrite=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_person_changed_afterwards_stays(
    dataset: fo.Dataset, name_masks: Callable[..., Any], change: Callable[[fo.Dataset], object]
) -> None:
    before = settings(dataset)
    change(dataset)
    dataset.save()
    dataset.reload()
    changed = settings(dataset)
    assert changed != before
    name_masks(dataset, overwrite=True)
    dataset.reload()
    assert settings(dataset) == changed


def test_a_second_field_has_settings_of_its_own(dataset: fo.Dataset, name_masks: Callable[..., Any]) -> None:
    first = settings(dataset)[3]
    name_masks(dataset, "Other", label_field="other")
    dataset.reload()
    assert colours(dataset, "ssa")["sky"] == colour_of("sky")
    assert colours(dataset, "other") == {"none": UNNAMED, "roof": colour_of("roof"), "wall": colour_of("wall")}
    assert dataset.app_config.active_fields.paths == ["other"]
    assert groups(dataset)[RUNS_GROUP][1][3:] == ["other_preset", "other_inputs", "other_error"]
    assert dataset.active_label_schemas == ["ssa", "other"]
    assert dataset.list_saved_views() == [*VIEWS, *(f"{name} (other)" for name in VIEWS)]
    assert {name: stages for name, stages in settings(dataset)[3].items() if name in VIEWS} == first
    name_masks(dataset)
    dataset.reload()
    assert dataset.app_config.active_fields.paths == ["other"]


def test_new_names_are_added_to_what_is_ours(dataset: fo.Dataset, name_masks: Callable[..., Any]) -> None:
    add_names(dataset, "ssa", ["hedge", "sky"])
    dataset.reload()
    assert colours(dataset, "ssa")["hedge"] == colour_of("hedge")
    assert dataset.label_schemas["ssa"]["classes"] == ["grass", "hedge", "sky"]
    before = settings(dataset)
    add_names(dataset, "ssa", ["hedge"])
    assert settings(dataset) == before
    name_masks(dataset, "Other", overwrite=True)
    dataset.reload()
    assert {"roof", "wall"} <= colours(dataset, "ssa").keys()
    assert {"roof", "wall"} <= set(dataset.label_schemas["ssa"]["classes"])


def test_a_class_that_a_person_named_has_its_colour_in_repainted_maps(dataset: fo.Dataset) -> None:
    sample = dataset.first()
    sample.ssa.detections[0].label = "hedge"
    sample.save()
    repaint(dataset, "ssa", progress=False)
    dataset.reload()
    assert colours(dataset, "ssa_semantic") == {
        n + 1: colour_of(name) for n, name in enumerate(("sky", "grass", "hedge"))
    }
    assert colours(dataset, "ssa")["hedge"] == colour_of("hedge")


def test_saved_views_stay_true_when_masks_are_reviewed(dataset: fo.Dataset) -> None:
    sample = dataset.first()
    one, two, three = sample.ssa.detections
    one.review, two.label, three.label = "rejected", "hedge", None
    three.class_name = None
    sample.ssa_error = "it is broken"
    sample.save()
    found = {name: dataset.load_saved_view(name).values("ssa.detections.id", unwind=True) for name in VIEWS}
    assert found["rejected"] == [one.id]
    assert found["corrected"] == [two.id]
    assert found["unnamed"] == [three.id]
    assert three.id in found["doubtful"]
    assert not {one.id, two.id} & set(found["doubtful"])
    assert dataset.load_saved_view("failed").values("id") == [sample.id]
    assert dataset.match(F("ssa_error") == None).count() == 1  # noqa: E711


def test_names_that_the_app_takes_for_none_and_too_many_are_left_out(dataset: fo.Dataset) -> None:
    names = ["none", "", *(f"thing {i}" for i in range(appearance.MOST_NAMES + 5))]
    sample = dataset.first()
    sample.ssa.detections = [fo.Detection(label=name, bounding_box=[0, 0, 1, 1]) for name in names]
    sample.save()
    prepare_app(dataset)
    found = colours(dataset, "ssa")
    assert found["none"] == UNNAMED
    assert appearance.MOST_NAMES - 1 <= len(found) <= appearance.MOST_NAMES + 1
    assert dataset.label_schemas["ssa"] == {"type": "detections", "component": "text", "attributes": []}


def test_a_field_of_someone_elses_is_prepared_too(make_dataset: Callable[..., fo.Dataset]) -> None:
    dataset = make_dataset(1)
    prepare_app(dataset, "masks")
    assert dataset.list_saved_views() == ["unnamed", "corrected", "rejected"]
    assert dataset.load_saved_view("corrected").count("masks.detections") == 0
    assert dataset.load_saved_view("unnamed").count("masks.detections") == 3
    with pytest.raises(InputError, match="has no Detections field 'ssa'; name masks first"):
        prepare_app(dataset)


def test_a_run_does_not_fail_for_its_looks(
    make_dataset: Callable[..., fo.Dataset],
    name_masks: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dataset = make_dataset(1)
    name_masks(dataset)
    monkeypatch.setattr(appearance, "WAIT_SECONDS", 0.1)
    with hold(dataset, SCHEMA), caplog.at_level(logging.WARNING):
        summary = name_masks(dataset)
    assert summary.skipped == 1
    assert "the labels are written, but the App's settings for them are not" in caplog.text


def test_a_cancelled_run_leaves_what_is_done_ready_to_look_at(
    make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]
) -> None:
    def cancel(progress: Any) -> None:
        if progress.iteration:
            raise Cancelled

    dataset = make_dataset(3)
    with pytest.raises(Cancelled):
        name_masks(dataset, progress=cancel, batch_size=1)
    dataset.reload()
    assert dataset.app_config.active_fields.paths == ["ssa"]
    assert dataset.list_saved_views() == VIEWS


def test_an_open_app_is_told_plain_values(dataset: fo.Dataset, make_dataset: Callable[..., fo.Dataset]) -> None:
    told = shown_colours(dataset)
    assert json.loads(json.dumps(told)) == told
    assert told["color_by"] == "value"
    assert [entry["path"] for entry in told["fields"]] == ["ssa", "ssa_semantic"]
    assert shown_colours(make_dataset(1)) == {}
