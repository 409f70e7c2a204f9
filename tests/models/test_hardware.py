"""The machine as its driver tells it; a stand-in for `nvidia-smi` is a program of that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiftyone_ssa.models import hardware as module
from fiftyone_ssa.models.hardware import hardware


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A function that installs an `nvidia-smi` that prints a text and ends with a code."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(module, "version", lambda _: "2.11.0")
    module._ask.cache_clear()

    def install(text: str, code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
        program.chmod(0o755)

    yield install
    module._ask.cache_clear()


def test_gpus_are_told_with_their_free_memory(driver) -> None:  # type: ignore[no-untyped-def]
    driver("NVIDIA H100 80GB, 80896\\nTesla T4, 2048\\n")
    assert (hardware().name, hardware().is_gpu, hardware().free_gb) == ("NVIDIA H100 80GB", True, 79.0)
    assert hardware("cuda:1").name == "Tesla T4"
    assert hardware("cuda:2").name == "CPU"
    assert not hardware("cpu").is_gpu


@pytest.mark.parametrize(("text", "code"), [("", 1), ("No devices were found", 0), ("a, [N/A]", 0)])
def test_a_driver_that_knows_none_means_the_cpu(driver, text: str, code: int) -> None:  # type: ignore[no-untyped-def]
    driver(text, code)
    assert hardware().name == "CPU"


def test_a_torch_for_the_cpu_sees_no_gpu(driver, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    driver("NVIDIA H100 80GB, 80896\\n")
    monkeypatch.setattr(module, "version", lambda _: "2.11.0+cpu")
    assert hardware().name == "CPU"


def test_the_cpu_has_memory() -> None:
    free = hardware("cpu").free_gb
    assert free is None or free > 0.1
