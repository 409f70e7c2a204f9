"""What this machine can run models on, asked without torch, which takes seconds to load."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ASK = ("nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits")
FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK=1"
"""What lets the CPU do what MPS lacks; torch reads it when it is imported."""
ASKED_FOR_S = 30
"""How long an answer of the driver holds, in seconds."""


@dataclass(frozen=True)
class Hardware:
    """A device and the memory that is free on it."""

    name: str
    """`CPU`, or the GPU's name."""
    free_gb: float | None
    """None if it is not known."""
    cores: int = 1
    """What a CPU's models can use of it."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is one."""
        return self.name != "CPU"


def hardware(device: str = "auto") -> Hardware:
    """What `device` (auto, cpu, cuda, cuda:N) stands for on this machine; the CPU where the GPU is not there.

    `mps` counts as the CPU: its memory is the machine's, its models are in float32, and no one has timed them.
    """
    index = device.partition(":")[2]
    found = () if device in ("cpu", "mps") else gpus()
    position = int(index) if index.isdecimal() else 0
    return found[position] if position < len(found) else Hardware("CPU", _free_memory_gb(), _cores())


def has_mps() -> bool:
    """Whether this is a Mac whose GPU torch calls `mps`, asked without torch."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")


def gpus() -> tuple[Hardware, ...]:
    """The GPUs that torch would see, in the driver's order."""
    try:
        if version("torch").endswith("+cpu") or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            return ()
    except PackageNotFoundError:
        return ()
    return _ask(int(time.monotonic() / ASKED_FOR_S))


@lru_cache(maxsize=1)
def _ask(_: int) -> tuple[Hardware, ...]:
    try:
        answer = subprocess.run(ASK, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (line.rpartition(",") for line in answer.splitlines())
    return tuple(Hardware(name, int(free) / 1024) for name, _, free in rows if free.strip().isdecimal())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_memory_gb() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return int(kilobytes) / (1 << 20) if kilobytes else None
