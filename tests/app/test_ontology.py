"""Classes from names, pressed through in the App: the form suggests, the field appears, and is taken back."""

import pytest

from tools.app import open_form, press, run_operator, wait_until

pytestmark = pytest.mark.browser
LABEL = "SSA: classes from names (ontology)"


def test_classes_are_suggested_applied_and_taken_back(app, scenes, shot):
    page = app(scenes)
    form = open_form(page, LABEL, {"Masks": "ssa", "Name of what means no class": "other"})
    shown = form.locator("textarea").first
    wait_until(lambda: "sky" in (shown.input_value() or ""), "the form suggests no classes", 20, page)
    sheet = form.get_by_role("img", name="sky (")
    sheet.wait_for(timeout=20_000)
    assert sheet.evaluate("picture => picture.naturalWidth") > 500
    shot(page, "ontology_form")
    sheet.scroll_into_view_if_needed()
    shot(page, "ontology_pictures")
    masks = scenes.count("ssa.detections")
    press(page, form)

    def field():
        scenes.reload()
        return scenes.has_field("ssa_classes") and scenes.count("ssa_classes.detections")

    wait_until(lambda: field() == masks, "the masks have no classes", 60, page)
    wait_until(lambda: scenes.reload() or "ssa_classes" in scenes.label_schemas, "the editor has no classes", 20, page)
    assert {"sky", "other"} <= set(scenes.label_schemas["ssa_classes"]["classes"])
    shot(page, "ontology_applied")
    form.get_by_role("button", name="Close").click()
    form.wait_for(state="hidden")
    run_operator(page, LABEL, {"Action": "undo", "Masks": "ssa"})
    wait_until(lambda: field() is False, "the field is still there", 30, page)
