"""Masks of Parquet labels in the App: chosen by the form, shown by the panel's tab, corrected, and returned."""

import fiftyone as fo
import pytest

from tools.app import dismiss, open_form, open_panel, press, settle, wait_until

pytestmark = pytest.mark.browser
pytest.importorskip("duckdb")


@pytest.fixture
def out(tmp_path):
    from tests.scale.outputs import make_output

    return make_output(tmp_path)[0]


def test_masks_are_chosen_corrected_and_returned(app, scenes, session, out, shot):
    page = app(scenes)
    fields = {"Folder of Parquet labels": str(out), "Condition": "label = 'car'", "Name": "app-cars"}
    form = open_form(page, "SSA: open masks of Parquet labels", fields)
    settle(page)
    shot(page, "parquet_form")
    press(page, form)
    wait_until(lambda: fo.dataset_exists("app-cars"), "no dataset was made", 60, page)
    dataset = fo.load_dataset("app-cars")
    try:
        wait_until(lambda: session.dataset is not None and session.dataset.name == "app-cars", "not open", 60, page)
        dismiss(page, form)
        page = app(dataset)
        panel = open_panel(page, "Masks")
        panel.get_by_role("button", name="Parquet", exact=True).click()
        panel.get_by_text("These masks are from").wait_for(timeout=60_000)
        settle(page)
        shot(page, "parquet_tab")
        sample = dataset.first()
        sample.ssa.detections[0].label = "truck"
        sample.save()
        panel.get_by_role("button", name="Return corrections").click()
        press(page, page.locator('[data-cy="operators-prompt-modal"], [data-cy="operators-prompt-drawer"]'))
        wait_until(lambda: list(out.glob("corrections/*.parquet")), "nothing was returned", 60, page)
        settle(page)
        shot(page, "parquet_returned")
    finally:
        session.dataset = None
        dataset.delete()
