"""How much memory this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says what a container may use, in its newer and its older form; "max" or a huge number is no limit."""


def memory_bytes() -> int:
    """The machine's memory, or its container's share; a terabyte where the system does not say."""
    limits = [1 << 40]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in CONTAINER_LIMITS:
        try:
            limits.append(int(Path(name).read_text()))
        except (OSError, ValueError):
            continue
    return min(limit for limit in limits if limit > 0)
