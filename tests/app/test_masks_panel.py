"""The panel Masks in the App: what each tab says, what a click and a drag show, that it stays, and is taken back."""

import re
from types import SimpleNamespace

import pytest
from fiftyone import ViewField as F

from fiftyone_ssa.curation.confusions import confuses, count_confusions
from fiftyone_ssa.curation.counts import BINS, count_names
from fiftyone_ssa.curation.disagreement import count_disagreement, named_differently
from fiftyone_ssa.curation.standings import standings
from fiftyone_ssa.errors import counted
from fiftyone_ssa.labels.job_record import JobRecord, begin
from fiftyone_ssa.labels.jobs import cancel, jobs
from tools.app import open_form, open_panel, run_operator, wait_until

pytestmark = pytest.mark.browser
FIELD = "engine"
MASKS = f"{FIELD}.detections"
NAMES, CONFIDENCE = 1, 2
"""Which of the charts of the tab Overview they are: the engine gives no margins."""


class Panel:
    """The panel Masks in an open page, with one of its tabs and the engine's masks."""

    def __init__(self, page, tab="Overview"):
        self.page, self.content = page, open_panel(page, "Masks")
        self.says(" images")
        self.press(FIELD)
        self.press(tab)

    def says(self, text, seconds=20):
        def told():
            return text in self.content.inner_text()

        wait_until(told, f"the panel does not say {text!r}", seconds, self.page)

    def keeps_saying(self, text, seconds=2):
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

    def press(self, button, place=0):
        """Press a button by how its text begins, the first one or another."""
        self.content.get_by_role("button", name=re.compile(rf"^{re.escape(button)}")).nth(place).click()

    def opens(self, session, expected):
        """A click has opened a view with these masks, of which there are some; Close takes it back."""
        wait_until(lambda: session.view is not None and session.view._stages, "no view opens", page=self.page)
        assert session.view.count(MASKS) == expected.count(MASKS) > 0
        self.press("Close")
        wait_until(lambda: session.view is None or not session.view._stages, "the view stays", page=self.page)


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
    panel.drag(CONFIDENCE, 0.31, 0.99)
    panel.says("Close: masks of confidence")
    low = int(0.31 * BINS) / BINS
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
    panel.opens(session, scenes.filter_labels(FIELD, confuses(first.name, first.other)))


def test_a_click_on_a_difference_opens_the_masks_that_two_fields_name_differently(app, scenes, session, shot):
    panel = Panel(app(scenes), "Compare")
    found = count_disagreement(scenes, FIELD, "ssa")
    panel.says(f"{found.different:,} of them, {100 * found.different / found.common:.0f} %, have different names")
    shot(panel.page, "masks_compare")
    pair = next(iter(found.pairs))
    panel.click_bar(0, 0)
    panel.says(f"Close: masks that are {pair[0]} in {FIELD} and {pair[1]} in ssa")
    shot(panel.page, "masks_difference")
    panel.opens(session, scenes.filter_labels(FIELD, named_differently(scenes, FIELD, "ssa", pair, found.by)))
    panel.press("regions", 1)  # the first one would show that field
    other = count_disagreement(scenes, FIELD, "regions")
    panel.says(f"{other.common:,} of {other.masks:,} masks are in both")


def test_scores_of_every_evaluation_stand_side_by_side(app, scenes, shot):
    panel = Panel(app(scenes), "Scores")
    found = standings(scenes)
    assert len(found) == 2
    for row in found:
        panel.says(f"{row.eval_key} ({row.pred_field})")
        panel.says(f"{100 * row.scores.mean_iou:.1f}")
    worst = min(zip(found[-1].scores.iou, found[-1].scores.names, strict=True))[1]
    panel.says(worst)
    shot(panel.page, "masks_scores")


def test_jobs_are_shown_while_they_run_and_announced_when_they_end(app, scenes, shot):
    panel = Panel(app(scenes), "Runs")
    panel.says("Nothing ran on this dataset yet")
    shot(panel.page, "masks_runs_none")
    record = JobRecord(begin("annotate", scenes, label_field=FIELD))
    with record.running():
        record.progress(SimpleNamespace(iteration=1, total=4))
        panel.says("1 of 4 images")
        shot(panel.page, "masks_runs")
        record.progress(SimpleNamespace(iteration=3, total=4))
        panel.says("3 of 4 images")
    with panel.page.expect_request(lambda request: "paginateSamples" in (request.post_data or "")):
        record.end("failed", "the disk is full")  # and the grid reads its samples anew
    panel.page.get_by_text("annotate: the disk is full").wait_for(timeout=20_000)
    panel.says("Resume")
    panel.press("Log")
    panel.says("nothing was said")
    shot(panel.page, "masks_runs_failed")
    JobRecord(begin("annotate", scenes, label_field=FIELD)).end("done", "4 images named")
    panel.says("4 images named")
    assert not panel.content.get_by_role("button", name="Resume").count()


def test_a_job_that_starts_moves_the_open_panel_to_its_tab_and_keeps_it_there(app, scenes, shot):
    panel = Panel(app(scenes))
    panel.says(line(scenes))
    run_operator(panel.page, "SSA: name masks", {"Preset": "mini-ssa", "Label field": "again"})
    panel.says("annotate again")
    shot(panel.page, "masks_job")
    (job,) = jobs(scenes)
    cancel(job.id)
    panel.says("cancelled")


def test_a_dataset_without_masks_is_told_calmly(app, bare_scenes, shot):
    bare_scenes.delete_sample_field("regions")
    page = app(bare_scenes)
    content = open_panel(page, "Masks")
    wait_until(lambda: "No field of this dataset holds masks yet" in content.inner_text(), "no sentence", page=page)
    shot(page, "masks_none")


def test_without_a_dataset_a_form_says_so(app, scenes, session, shot):
    page = app(scenes)
    session.dataset = None
    page.goto(f"http://127.0.0.1:{session.server_port}/")
    page.get_by_text("No dataset").first.wait_for(timeout=20_000)
    form = open_form(page, "SSA: name masks")
    told = "No dataset is open; open one in the App"
    wait_until(lambda: told in form.inner_text(), "the form does not say so", page=page)  # it comes empty at first
    shot(page, "no_dataset")
