"""Classes from names, pressed through in the App: form, field, FiftyOne's editor of labels, and undone."""

import pytest

import fiftyone_ssa as ssa
from fiftyone_ssa.labels.edited import mark_edited
from tools.app import dismiss, open_form, open_sample, press, run_operator, wait_until

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
    dismiss(page, form)
    run_operator(page, LABEL, {"Action": "undo"})
    wait_until(lambda: field() is False, "the field is still there", 30, page)


def test_a_class_picked_in_the_apps_editor_is_a_correction_that_stays(app, scenes, shot):
    ssa.Ontology.suggest(scenes, "ssa").apply(scenes, "ssa", to="classes")
    page = app(scenes)
    for field in ("engine", "classes"):
        page.locator(f'[data-cy="checkbox-{field}"]').click()
    sky = next(mask for mask in scenes.first().classes.detections if mask.label == "sky")
    open_sample(page, 0)
    page.locator('[data-cy="modal"] [data-cy="annotate"]').click()
    page.locator(f'[data-cy="annotate-label-{sky.id}"]').click(timeout=60_000)
    page.locator('[data-cy="root_label_container"]').get_by_role("combobox").click()
    page.get_by_text("truck", exact=True).last.wait_for()
    shot(page, "editor_classes")
    page.get_by_text("truck", exact=True).last.click()

    def label():
        return scenes.reload() or next(mask.label for mask in scenes.first().classes.detections if mask.id == sky.id)

    wait_until(lambda: label() == "truck", "the editor saves no class", 30, page)
    shot(page, "editor_saved")
    page.mouse.click(15, 600)  # beside the image: in the editor, Escape does not close it
    page.locator('[data-cy="modal"]').wait_for(state="hidden", timeout=20_000)
    assert mark_edited(scenes, "classes") == 1
    assert ssa.Ontology.of(["tree"]).apply(scenes, "ssa", to="classes", overwrite=True).persons == 1
    assert label() == "truck"
