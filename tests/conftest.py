"""Where the tests' data lies, and a private FiftyOne so that no test touches the user's own database."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

_home = Path(tempfile.mkdtemp(prefix="fiftyone-ssa-test-"))
# FiftyOne and torch read these when they are first imported, so they are set before any test module is.
os.environ.update(
    FIFTYONE_DATABASE_NAME=f"ssa-test-{os.getpid()}",
    FIFTYONE_DATABASE_DIR=str(_home / "mongo"),
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
# Handlers run last in, first out: FiftyOne's own, registered later, stops mongod before its folder goes.
atexit.register(shutil.rmtree, _home, ignore_errors=True)


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
