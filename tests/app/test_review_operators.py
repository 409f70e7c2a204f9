"""Reviewing from the operator browser: the form counts first, the App shows what was decided."""

import pytest
from fiftyone import ViewField as F

from fiftyone_ssa.labels.review import state_is
from tools.app import open_form, press, run_operator, wait_until

pytestmark = pytest.mark.browser


def test_a_class_is_accepted_after_its_count_and_undone(app, scenes, shot):
    skies = scenes.filter_labels("ssa", F("label") == "sky").count("ssa.detections")
    page = app(scenes)
    form = open_form(page, "SSA: review masks", {"Masks": "ssa", "Only of class": "sky"})
    wait_until(lambda: f"accepts {skies} masks of 'sky'" in form.inner_text(), "the form does not count", 20, page)
    shot(page, "review_form")
    press(page, form)

    def accepted():
        scenes.reload()
        return scenes.filter_labels("ssa", state_is("accepted")).count("ssa.detections")

    wait_until(lambda: accepted() == skies, "the masks are not accepted", 20, page)
    shot(page, "review_done")
    page.keyboard.press("Escape")
    run_operator(page, "SSA: review masks", {"Masks": "ssa", "Action": "undo"})
    wait_until(lambda: accepted() == 0, "the masks are still accepted", 20, page)


def test_classes_are_renamed_and_the_grid_shows_it(app, scenes, shot):
    before = scenes.count_values("ssa.detections.label")["sky"]
    page = app(scenes)
    form = open_form(page, "SSA: rename classes", {"Masks": "ssa", "Names": "sky = heaven"})
    wait_until(lambda: f"sky to heaven: {before}" in form.inner_text(), "the form does not count", 20, page)
    press(page, form)
    wait_until(lambda: scenes.reload() or "heaven" in scenes.distinct("ssa.detections.label"), "no heaven", 20, page)
    page.keyboard.press("Escape")
    shot(page, "renamed")
