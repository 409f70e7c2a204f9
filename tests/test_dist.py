"""The wheel alone is enough: in an environment that has its requirements, and nothing of the checkout."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="needs hatchling (pip install hatchling)")

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from tools.doc_blocks import ROOT

pytestmark = pytest.mark.dist
DATA = (".toml", ".txt", ".json", ".safetensors", ".html", ".js", ".css", ".yml", ".md")
"""What the package has besides code, that a wheel may forget."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return Path(path)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel in it; requirements come from that of the tests, whose own package is hidden."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env/bin/python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True)
    (packages,) = folder.glob("env/lib/python3*/site-packages")
    # a path of a .pth file is not searched for .pth files in turn: the checkout that is installed there stays unseen
    (packages / "requirements.pth").write_text("\n".join(site.getsitepackages()))
    return folder


def run(folder: Path, *command: str) -> str:
    """What a program of the environment prints, run outside the checkout."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    # plugins and datasets of its own; the database is the tests'
    own = {"FIFTYONE_DATABASE_NAME": "dist", "HOME": str(folder)}
    own |= {f"FIFTYONE_{name}_DIR": str(folder / name) for name in ("PLUGINS", "DEFAULT_DATASET", "MODEL_ZOO")}
    program, *arguments = command
    done = subprocess.run(
        [folder / "env/bin" / program, *arguments], cwd=folder, env=kept | own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_holds_every_file_of_the_package(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "fiftyone_ssa"], cwd=ROOT, capture_output=True, text=True, check=True)
    needed = {name for name in tracked.stdout.split() if name.endswith((".py", *DATA)) and (ROOT / name).exists()}
    assert len(needed) > 100
    assert needed <= held
    assert {
        f"fiftyone_ssa/plugin_files/{name}" for name in ("fiftyone.yml", "__init__.py", "operators/__init__.py")
    } <= held


def test_sdist_builds_the_same_wheel(wheel, tmp_path):
    (path,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
        top = archive.getnames()[0].partition("/")[0]
    (again,) = WheelBuilder(str(tmp_path / top)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    names = {entry.filename: entry.CRC for entry in zipfile.ZipFile(wheel).infolist()}
    assert {entry.filename: entry.CRC for entry in zipfile.ZipFile(again).infolist()} == names


def test_quickstart_runs_from_the_wheel(installed, database):
    where = run(installed, "python", "-c", "import fiftyone_ssa; print(fiftyone_ssa.__file__)").strip()
    assert Path(where).is_relative_to(installed)
    table = run(installed, "fiftyone-ssa", "quickstart", "--no-app", "--samples", "1")
    assert "mIoU of SSA" in table
    run(installed, "fiftyone-ssa", "plugin", "install")
    assert (installed / "PLUGINS/fiftyone-ssa").resolve() == Path(where).parent / "plugin_files"
    assert "all that fiftyone.yml lists" in run(installed, "fiftyone-ssa", "plugin", "status")
