"""Wholes and parts in the App: counted in the panel Masks, and a mask's place in its tree by the form."""

import re

import pytest

from fiftyone_ssa import levels
from fiftyone_ssa.labels.family import family_of
from tools.app import open_form, open_panel, press, settle, wait_until

pytestmark = pytest.mark.browser
LABEL = "SSA: show the parts of this"


@pytest.fixture
def sorted_(scenes):
    """The scenes, the engine's masks sorted into wholes and parts."""
    levels(scenes, "engine", progress=False)
    scenes.reload()
    return scenes


def with_parts(dataset):
    """A mask that has parts, the one with the most."""
    wholes = [mask.id for sample in dataset for mask in sample.engine.detections if mask.level == "whole"]
    return max(wholes, key=lambda mask: len(family_of(dataset, mask, "engine").ids("parts")))


def test_the_panel_counts_levels(app, sorted_, shot):
    page = app(sorted_)
    panel = open_panel(page, "Masks")
    panel.get_by_role("button", name="engine", exact=True).click()
    panel.get_by_text("Wholes and parts").wait_for(timeout=60_000)
    settle(page)
    panel.get_by_text("Wholes and parts").scroll_into_view_if_needed()
    shot(page, "parts-panel")


def test_a_selected_mask_shows_its_tree_and_opens_its_parts(app, sorted_, session, shot):
    page = app(sorted_)
    mask = with_parts(sorted_)
    session.view = sorted_.to_patches("engine").select([mask])
    page.get_by_text(re.compile(r"^1 patch$")).wait_for(timeout=60_000)
    settle(page)
    page.locator('[data-cy="looker"]').first.click(position={"x": 10, "y": 5})  # its check box
    wait_until(lambda: session.selected == [mask], "the patch is not selected", page=page)
    form = open_form(page, LABEL)
    form.get_by_text("(whole)").first.wait_for(timeout=60_000)
    shot(page, "parts-form")
    press(page, form)
    expected = set(family_of(sorted_, mask, "engine").ids("parts"))

    def shown():
        view = session.view
        return set(view.values("engine.detections.id", unwind=True)) if view is not None else set()

    wait_until(lambda: shown() == expected, "its parts are not shown", page=page)
    settle(page)
    shot(page, "parts-opened")
