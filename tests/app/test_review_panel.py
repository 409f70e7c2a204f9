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


def begin(panel):
    """Choose the engine's masks, and give the keys to the panel."""
    panel.shown()
    panel.at("field").click()
    panel.page.locator(f'[data-cy="review-field-{FIELD}"]').click()
    masks = panel.dataset.values(f"{FIELD}.detections.id", unwind=True)
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
