"""Out to another tool and back in the App: the export's and the import's forms, with what they refuse."""

import json

import pytest

from tools.app import dismiss, fill_field, finished, open_form, press, run_operator, wait_until

pytestmark = pytest.mark.browser
EXPORT, IMPORT = "SSA: export masks", "SSA: import masks"


def test_corrections_of_another_tool_come_back(app, scenes, shot, tmp_path):
    page, out = app(scenes), tmp_path / "out"
    wishes = {"Masks": "ssa", "Format": "Label Studio", "Splits": "train=0.5,val=0.5", "Least confidence": "0.2"}
    form = open_form(page, EXPORT, {**wishes, "Folder": str(out)})
    shot(page, "exchange_export")
    press(page, form)
    dismiss(page, form)
    assert "train 2, val 2" in finished(scenes, page)
    tasks = json.loads((out / "tasks.json").read_text())
    for task in tasks:
        task["annotations"] = [{**task.pop("predictions")[0], "completed_by": {"email": "ann@x.org"}}]
    tasks[0]["annotations"][0]["result"][0]["value"]["brushlabels"] = ["lynx"]
    (tmp_path / "project.json").write_text(json.dumps(tasks))
    wishes = {"Masks": "ssa", "Folder or file": str(tmp_path / "project.json"), "Accept the rest": True}
    run_operator(page, IMPORT, wishes)
    assert finished(scenes, page).startswith("4 images came back: 1 renamed")
    scenes.reload()
    counts = scenes.count_values("ssa.detections.review")
    assert (counts["corrected"], scenes.count_values("ssa.detections.label")["lynx"]) == (1, 1)
    assert set(scenes.count_values("ssa.detections.reviewed_by")) <= {"ann@x.org", None}
    shot(page, "exchange_back")


def test_labels_of_others_get_a_field_of_their_own(app, scenes, shot, tmp_path):
    page = app(scenes)
    run_operator(page, EXPORT, {"Masks": "ssa", "Format": "YOLO", "Folder": str(tmp_path / "yolo")})
    finished(scenes, page)
    form = open_form(page, IMPORT, {"Masks": "ssa", "Folder or file": str(tmp_path / "yolo")})
    fill_field(page, form, "What it is", "Labels")
    fill_field(page, form, "Format", "YOLO")
    fill_field(page, form, "New field", "ssa")
    form.get_by_text("has a field 'ssa'").wait_for(timeout=60_000)
    shot(page, "exchange_refused")
    fill_field(page, form, "New field", "theirs")
    press(page, form)
    dismiss(page, form)
    assert "masks in 'theirs'" in finished(scenes, page)
    box = page.locator('[data-cy="theirs-field"] input[type=checkbox]')
    wait_until(lambda: box.count() and box.first.is_checked(), "the App does not show what came", 30, page)
    scenes.reload()
    assert scenes.count("theirs.detections") == scenes.count("ssa.detections")
