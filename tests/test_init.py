"""The package's face: every public name is there, and importing it loads none of the libraries behind it."""

from __future__ import annotations

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


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'annotat'"):
        ssa.annotat  # noqa: B018
