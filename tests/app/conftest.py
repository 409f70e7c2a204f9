"""The App in a browser, with the plugin installed from this checkout, and drawn scenes to try it on.

Loading the App takes five seconds of processor time, so all tests share one page, which goes from dataset to dataset.
One that fails or leaves a dialog open gives the next one a new page.
"""

import itertools

import pytest

from fiftyone_ssa.plugin import install_plugin
from tools.app import browse, leave, screenshot, serve, visit, why_no_browser

DIALOGS = '[data-cy="operators-prompt-modal"], [data-cy="operators-prompt-drawer"], [data-cy="modal"]'
numbers = itertools.count()


def pytest_collection_modifyitems(items):
    reason = why_no_browser()
    for item in items:
        if reason and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.failed = report.failed or getattr(item, "failed", False)
    return report


@pytest.fixture(scope="package")
def session():
    """FiftyOne's session with its App's server, one for all tests. `session.view` follows what the page shows."""
    if reason := why_no_browser():
        pytest.skip(reason)
    import fiftyone as fo  # here, as a skip where there is no database is an error outside tests

    fo.config.show_progress_bars = False
    install_plugin()
    with serve() as session:
        yield session


class Pages:
    """The one page of all tests, until it is given up."""

    def __init__(self):
        self.open, self.page = None, None

    def get(self):
        if self.page is None:
            self.open = browse()
            self.page = self.open.__enter__()
        return self.page

    def give_up(self):
        if self.page is not None:
            self.open.__exit__(None, None, None)
        self.page = None


@pytest.fixture(scope="package")
def _pages():
    pages = Pages()
    yield pages
    pages.give_up()


@pytest.fixture
def app(request, session, _pages, tmp_path):
    """A function that opens a dataset in the App and answers the page (playwright)."""
    page = _pages.get()
    yield lambda dataset: visit(page, session, dataset)
    if getattr(request.node, "failed", False):
        screenshot(page, f"last-{request.node.name}", tmp_path)
        _pages.give_up()
    elif page.locator(DIALOGS).count():
        _pages.give_up()
    if _pages.page is None:
        session.dataset = None
    else:
        leave(page, session)


@pytest.fixture
def shot(tmp_path):
    """A function that leaves a picture of the page: `shot(page, "name")`."""
    return lambda page, name: screenshot(page, name, tmp_path)


@pytest.fixture(scope="session")
def _labelled():
    import fiftyone as fo

    from fiftyone_ssa.quickstart.run import DATASET, quickstart

    quickstart(4, progress=False, say=lambda _: None)
    return fo.load_dataset(DATASET)


@pytest.fixture
def scenes(_labelled):
    """Four drawn scenes with their truth, named by mini-ssa (`ssa`) and mini-engine (`engine`), of the test's own."""
    dataset = _labelled.clone(f"scenes-{next(numbers)}", persistent=True)
    yield dataset
    dataset.delete()


@pytest.fixture
def bare_scenes(_labelled):
    """The same scenes with nothing but their truth: ground_truth, regions, seed."""
    import fiftyone as fo

    dataset = fo.Dataset(f"scenes-{next(numbers)}", persistent=True)
    for scene in _labelled.select_fields(["ground_truth", "regions", "seed"]):
        values = {field: scene[field] and scene[field].copy() for field in ("ground_truth", "regions")}
        dataset.add_sample(fo.Sample(filepath=scene.filepath, seed=scene.seed, **values))
    dataset.mask_targets = {"ground_truth": dict(_labelled.mask_targets["ground_truth"])}
    yield dataset
    dataset.delete()
