"""Processes that work side by side: order, errors, what becomes of one that ends, and that none is left."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from fiftyone_ssa.errors import DeviceLostError, InputError
from fiftyone_ssa.naming.workers import WorkerLostError, Workers, insist

PARTS = """
import os
import time
from functools import partial

from fiftyone_ssa.errors import DeviceLostError, InputError


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__("odd")


def make(index):
    print("what a library prints is no answer")
    return partial(work, index)


def work(index, value):
    if value == "die":
        os._exit(9)
    if value == "bad":
        raise InputError("a bad value")
    if value == "lost":
        raise DeviceLostError("the GPU is gone")
    if value == "odd":
        raise OddError(1, 2)
    if value == "who":
        return index, os.getpid()
    time.sleep(0.02 * (value % 3))
    return value * 2


def no_models(index):
    raise InputError("no such model")


def ends(index):
    os._exit(3)
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "worker_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("worker_parts")
    monkeypatch.delitem(importlib.sys.modules, "worker_parts")  # type: ignore[attr-defined]


def test_answers_come_in_order_and_errors_as_they_are(parts: ModuleType) -> None:
    with Workers(parts.make, 2) as workers:
        taken: list[int] = []

        def values() -> Iterator[int]:
            for value in range(12):
                taken.append(value)
                yield value

        answers = workers.map(values())
        assert next(answers) == 0
        assert len(taken) <= 4  # no more than two for each process are held
        assert list(answers) == [2 * value for value in range(1, 12)]
        with pytest.raises(InputError, match="a bad value"):
            list(workers.map([1, "bad", 2]))
        with pytest.raises(DeviceLostError, match="the GPU is gone"):
            workers.ask("lost")
        with pytest.raises(RuntimeError, match="OddError: odd"):
            workers.ask("odd")
        assert workers.ask(4) == 8
        assert {index for index, _ in workers.map(["who"] * 20)} <= {0, 1}
        pids = [process.pid for process in psutil.Process().children() if "workers" in " ".join(process.cmdline())]
        assert len(pids) == 2
    assert not any(map(psutil.pid_exists, pids))


def test_a_process_that_ends_is_replaced(parts: ModuleType) -> None:
    with Workers(parts.make, 1) as workers:
        with pytest.raises(WorkerLostError, match="killed"):
            workers.ask("die")
        _, pid = workers.ask("who")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError):
            workers.ask(1)
        _, pid = workers.ask("who")
        os.kill(pid, signal.SIGKILL)
        assert insist(workers, 1) == 2
        with pytest.raises(InputError, match="ended 2 times"):
            insist(workers, "die")


def test_what_cannot_begin_says_why(parts: ModuleType) -> None:
    with pytest.raises(InputError, match="no such model"):
        Workers(parts.no_models, 2)
    with pytest.raises(InputError, match="ended as it began"):
        Workers(parts.ends, 1)


def test_the_working_folder_stands_in_for_no_library(
    parts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    for name in ("pickle", "subprocess", "numpy", "torch"):
        (tmp_path / f"here/{name}.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("sys.path", [folder for folder in sys.path if folder])
    with Workers(parts.make, 1) as workers:
        assert workers.ask(4) == 8
