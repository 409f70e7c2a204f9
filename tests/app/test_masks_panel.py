"""The panel Masks in the App: what it counts, what a click and a drag show, that it is taken back, and the jobs."""

from types import SimpleNamespace

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_ssa.curation.confusions import confuses, count_confusions
from fiftyone_ssa.curation.counts import BINS, count_names
from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels.job_record import JobRecord, begin
from tools.app import open_panel, wait_until

pytestmark = pytest.mark.browser
FIELD = "engine"
MASKS = f"{FIELD}.detections"
NAMES, CONFIDENCE = 1, 2
"""Which of the charts of the tab Overview they are: the engine gives no margins."""


class Panel:
    """The panel Masks in an open page, with one of its tabs and the engine's masks."""

    def __init__(self, page, tab="Overview"):
        self.page, self.content = page, open_panel(page, "Masks")
        self.press(FIELD)
        self.says(" images")
        self.press(tab)

    def says(self, text, seconds=20):
        def told():
            return text in self.content.inner_text()

        wait_until(told, f"the panel does not say {text!r}", seconds, self.page)

    def keeps_saying(self, text, seconds=5):
        """The App may load its page anew after it has shown something, and must not forget it."""
        self.page.wait_for_timeout(1_000 * seconds)
        self.says(text, 1)

    def chart(self, number):
        """A chart of the tab, counted from the top."""
        return self.content.locator(".js-plotly-plot").nth(number)

    def click_bar(self, chart, place):
        """Click a bar, counted from the top."""
        bar = self.chart(chart).locator(".barlayer .point path").nth(place)
        bar.wait_for()
        bar.scroll_into_view_if_needed()
        box = bar.bounding_box()
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.wait_for_timeout(300)  # Plotly takes a click for the bar that it has seen the pointer on
        self.page.mouse.down()
        self.page.mouse.up()

    def drag(self, chart, low, high):
        """Drag over a share of a histogram's width."""
        area = self.chart(chart).locator(".nsewdrag").first
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        self.page.mouse.move(box["x"] + low * box["width"], box["y"] + 0.4 * box["height"])
        self.page.mouse.down()
        for share in (low + 0.02, (low + high) / 2, high):
            self.page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.6 * box["height"])
            self.page.wait_for_timeout(60)
        self.page.mouse.up()

    def press(self, button):
        self.content.get_by_role("button", name=button).first.click()


def line(samples):
    """What the panel says of a view."""
    found = count_names(samples, FIELD)
    return f"{counted(found.masks, 'mask')} in {counted(found.images, 'image')}"


def test_a_click_on_a_name_filters_the_app(app, scenes, shot):
    panel = Panel(app(scenes))
    panel.says(line(scenes))
    shot(panel.page, "masks_overview")
    name = next(iter(count_names(scenes, FIELD).classes))
    panel.click_bar(NAMES, 0)
    filtered = line(scenes.filter_labels(FIELD, F("label") == name))
    panel.says(filtered)
    panel.keeps_saying(filtered)
    shot(panel.page, "masks_filtered")
    panel.press("Runs")
    panel.says("Nothing ran on this dataset yet")
    panel.press("Overview")
    panel.says(filtered)
    panel.press("Close")
    panel.says(line(scenes))
    panel.keeps_saying(line(scenes))


def test_a_drag_over_the_histogram_filters_the_app(app, scenes, shot):
    panel = Panel(app(scenes))
    panel.says(line(scenes))
    panel.drag(CONFIDENCE, 0.81, 0.99)
    panel.says("Close: masks of confidence")
    low = int(0.81 * BINS) / BINS
    panel.says(line(scenes.filter_labels(FIELD, (F("confidence") >= low) & (F("confidence") <= 1))))
    shot(panel.page, "masks_range")
    panel.press("Close")
    panel.says(line(scenes))


def test_a_click_on_two_names_opens_the_masks_that_confuse_them(app, scenes, session, shot):
    panel = Panel(app(scenes), "Confusions")
    first = count_confusions(scenes, FIELD)[0]
    panel.says("Taken for each other")
    panel.says(first.name)
    shot(panel.page, "masks_confusions")
    panel.click_bar(0, 0)
    panel.says(f"Close: masks that confuse {first.name} and {first.other}")
    expected = scenes.filter_labels(FIELD, confuses(first.name, first.other))
    wait_until(lambda: session.view is not None and session.view._stages, "no view opens", page=panel.page)
    assert session.view.count(MASKS) == expected.count(MASKS) > 0
    panel.press("Close")
    wait_until(lambda: session.view is None or not session.view._stages, "the view stays", page=panel.page)


def test_where_two_fields_disagree_and_how_evaluations_compare(app, scenes, session, shot):
    panel = Panel(app(scenes), "Compare")
    panel.says("have different names")
    shot(panel.page, "masks_compare")
    panel.click_bar(0, 0)
    wait_until(lambda: session.view is not None and session.view._stages, "no view opens", page=panel.page)
    assert session.view.count(MASKS) > 0
    panel.press("Scores")
    panel.says("mIoU")
    shot(panel.page, "masks_scores")


def test_jobs_are_shown_while_they_run_and_announced_when_they_end(app, scenes, shot):
    panel = Panel(app(scenes), "Runs")
    panel.says("Nothing ran on this dataset yet")
    record = JobRecord(begin("annotate", scenes, label_field=FIELD))
    with record.running():
        record.progress(SimpleNamespace(iteration=1, total=4))
        panel.says("1 of 4 images")
        shot(panel.page, "masks_runs")
        record.progress(SimpleNamespace(iteration=3, total=4))
        panel.says("3 of 4 images")
    record.end("done", "4 images named")
    panel.page.get_by_text("annotate: 4 images named").wait_for(timeout=20_000)
    panel.says("done")
    shot(panel.page, "masks_runs_done")


def test_a_dataset_without_masks_is_told_calmly(app, bare_scenes, shot):
    bare_scenes.delete_sample_field("regions")
    page = app(bare_scenes)
    content = open_panel(page, "Masks")
    wait_until(lambda: "No field of this dataset holds masks yet" in content.inner_text(), "no sentence", page=page)
    shot(page, "masks_none")
    assert isinstance(bare_scenes, fo.Dataset)
