"""The panel's script: small, built from the sources that lie beside it, and its parts right; without a browser."""

import shutil
import subprocess
from pathlib import Path

import pytest

JS = Path(__file__).parents[2] / "js"
BUNDLE = JS / "bundle/review_masks.js"
MOST_BYTES = 60_000


def _node(*arguments, cwd):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node (apt-get install nodejs)")
    done = subprocess.run([node, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_is_small():
    assert 5_000 < BUNDLE.stat().st_size < MOST_BYTES


def test_the_script_is_what_the_sources_make(tmp_path):
    if not (JS / "node_modules/esbuild").is_dir():
        pytest.skip("needs esbuild (make js)")
    _node("build.mjs", str(tmp_path / "again.js"), cwd=JS)
    assert (tmp_path / "again.js").read_bytes() == BUNDLE.read_bytes(), "js/src has changed: make js"


def test_queue_keys_names_and_prefetching():
    _node("--test", "tests/js/", cwd=JS.parent)
