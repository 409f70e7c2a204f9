"""What can be read off a device while something runs on it: seconds, memory, rates, launches, and who waits for it.

Each has a counterpart on the CPU, so that the same code is rehearsed where there is no GPU; the figures say which.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

import fiftyone_ssa

PACKAGE = Path(fiftyone_ssa.__file__).parent
WAITS = "called a synchronizing CUDA operation"
"""What torch warns of in `torch.cuda.set_sync_debug_mode("warn")`."""
WAITING_CALLS = ("cpu", "item", "tolist")
"""Methods of a tensor that would wait for a GPU: on the CPU they stand for torch's warning."""
RUNTIME_LAUNCHES = ("cudaLaunch", "cuLaunch", "hipLaunch")
"""How the calls of the runtime and the driver begin that launch a kernel."""


def synchronize(device: torch.device) -> None:
    """Wait for everything the device was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(run: Callable[[], Any], device: torch.device) -> tuple[float, float, Any]:
    """Seconds, the process's CPU seconds, and the answer; the device is waited for at both ends."""
    synchronize(device)
    began, cpu_began = time.perf_counter(), time.process_time()
    answer = run()
    synchronize(device)
    return time.perf_counter() - began, time.process_time() - cpu_began, answer


def best(run: Callable[[], Any], device: torch.device, repeat: int) -> tuple[dict[str, Any], Any]:
    """Figures of the fastest of `repeat` runs, the peak of memory over all, and the last answer."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    runs = [timed(run, device) for _ in range(repeat)]
    seconds, cpu_seconds, _ = min(runs, key=lambda one: one[0])
    figures = {"seconds": round(seconds, 4), "cpu_seconds": round(cpu_seconds, 4), "runs": repeat, **peak(device)}
    return figures, runs[-1][2]


def peak(device: torch.device) -> dict[str, float]:
    """The highest memory since it was last reset: the allocator's and the process's on a GPU, resident on the CPU."""
    if device.type == "cuda":
        return {
            "peak_gb": round(torch.cuda.max_memory_allocated(device) / 1e9, 3),
            "peak_reserved_gb": round(torch.cuda.max_memory_reserved(device) / 1e9, 3),
        }
    return {"peak_resident_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3)}


def matrix_rate(device: torch.device, dtype: torch.dtype, *, tf32: bool = False) -> float:
    """TFLOP/s of a large square matrix product of random numbers, the median of several."""
    side, repeat = (8192, 10) if device.type == "cuda" else (512, 3)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        for _ in range(3):
            left @ right
        seconds = sorted(timed(lambda: left @ right, device)[0] for _ in range(repeat))
    finally:
        torch.set_float32_matmul_precision(before)
    return round(2.0 * side * side * side / seconds[repeat // 2] / 1e12, 4)


def tflop(run: Callable[[], Any]) -> float:
    """10^12 operations of matrix products, convolutions and attention in one run, on one thread."""
    threads, whole = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    torch.set_num_threads(1)  # what runs side by side is not counted
    torch.backends.mha.set_fastpath_enabled(False)  # nor is attention that torch computes in one piece
    try:
        with FlopCounterMode(display=False) as counter:
            run()
    finally:
        torch.set_num_threads(threads)
        torch.backends.mha.set_fastpath_enabled(whole)
    work: int = counter.get_total_flops()
    return round(work / 1e12, 5)


def launches(run: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """What torch.profiler saw of one run; see `profiling`."""
    with profiling(device) as told:
        run()
    return told


@contextmanager
def profiling(device: torch.device) -> Iterator[dict[str, Any]]:
    """Kernels, launches, copies and memory while it is open, and how long the device was busy; known when it closes.

    On the CPU calls of operators stand for launches.
    """
    told: dict[str, Any] = {}
    on_gpu = device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    synchronize(device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    with torch.profiler.profile(activities=[activity]) as profiler:
        began = time.perf_counter()
        yield told
        synchronize(device)
        told["seconds"] = round(time.perf_counter() - began, 4)
    told |= peak(device)
    events = _events(profiler)
    told |= _tally(events) if on_gpu else {"operator_calls": sum(name.startswith("aten::") for name, _, _ in events)}


def _tally(events: list[tuple[str, float, bool]]) -> dict[str, Any]:
    work = [(name, us) for name, us, on_device in events if on_device]
    copies = [us for name, us in work if name.startswith(("Memcpy", "Memset"))]
    called = [us for name, us, on_device in events if not on_device and name.startswith(RUNTIME_LAUNCHES)]
    longest = Counter[str]()
    for name, us in work:
        longest[name[:80]] += us  # type: ignore[assignment]
    return {
        "kernels": len(work) - len(copies),
        "copies": len(copies),
        "busy_ms": round(sum(us for _, us in work) / 1e3, 2),
        "copies_ms": round(sum(copies) / 1e3, 2),
        "launches": len(called),
        "launching_ms": round(sum(called) / 1e3, 2),
        "longest_ms": {name: round(us / 1e3, 2) for name, us in longest.most_common(8)},
    }


def _events(profiler: Any) -> list[tuple[str, float, bool]]:
    """Name, microseconds, and whether on the device, of every event; the raw ones, as torch's own list is slow."""
    raw = getattr(getattr(profiler, "profiler", None), "kineto_results", None)
    cpu = DeviceType.CPU
    if raw is None:
        return [(e.name, e.time_range.elapsed_us(), e.device_type != cpu) for e in profiler.events()]
    return [
        (e.name(), e.duration_ns() / 1e3, e.device_type() != cpu) for e in raw.events() if not e.is_user_annotation()
    ]


@contextmanager
def waits(device: torch.device) -> Iterator[Counter[str]]:
    """Counts, while it is open, the calls that wait for the device: by our own line, and the library's it came from."""
    found: Counter[str] = Counter()

    def note(message: Any, *_: Any, **__: Any) -> None:
        if WAITS in str(message):
            found[_place(sys._getframe(1))] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        with _told_of_waits(device):
            yield found


@contextmanager
def _told_of_waits(device: torch.device) -> Iterator[None]:
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return
    originals = {name: getattr(torch.Tensor, name) for name in WAITING_CALLS}

    def warning(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            warnings.warn(WAITS, UserWarning, stacklevel=2)
            return original(*arguments, **options)

        return call

    for name, original in originals.items():
        setattr(torch.Tensor, name, warning(original))
    try:
        yield
    finally:
        for name in WAITING_CALLS:  # the class inherits them
            delattr(torch.Tensor, name)


def _place(frame: FrameType | None) -> str:
    """`"models/decider.py:96 (transformers/.../file.py:12)"`: our innermost frame, and a library's within it."""
    inner = ""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            own = f"{path.relative_to(PACKAGE).as_posix()}:{frame.f_lineno} {frame.f_code.co_name}"
            return f"{own} ({inner})" if inner else own
        skipped = path.name in ("warnings.py", Path(__file__).name) or "torch" in path.parts
        if not inner and not skipped:
            inner = f"{'/'.join(path.parts[-3:])}:{frame.f_lineno}"
        frame = frame.f_back
    return f"outside of the package ({inner})"


class ModuleClock:
    """Seconds between the beginning and the end of every call of some kinds of modules, by their class's name.

    On a GPU by events in its stream, so that nothing is waited for; what the stream idles in between counts.
    """

    def __init__(self, device: torch.device, names: tuple[str, ...]) -> None:
        self._device, self._names = device, names
        self._open: list[Any] = []
        self._calls: list[tuple[str, Any, Any]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch the calls made while this is open."""
        hooks = torch.nn.modules.module
        handles = [
            hooks.register_module_forward_pre_hook(self._begin),
            hooks.register_module_forward_hook(self._end),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def figures(self) -> dict[str, dict[str, float]]:
        """Calls and milliseconds by class."""
        synchronize(self._device)
        told: dict[str, dict[str, float]] = {}
        for name, began, ended in self._calls:
            ms = began.elapsed_time(ended) if self._device.type == "cuda" else (ended - began) * 1e3
            entry = told.setdefault(name, {"calls": 0, "ms": 0.0})
            entry["calls"] += 1
            entry["ms"] = round(entry["ms"] + ms, 3)
        return told

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _begin(self, module: Any, _: Any) -> None:
        if type(module).__name__ in self._names:
            self._open.append(self._now())

    def _end(self, module: Any, _: Any, __: Any) -> None:
        name = type(module).__name__
        if name in self._names and self._open:
            self._calls.append((name, self._open.pop(), self._now()))
