"""A section that goes wrong in the way that its scale asks for, after one good figure."""

from __future__ import annotations

import os
import time
from typing import Any


def measure(figures: Any, scale: str) -> None:
    figures.measure("good", lambda: {"seconds": 1})
    if scale == "figure":
        figures.measure("bad", lambda: [][0])
        figures.measure("long", dict, needs_s=1e6)
        figures.measure("later", lambda: 2)
    if scale == "raises":
        raise KeyError("outside of a figure")
    if scale == "dies":
        os._exit(9)
    if scale == "hangs":
        time.sleep(600)
