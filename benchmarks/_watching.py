"""A command's processes while it works: memory and processor time, looked at whenever it has told one more line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

Point = dict[str, Any]
_PROGRAMS = {"raylet": "raylet", "gcs_server": "gcs", "mongod": "database"}
"""Those of Ray and FiftyOne, by their names."""


def held(driver: psutil.Process, *, memory: bool = True) -> dict[str, tuple[int, float]]:
    """Memory (USS, bytes; 0 without `memory`) and processor time (s) of a process and all below it, by what they are.

    Kinds are driver (with what it starts itself), workers (Ray's actors, with what they start), tasks (Ray's other
    workers, idle ones too), raylet, gcs, agents (the rest of Ray), and database (mongod).
    """
    found: dict[str, tuple[int, float]] = {}
    waiting = [(driver, "driver")]
    while waiting:
        process, kind = waiting.pop()
        try:
            times = process.cpu_times()
            bytes_held = process.memory_full_info().uss if memory else 0
            below = process.children()
        except psutil.Error:  # it ended meanwhile
            continue
        before = found.get(kind, (0, 0.0))
        found[kind] = (before[0] + bytes_held, before[1] + times.user + times.system)
        for child in below:
            with contextlib.suppress(psutil.Error):
                waiting.append((child, _kind(child, kind)))
    return found


def watched(command: Sequence[str], lines: Path, look: Callable[[psutil.Process], Point]) -> tuple[list[Point], str]:
    """Run a command, and look at it whenever the file `lines` has more lines of JSON.

    Answers a point each: how many `lines` there are, the last `line`, what `look` answers; and what the command said.
    Raises AssertionError unless the command ends well.
    """
    points: list[Point] = []
    with tempfile.TemporaryFile("w+") as words:
        run = subprocess.Popen(command, stdout=words, stderr=subprocess.STDOUT)
        while run.poll() is None:
            whole = lines.read_text().rpartition("\n")[0].splitlines() if lines.exists() else []
            if len(whole) > (points[-1]["lines"] if points else 0):
                points.append({"lines": len(whole), "line": json.loads(whole[-1]), **look(psutil.Process(run.pid))})
            time.sleep(0.05)
        words.seek(0)
        said = words.read()
    assert run.returncode == 0, said
    return points, said


def _kind(process: psutil.Process, parent: str) -> str:
    name, words = process.name(), process.cmdline()
    title = words[0] if words else name
    if name in _PROGRAMS:
        return _PROGRAMS[name]
    if parent == "raylet":
        return "workers" if title.startswith("ray::MapWorker") else "tasks" if title.startswith("ray::") else "agents"
    return "agents" if parent == "driver" and any("/ray/" in word for word in words) else parent
