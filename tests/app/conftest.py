"""The App in a browser, with the plugin installed from this checkout, and drawn scenes to try it on."""

import pytest

from fiftyone_ssa.plugin import install_plugin
from tools.app import browse, screenshot, serve, visit, why_no_browser

NAME = "scenes"


def pytest_collection_modifyitems(items):
    reason = why_no_browser()
    for item in items:
        if reason and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def session():
    """FiftyOne's session with its App's server, one for all tests. `session.view` follows what the page shows."""
    if reason := why_no_browser():
        pytest.skip(reason)
    import fiftyone as fo  # here, as a skip where there is no database is an error outside tests

    fo.config.show_progress_bars = False
    install_plugin()
    with serve() as session:
        yield session


@pytest.fixture
def app(session, tmp_path):
    """A function that opens a dataset in the App and answers the page (playwright)."""
    with browse() as page:
        yield lambda dataset: visit(page, session, dataset)
        screenshot(page, "last", tmp_path)  # what a failed test has seen last


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
    dataset = _labelled.clone(NAME, persistent=True)
    yield dataset
    dataset.delete()


@pytest.fixture
def bare_scenes(_labelled):
    """The same scenes with nothing but their truth: ground_truth, regions, seed."""
    import fiftyone as fo

    dataset = fo.Dataset(NAME, persistent=True)
    for scene in _labelled.select_fields(["ground_truth", "regions", "seed"]):
        values = {field: scene[field] and scene[field].copy() for field in ("ground_truth", "regions")}
        dataset.add_sample(fo.Sample(filepath=scene.filepath, seed=scene.seed, **values))
    dataset.mask_targets = {"ground_truth": dict(_labelled.mask_targets["ground_truth"])}
    yield dataset
    dataset.delete()
