"""Find its like in the App: by words from the form, and the plot in its own panel."""

import pytest

from fiftyone_ssa import embed, find_like
from fiftyone_ssa.labels.brain import plot_key
from tools.app import open_form, open_panel, press, wait_until

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


def test_words_open_the_nearest(app, embedded, session, shot):
    page = app(embedded)
    form = open_form(page, LABEL, {"What to look for": "tree", "At most": 12})
    shot(page, "like-form")
    press(page, form)
    expected = list(find_like(embedded, text="tree", label_field="engine", k=12).ids)
    wait_until(lambda: shown_ids(session) == expected, "the patches like a tree are not shown", page=page)
    page.wait_for_timeout(2500)
    shot(page, "like-words")


def test_without_embeddings_the_form_says_how_to_keep_some(app, scenes):
    form = open_form(app(scenes), LABEL)
    form.get_by_text("annotate with keep_embeddings=True").first.wait_for(timeout=10_000)


def test_the_apps_own_panel_shows_the_plot(app, embedded, shot):
    page = app(embedded)
    panel = open_panel(page, "Embeddings")
    panel.get_by_text(plot_key("engine")).first.click()
    page.wait_for_timeout(4000)
    shot(page, "like-plot")
    panel.locator("canvas").first.wait_for(timeout=20_000)
