"""Find its like in the App: by words, by what is selected, by the button of the review, and the plot in its panel."""

import re

import pytest

from fiftyone_ssa import embed, find_like
from fiftyone_ssa.labels.brain import plot_key
from tools.app import open_form, open_panel, press, settle, wait_until

pytestmark = pytest.mark.browser
LABEL = "SSA: show masks like these"


@pytest.fixture
def embedded(scenes):
    """The scenes with embeddings of the engine's masks."""
    embed(scenes, "engine", "mini-engine", progress=False)
    return scenes


def shown_ids(session):
    view = session.view
    return view.values("id") if view is not None and view._is_patches else []


@pytest.fixture
def review(app, embedded):
    """The panel "Review masks" at the engine's masks, the first of them drawn."""
    page = app(embedded)
    panel = open_panel(page, "Review masks")
    panel.locator('[data-cy="review-field"]').click()
    page.locator('[data-cy="review-field-engine"]').click()
    panel.locator('[data-cy="review-like"]').wait_for(timeout=60_000)
    return panel


def like_one(dataset, mask):
    """The mask and those like it, as the form finds them by its defaults."""
    return list(find_like(dataset, [mask], label_field="engine").ids)


def test_words_open_the_nearest(app, embedded, session, shot):
    page = app(embedded)
    form = open_form(page, LABEL, {"What to look for": "tree", "At most": 12})
    shot(page, "like-form")
    press(page, form)
    expected = list(find_like(embedded, text="tree", label_field="engine", k=12).ids)
    wait_until(lambda: shown_ids(session) == expected, "the patches like a tree are not shown", page=page)
    settle(page)
    shot(page, "like-words")


def check_like_selected(page, dataset, session, mask, shot, name):
    """The form knows that one mask is selected, and opens those like it."""
    form = open_form(page, LABEL)
    form.get_by_text("masks like the 1 selected").wait_for(timeout=60_000)
    shot(page, f"{name}-form")
    press(page, form)
    expected = like_one(dataset, mask)
    wait_until(lambda: shown_ids(session) == expected, "the masks like it are not shown", page=page)
    settle(page)
    shot(page, name)


def test_a_selected_patch_opens_those_like_it(app, embedded, session, shot):
    page = app(embedded)
    session.view = embedded.to_patches("engine")
    page.get_by_text(re.compile(r"^\d+ patches$")).wait_for(timeout=60_000)
    settle(page)  # the patches are drawn
    page.locator('[data-cy="looker"]').nth(2).click(position={"x": 10, "y": 5})  # its check box
    [mask] = wait_until(lambda: session.selected, "no patch is selected", page=page)
    check_like_selected(page, embedded, session, mask, shot, "like-selected")


def test_a_selected_label_opens_those_like_it(review, embedded, session, shot):
    page = review.page
    mask = review.locator('[data-cy="review-masks"]').get_attribute("data-mask")
    review.locator('[data-cy="review-show"]').click()
    page.locator('[data-cy="modal"]').wait_for(timeout=60_000)
    wait_until(lambda: [row["label_id"] for row in session.selected_labels] == [mask], "it is not selected", page=page)
    check_like_selected(page, embedded, session, mask, shot, "like-label")


def test_the_reviews_button_opens_those_like_its_mask(review, embedded, session, shot):
    mask = review.locator('[data-cy="review-masks"]').get_attribute("data-mask")
    review.locator('[data-cy="review-like"]').click()
    expected = like_one(embedded, mask)
    wait_until(lambda: shown_ids(session) == expected, "the masks like it are not shown", page=review.page)
    settle(review.page)
    shot(review.page, "like-review")


def test_without_embeddings_the_form_says_how_to_keep_some(app, scenes):
    form = open_form(app(scenes), LABEL)
    form.get_by_text("name them anew with an engine preset and its embeddings kept").first.wait_for(timeout=60_000)


def test_the_apps_own_panel_shows_the_plot(app, embedded, shot):
    page = app(embedded)
    panel = open_panel(page, "Embeddings")
    panel.get_by_text(plot_key("engine")).first.click()
    settle(page)
    shot(page, "like-plot")
    panel.locator("canvas").first.wait_for(timeout=60_000)
