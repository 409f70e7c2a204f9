"""What is refused before any work, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.naming.arguments import (
    check_batch_size,
    check_device,
    check_dtype,
    check_flag,
    check_limit,
    check_path,
)


def test_what_is_right_comes_back() -> None:
    assert check_batch_size(np.int64(3)) == 3
    assert check_limit(None) is None
    assert check_limit(10**9) == 10**9
    assert check_flag("overwrite", np.True_) is True
    assert [check_device(device) for device in ("auto", "cpu", "cuda", "cuda:12")] == ["auto", "cpu", "cuda", "cuda:12"]
    assert check_dtype("bfloat16") == "bfloat16"


@pytest.mark.parametrize("value", [0, -1, True, False, "4", 4.0, float("nan"), None, [4], 10**400, 65537, np.True_])
def test_no_batch_size(value: Any) -> None:
    with pytest.raises(InputError, match="batch_size must be a whole number from 1 to 65536, got "):
        check_batch_size(value)


@pytest.mark.parametrize("value", [0, -5, True, "1", 2.5])
def test_no_limit(value: Any) -> None:
    with pytest.raises(InputError, match="limit must be a whole number above 0, got "):
        check_limit(value)


@pytest.mark.parametrize("value", ["yes", "", 1, 0, None, "everything"])
def test_no_flag(value: Any) -> None:
    with pytest.raises(InputError, match="overwrite must be True or False, got "):
        check_flag("overwrite", value)


@pytest.mark.parametrize(
    "value", ["gpu", "cuda:", "cuda:-1", "cuda:99999999999", "CPU", "cuda:1\n", "", 0, None, b"cpu"]
)
def test_no_device(value: Any) -> None:
    with pytest.raises(InputError, match="device must be auto, cpu, cuda, cuda:N or mps, got "):
        check_device(value)


@pytest.mark.parametrize("value", ["half", "int8", "", None, float, np.float32])
def test_no_dtype(value: Any) -> None:
    with pytest.raises(InputError, match="dtype must be one of auto, float32, bfloat16, float16, got "):
        check_dtype(value)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert check_path("out_dir", "~/x") == tmp_path / "x"
    assert check_path("out_dir", Path("a")) == Path("a")
    (tmp_path / "~x").mkdir()
    assert check_path("out_dir", "~x") == Path("~x")  # what is there is meant


@pytest.mark.parametrize("value", [None, 5, "", b"out", ["out"], "a\0b", "x" * 300, "~nouser-of-this-name/x"])
def test_no_paths(value: Any) -> None:
    with pytest.raises(InputError, match="out_dir") as refused:
        check_path("out_dir", value)
    assert len(str(refused.value)) < 200


def test_a_wrong_value_is_shown_in_a_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert shown("x" * 500) == "'" + "x" * 76 + "..."
    assert shown(10**5000) == "a number of 16610 bits"
    assert shown([10**5000]) == "a list with a number of thousands of digits"
