"""Sections of a benchmark, each in a process of its own with its own share of the time.

A section that fails, hangs, or leaves the device in a state that fails every later call costs its own figures only,
and keeps those that it has measured until then.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiftyone_ssa.files.atomic import write_whole

GRACE_S = 5.0
"""What a section may take beyond its share: it looks at the clock between figures only."""
POLL_S = 0.2


@dataclass(frozen=True)
class Section:
    """`module`'s `measure(figures, scale)`, and how much of the time that is left it may take."""

    name: str
    module: str
    weight: float


class Figures:
    """What a section has measured so far; saved whole after each figure."""

    def __init__(self, name: str, path: Path, deadline: float) -> None:
        self.name, self.deadline = name, deadline
        self._path = path
        self._lost = ""
        self.values: dict[str, Any] = {}

    @property
    def left_s(self) -> float:
        """Seconds until this section must end."""
        return self.deadline - time.monotonic()

    def measure(self, what: str, function: Callable[[], Any], *, needs_s: float = 0.0) -> Any:
        """The function's answer, which is also saved and printed; None where it failed or there is no time for it.

        Where a function answers nothing its seconds are saved.

        `needs_s` is how long it will take, as far as one knows.
        """
        if self._lost:
            return self._note(what, {"skipped": f"the device was lost in {self._lost!r}"})
        if self.left_s < needs_s or self.left_s <= 0:
            return self._note(what, {"skipped": f"{self.left_s:.0f} s were left, it needs about {needs_s:.0f}"})
        began, reason = time.monotonic(), ""
        try:
            answer = function()
        except Exception as error:  # noqa: BLE001 - a figure that cannot be had must not cost the others
            reason = _described(error)
        if reason:  # outside the handler, where the error's frames no longer hold tensors
            self._lost = "" if _device_answers() else what
            return self._note(what, {"failed": reason})
        took_s = time.monotonic() - began
        self._note(what, {"seconds": round(took_s, 2)} if answer is None else answer, took_s)
        return answer

    def _note(self, what: str, value: Any, took_s: float | None = None) -> None:
        self.values[what] = value
        write_whole(self._path, json.dumps(self.values, default=str).encode())
        took = "" if took_s is None else f" ({took_s:.1f} s)"
        say(f"{self.name} | {what}{took}: {_short(value)}")


def run_section(
    section: Section, scale: Any, folder: Path, seconds: float, *, fork: bool
) -> Generator[dict[str, Any], None, None]:
    """A section's figures as they come, all of them last; under `"ended"` why, where it did not come to its end.

    `fork` spares the process its imports; a process that shall use CUDA must start anew.
    """
    path = folder / f"{section.name}.json"
    if fork:
        importlib.import_module(section.module)
    context: Any = multiprocessing.get_context("fork" if fork else "spawn")
    began = time.monotonic()
    process = context.Process(target=_work, args=(section, scale, path, began + seconds), daemon=True)
    process.start()
    read = 0
    try:
        while process.is_alive() and time.monotonic() < began + seconds + GRACE_S:
            process.join(POLL_S)
            if path.exists() and path.stat().st_mtime_ns != read:
                read = path.stat().st_mtime_ns
                yield json.loads(path.read_text())
        was_alive = process.is_alive()
    finally:  # also where this run is stopped: the process would write to a folder that is being removed
        if process.is_alive():
            process.kill()
            process.join()
    if was_alive:
        ended = f"it was stopped after its {seconds:.0f} s"
    else:
        ended = "" if process.exitcode == 0 else f"it ended with status {process.exitcode}"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    figures["seconds_in_all"] = round(time.monotonic() - began, 1)
    if ended:
        say(f"{section.name} | {ended}")
        figures["ended"] = ended
    yield figures


def say(text: str) -> None:
    """A line of progress, at once."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def _work(section: Section, scale: Any, path: Path, deadline: float) -> None:
    figures = Figures(section.name, path, deadline)
    try:
        importlib.import_module(section.module).measure(figures, scale)
    except Exception:  # noqa: BLE001 - told where the section's figures are read
        # printed, not raised: multiprocessing would print it again
        say(f"{section.name} failed outside its figures:\n{traceback.format_exc()}")
        sys.exit(1)


def _described(error: BaseException) -> str:
    """An error in one line, with where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}{place}"


def _device_answers() -> bool:
    """Whether the GPU, if one is in use, still works: an error inside a kernel spoils every later call."""
    import torch

    gc.collect()
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return True
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True


def _short(value: Any, most: int = 300) -> str:
    text = json.dumps(value, default=str) if isinstance(value, dict | list | str) else str(value)
    return text if len(text) <= most else f"{text[:most]} ..."
