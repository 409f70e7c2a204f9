"""A wing imports those below it, never above: the contract of `[tool.importlinter]` in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def house(tmp_path):
    """A copy of the code without weights, and a function that holds it against the contract."""
    for package in ("fiftyone_ssa", "operators", "panels"):
        ignored = shutil.ignore_patterns("weights", "__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def check():
        if not LINTER.is_file():
            pytest.skip("needs import-linter (pip install -e .[dev])")
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run([LINTER, "--no-cache"], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return tmp_path / "fiftyone_ssa", check


def test_no_wing_imports_one_above_it(house):
    _, check = house
    run = check()
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("low", "high"), [("masks/rle", "labels.documents"), ("naming/ssa", "folders.annotate"), ("types", "masks.rle")]
)
def test_an_arrow_turned_round_is_found(house, low, high):
    package, check = house
    with (package / f"{low}.py").open("a") as file:
        file.write(f"\n\ndef _late():\n    import fiftyone_ssa.{high}\n")
    run = check()
    assert run.returncode != 0
    assert f"fiftyone_ssa.{low.replace('/', '.')} -> fiftyone_ssa.{high}" in run.stdout


def test_every_module_has_its_layer(house):
    package, _ = house
    text = (ROOT / "pyproject.toml").read_text()
    names = [path.stem for path in package.iterdir() if path.stem != "__init__" and path.suffix in ("", ".py")]
    assert [name for name in names if f"fiftyone_ssa.{name}" not in text] == []


def test_the_top_level_stays_small(house):
    package, _ = house
    assert len([path for path in package.iterdir() if path.is_file()]) <= 8
