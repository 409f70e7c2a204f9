"""The panel "Review masks" in a browser: ten masks by keys and by buttons, and what the database holds after each."""

from collections import Counter

import pytest

from tools.app import open_panel, wait_until

pytestmark = pytest.mark.browser

FIELD = "engine"


class Panel:
    """The open panel, and what the database says of its masks."""

    def __init__(self, page, dataset, root):
        self.page, self.dataset, self.root = page, dataset, root
        self.keys = self.clicks = 0

    def at(self, name):
        return self.root.locator(f'[data-cy="review-{name}"]')

    @property
    def mask(self):
        """The shown mask's id."""
        return self.root.get_attribute("data-mask")

    @property
    def reviewed(self):
        return int(self.at("progress").get_attribute("data-reviewed"))

    def shown(self):
        """Wait until the queue's mask is drawn, and answer its id."""
        drawn = self.at("picture")
        return wait_until(
            lambda: drawn.count() and self.mask and drawn.get_attribute("data-shown") == self.mask and self.mask,
            "no mask is drawn",
            page=self.page,
        )

    def key(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
            self.keys += 1

    def click(self, name):
        self.at(name).click()
        self.clicks += 1

    def saved(self):
        """Wait until no decision is on its way."""
        wait_until(lambda: self.root.get_attribute("data-waiting") == "0", "a decision is not saved", page=self.page)

    def stored(self, mask):
        """The mask as the database has it."""
        self.dataset.reload()
        found = self.dataset.select_labels(ids=mask, fields=FIELD).first()
        return found[FIELD].detections[0]

    def states(self):
        """How many masks have which `review`."""
        self.saved()
        self.dataset.reload()
        return Counter(self.dataset.values(f"{FIELD}.detections.review", unwind=True))


@pytest.fixture
def panel(app, scenes):
    """The panel beside the samples, at the engine's masks."""
    page = app(scenes)
    open_panel(page, "Review masks")
    panel = Panel(page, scenes, page.locator('[data-cy="review-masks"]').first)
    begin(panel)
    return panel


def begin(panel, field=FIELD):
    """Choose a field's masks, and give the keys to the panel."""
    panel.shown()
    panel.at("field").click()
    panel.page.locator(f'[data-cy="review-field-{field}"]').click()
    masks = panel.dataset.values(f"{field}.detections.id", unwind=True)
    wait_until(lambda: panel.mask in masks, "the field was not changed", page=panel.page)
    panel.root.click(position={"x": 300, "y": 4})
    panel.shown()


def test_ten_masks_by_keys(panel, shot):
    decided = []
    for key in ("Enter", "1", "2", "x", "Enter", "3", "x", "1", "Enter", "2"):
        mask = panel.shown()
        before = panel.stored(mask)
        if key.isdigit():
            key = str(min(int(key), len(before.class_proposals)))
        panel.key(key)
        assert panel.shown() != mask
        panel.saved()
        decided.append((key, before, panel.stored(mask)))
    shot(panel.page, "review-keys")
    for key, before, after in decided:
        proposal = before.class_proposals[int(key) - 1] if key.isdigit() else before.label
        expected = {"Enter": "accepted", "x": "rejected"}.get(key) or (
            "accepted" if proposal == before.label else "corrected"
        )
        assert (after.review, after.label) == (expected, proposal), key
        assert after.reviewed_at is not None
    assert panel.reviewed == 10
    assert panel.keys == 10  # one a decision
    times = [float(ms) for ms in panel.root.get_attribute("data-latencies").split()]
    assert len(times) == 10  # each is measured; how long is for benchmarks: tests assert no timings


def test_ten_masks_by_buttons(panel, shot):
    before = panel.states()
    for name in (
        "accept",
        "proposal-1",
        "reject",
        "accept",
        "proposal-2",
        "accept",
        "reject",
        "accept",
        "accept",
        "reject",
    ):
        mask = panel.shown()
        panel.click(name if panel.at(name).count() else "proposal-1")
        assert panel.shown() != mask
    shot(panel.page, "review-buttons")
    after = panel.states()
    assert sum(after[state] - before[state] for state in ("accepted", "corrected", "rejected")) == 10
    assert after["rejected"] == 3
    assert panel.clicks == 10


def test_a_name_is_typed_in_two_keys_besides_its_letters(panel, shot):
    mask = panel.shown()
    panel.key("t")
    panel.page.keyboard.type("window")
    panel.root.locator('[data-cy="review-name-option"]').first.wait_for()
    shot(panel.page, "review-name")
    panel.key("Enter")
    assert panel.keys == 2
    assert panel.shown() != mask
    panel.saved()
    assert (panel.stored(mask).label, panel.stored(mask).review) == ("window", "corrected")

    mask, panel.keys = panel.shown(), 0
    panel.key("t")
    panel.page.keyboard.type("win")  # a name that a known one begins with
    panel.key("ArrowUp", "Enter")
    assert panel.keys == 3
    assert panel.shown() != mask
    panel.saved()
    assert panel.stored(mask).label == "win"


def test_undo_back_and_skip(panel, shot):
    first = panel.shown()
    was = panel.stored(first).label
    panel.key("x")
    second = panel.shown()
    panel.key("ArrowRight")
    panel.key("Enter")
    panel.shown()
    panel.key("z", "z")  # the acceptance, then the rejection
    assert panel.shown() == first
    panel.saved()
    assert panel.states()["rejected"] == panel.states()["accepted"] == 0
    assert panel.stored(first).label == was
    assert panel.reviewed == 0
    panel.key("Enter")
    assert panel.shown() == second
    panel.key("ArrowLeft")
    assert panel.shown() == first
    assert panel.at("decided").inner_text() == "accepted"
    panel.key("x")  # decided anew
    panel.saved()
    assert panel.stored(first).review == "rejected"
    assert panel.reviewed == 1
    shot(panel.page, "review-undo")
    begin(panel, "ssa")  # which the sidebar does not show
    panel.key("x", "z")
    panel.saved()
    assert not panel.at("notice").count()
    panel.dataset.reload()
    assert panel.dataset.count("ssa.detections.review") == 0
    assert panel.states()["rejected"] == 1


def test_all_of_a_class_above_a_margin_after_a_count(panel, shot):
    label = panel.at("label").inner_text()
    before = panel.states()
    panel.click("many")
    panel.at("many-margin").fill("0")
    counted = panel.at("many-count")
    wait_until(lambda: counted.get_attribute("data-masks"), "nothing was counted", page=panel.page)
    number = int(counted.get_attribute("data-masks"))
    assert panel.states() == before  # the count changes nothing
    shot(panel.page, "review-many")
    panel.click("many-accept")
    wait_until(lambda: panel.reviewed == number, "the count is not the progress", page=panel.page)
    assert panel.states()["accepted"] == number > 0
    panel.dataset.reload()
    rows = [
        row
        for scene in panel.dataset
        for row in scene[FIELD].detections
        if row.has_field("review") and row.review == "accepted"
    ]
    assert {row.label for row in rows} == {label}
    panel.at("undo-one").first.click()
    wait_until(lambda: panel.reviewed == 0, "undo changed no progress", page=panel.page)
    assert panel.states()["accepted"] == 0


def test_keys_stay_with_who_has_the_focus(panel):
    page, mask = panel.page, panel.shown()
    page.locator('[data-cy="panel-tab-samples"]').click()
    page.mouse.move(5, 5)
    page.keyboard.press("x")
    page.evaluate("document.body.append(Object.assign(document.createElement('input'), {id: 'other'}))")
    page.locator("#other").focus()
    panel.root.hover(position={"x": 300, "y": 4})
    page.keyboard.press("x")  # typed elsewhere
    page.wait_for_timeout(300)
    assert panel.mask == mask
    panel.root.click(position={"x": 300, "y": 4})
    page.keyboard.press("`")  # the App's own keys still do what they do
    page.locator('[data-cy="operators-browser-search"]').wait_for()
    page.keyboard.press("Escape")


def test_the_selected_masks_together_in_the_modal(panel, shot):
    page = panel.page
    mask = panel.shown()
    panel.click("show")
    page.wait_for_selector('[data-cy="modal"] canvas', timeout=30_000)
    page.locator('[data-cy="modal"] [data-cy="panel-tab-review_masks"]').click()
    modal = Panel(page, panel.dataset, page.locator('[data-cy="modal"] [data-cy="review-masks"]'))
    modal.shown()
    modal.click("apply")
    shot(page, "review-modal")
    modal.key("x")
    modal.saved()
    assert modal.stored(mask).review == "rejected"
    assert modal.states()["rejected"] == 1


def test_everything_reviewed_and_no_masks_are_sentences(panel, shot):
    from fiftyone_ssa.curation.decisions import review

    review(panel.dataset, "accept", FIELD)  # by a colleague, say
    panel.click("refresh")
    panel.at("finished").wait_for(timeout=20_000)
    shot(panel.page, "review-finished")
    assert "Everything is reviewed" in panel.root.inner_text()


def test_a_refused_decision_returns_its_mask(panel, shot):
    mask = panel.shown()
    panel.dataset.delete_labels(ids=mask, fields=FIELD)
    panel.key("Enter")
    panel.at("notice").wait_for(timeout=20_000)
    assert "Could not accept it" in panel.at("notice").inner_text()
    assert panel.reviewed == 0
    shot(panel.page, "review-refused")
