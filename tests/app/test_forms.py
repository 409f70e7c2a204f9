"""The forms in a browser: they say what they need, refuse in words, and what they propose can be run as it stands."""

import json

import pytest

from fiftyone_ssa.labels.jobs import jobs
from tools.app import fill_field, finished, open_form, press, run_operator, settle, wait_until

pytestmark = pytest.mark.browser


def close(page, form):
    form.get_by_role("button", name="Cancel").click()
    form.wait_for(state="hidden", timeout=60_000)


def scroll_to_the_end(page, form):
    """Show the last field of a form."""
    form.locator(".MuiGrid-item").last.scroll_into_view_if_needed()
    page.wait_for_timeout(300)


def test_annotate_says_what_presets_need_and_what_becomes_of_the_field(app, scenes, shot):
    page = app(scenes)
    form = open_form(page, "SSA: name masks")
    form.get_by_text("mini-ssa (ready)").wait_for(timeout=60_000)
    form.get_by_text("ssa-ade20k (not downloaded, 2.9 GB)").wait_for()
    form.get_by_text("4 images done with these settings: skipped").wait_for()
    shot(page, "forms_annotate")
    fill_field(page, form, "Preset", "mini-engine (ready)")
    fill_field(page, form, "Your own names", "dragon\nspaceship")
    form.get_by_text("Only these names").wait_for()
    form.get_by_text("holds results of other settings").wait_for()
    scroll_to_the_end(page, form)
    shot(page, "forms_annotate_refused")
    fill_field(page, form, "Label field", "mine")
    form.get_by_text("mine holds nothing yet: 4 images will be named").wait_for()
    fill_field(page, form, "More settings", True)
    scroll_to_the_end(page, form)
    shot(page, "forms_annotate_more")
    close(page, form)


def test_five_are_tried_first_and_shown(app, scenes, session, shot):
    page = app(scenes)
    view = scenes.limit(3)
    session.view = view
    wait_until(lambda: page.locator('[data-cy="looker"]').count() == 3, "the view is not shown", page=page)
    form = open_form(page, "SSA: name masks", {"Label field": "mine", "Try it on 5 images first": True})
    form.get_by_text("3 images", exact=True).wait_for()
    scroll_to_the_end(page, form)
    shot(page, "forms_annotate_target")
    press(page, form)
    done = wait_until(lambda: [row for row in jobs(scenes) if row.state in ("done", "failed")], "no end", 300, page)
    assert done[0].message.startswith("3 images, ")
    scenes.reload()
    assert scenes.exists("mine").count() == 3
    assert sorted(scenes.load_saved_view("try mine").values("id")) == sorted(view.values("id"))
    wait_until(lambda: "Select(" in str(session.view), "the trial's images are not shown", page=page)
    shot(page, "forms_trial")


def test_export_begins_with_what_is_filtered(app, scenes, session, shot, tmp_path):
    from fiftyone import ViewField as F

    page = app(scenes)
    name, count = max(scenes.count_values("engine.detections.label").items(), key=lambda item: item[1])
    session.view = scenes.filter_labels("engine", F("label") == name)
    settle(page)
    form = open_form(page, "SSA: export masks", {"Folder": str(tmp_path / "out")})
    form.get_by_text(f"{count} mask").first.wait_for()
    shot(page, "forms_export")
    close(page, form)
    run_operator(page, "SSA: export masks", {"Folder": str(tmp_path / "out")})
    assert f"{count} masks of" in finished(scenes, page)
    coco = json.loads((tmp_path / "out/labels.json").read_text())
    assert len(coco["annotations"]) == count


def test_the_other_forms_have_answers_ready(app, scenes, shot):
    page = app(scenes)
    for label, expected in (
        ("SSA: evaluate a class map (mIoU)", "4 images will be compared."),
        ("SSA: repaint class maps", "The class maps of 4 images will be painted."),
    ):
        form = open_form(page, label)
        form.get_by_text(expected).wait_for(timeout=60_000)
        shot(page, f"forms_{label.split()[1]}")
        close(page, form)
    form = open_form(page, "SSA: load a dataset")
    form.get_by_text("A folder of your own").wait_for(timeout=60_000)
    shot(page, "forms_load")
    fill_field(page, form, "Folder", "here")
    form.get_by_text("must be the absolute path of a folder").first.wait_for()
    close(page, form)
