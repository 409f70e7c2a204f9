"""The App itself, in a browser: masks are shown, the jobs are found, a form runs one."""

import pytest

from fiftyone_ssa.quickstart.run import workspace
from tools.app import finished, open_form, run_operator, settle, wait_until

pytestmark = pytest.mark.browser


def test_masks_change_the_picture_and_the_forms_are_found(app, scenes, shot):
    page = app(scenes)
    image, box = page.locator('[data-cy="looker"]').last, page.locator('[data-cy="checkbox-engine"]')
    box.click()
    page.mouse.move(800, 900)
    page.wait_for_timeout(500)
    bare = image.screenshot()
    box.click()
    page.mouse.move(800, 900)
    wait_until(lambda: image.screenshot() != bare, "the masks change nothing in the picture", page=page)
    form = open_form(page, "SSA: name masks", {"Preset": "mini-ssa", "Label field": "mine"})
    form.get_by_role("button", name="Execute").wait_for(timeout=60_000)
    shot(page, "form")


def test_a_form_runs_its_job(app, scenes):
    page = app(scenes)
    run_operator(page, "SSA: repaint class maps")
    assert "0 class maps painted, 4 unchanged" in finished(scenes, page)


def test_the_quickstarts_workspace_has_the_panel_beside_the_samples(app, session, scenes, shot):
    page = app(scenes)
    session.spaces = workspace()
    try:
        panel = page.locator('[data-cy="panel-content-masks"]')
        panel.get_by_text("Overview").first.wait_for(timeout=30_000)
        page.locator('[data-cy="looker"] canvas').first.wait_for(timeout=60_000)
        settle(page)
        shot(page, "quickstart")
    finally:
        session.spaces = None
