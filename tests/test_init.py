"""The package's face: every public name is there, and importing it loads none of the libraries behind it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fiftyone_ssa as ssa

HEAVY = ("torch", "transformers", "ray", "fiftyone", "spacy", "open_clip", "supervision", "pycocotools", "cv2")


def test_importing_loads_no_library_behind_it() -> None:
    code = f"import fiftyone_ssa, fiftyone_ssa.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    root = Path(__file__).parents[1]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ssa.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(ssa)
    assert getattr(ssa, name)
    if name != "__version__":
        assert getattr(ssa, name).__doc__


@pytest.mark.parametrize("name", [name for name in ssa.__all__ if name != "__version__"])
def test_every_argument_is_documented_with_its_default(name: str) -> None:
    """One line each, in FiftyOne's form: `name (default): what it is`."""
    function = getattr(ssa, name)
    section = inspect.getdoc(function).split("Args:\n")[1].split("\n\n")[0]
    described = re.findall(r"^    (\w+)(?: \((.+?)\))?: ", section, re.MULTILINE)
    assert [argument for argument, _ in described] == list(inspect.signature(function).parameters)
    for argument, default in described:
        given = inspect.signature(function).parameters[argument].default
        if given is None:  # or a needed argument that may still come under a former name
            assert default in ("None", ""), argument
        elif not callable(given):
            assert default == ("" if given is inspect.Parameter.empty else repr(given).replace("'", '"')), argument


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'annotat'"):
        ssa.annotat  # noqa: B018
