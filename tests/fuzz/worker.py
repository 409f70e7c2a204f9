"""Reads the seeded inputs of one format, in a process that may die of it: `python -m tests.fuzz.worker FORMAT FROM TO`.

Prints `{"read": n, "refused": n, "faults": [[seed, what], ...], "grown_mb": n}`. The seed that is being read stands in
the file PLACE/seed, so that one that kills the process, or takes longer than a few seconds, is known.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path

import PIL.Image

from tests.fuzz import inputs

CPU_SECONDS_EACH, SECONDS_EACH = 10, 120
MEMORY_EACH = 1_500_000_000
"""Bytes of address space on top of what the process has once its libraries are loaded."""


def main(name: str, first: int, last: int, place: Path) -> None:
    """Read the inputs of the seeds from `first` to `last`, which is left out."""
    warnings.simplefilter("ignore")
    inputs.PLACE = place
    PIL.Image.MAX_IMAGE_PIXELS = 2_000_000  # pictures that claim more take time to decode, and nothing else is new
    fuzz = inputs.FORMATS[name]
    counts = {"read": 0, "refused": 0}
    faults: list[tuple[int, str]] = []
    _one(fuzz, f"{name}-warm-up")  # loads the libraries
    _limit_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handle = os.open(place / "seed", os.O_CREAT | os.O_WRONLY)
    for seed in range(first, last):
        os.pwrite(handle, f"{seed:<12}".encode(), 0)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS_EACH)  # kills, as nothing else stops C code
        signal.setitimer(signal.ITIMER_REAL, SECONDS_EACH)
        outcome, fault = _one(fuzz, f"{name}-{seed}")
        if fault:
            faults.append((seed, fault))
        else:
            counts[outcome] += 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(json.dumps({**counts, "faults": faults, "grown_mb": grown_mb}))


def _one(fuzz: inputs.Fuzz, seed: str) -> tuple[str, str]:
    from fiftyone_ssa.errors import InputError

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # inputs that are nested deeply are made with ease, and read as ever
    made = fuzz.make(random.Random(seed))
    sys.setrecursionlimit(limit)
    try:
        fuzz.read(made)
    except InputError as error:
        text = str(error)
        return "refused", "" if text and "\n" not in text and len(text) < 2000 else f"not one sentence: {text[:200]!r}"
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "", f"{type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name}:{place.lineno})"
    return "read", ""


def _limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_EACH, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
