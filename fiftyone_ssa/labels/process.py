"""Which process holds or does something, and whether it still lives: what leases and job records go by."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


def describe_process(pid: int | None = None) -> dict[str, Any]:
    """A process of this machine (by default this one) as it is recorded: machine, id, and when it began."""
    pid = os.getpid() if pid is None else pid
    return {
        "host": socket.gethostname(),
        "place": place(),
        "pid": pid,
        "began": psutil.Process(pid).create_time(),
    }


def has_ended(recorded: Mapping[str, Any]) -> bool | None:
    """Whether a recorded process has ended; None for one of another machine, which only its heartbeat tells."""
    if recorded["place"] != place():
        return None
    try:
        process = psutil.Process(recorded["pid"])
        other = abs(process.create_time() - recorded["began"]) > 1  # the id was given to another process since
        return bool(other or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def place() -> str:
    """Where process ids mean the same: a machine since it was started, and on it a container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)
