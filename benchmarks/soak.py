"""Long runs over tars with a segmenter that takes no time: whether memory and throughput stay what they were.

    python -m benchmarks.soak [--images 3000] [--ray-images 5000] [--a-tar 100] [--size 300 450] [--workers 2]

Once in one process, once on Ray with `--workers`. Each committed shard is a point: "mb" is the memory that the driver's
and the workers' processes hold for themselves (USS), "cpu_ms" their processor time an image since the shard before.
Wall time says little on a machine that others use; "of_loop" is "cpu_ms" in times of a fixed loop, which this process
measures at each point, since a core that is shared is slower for both. First and last are means of the first and the
last fifth of the points, the first two left out, in which models and libraries are loaded. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks._tars import stand_in, write_tars

WARMING = 2
"""Points at the start that count for nothing."""
Figures = dict[str, Any]


def soak(folder: Path, out: Path, shards: int, a_tar: int, more: Sequence[str]) -> Figures:
    """Annotate the tars of a folder, and look at the processes whenever a shard was committed."""
    command = [sys.executable, "-m", "fiftyone_ssa.cli", "annotate", str(folder / "data"), str(out)]
    command += [*stand_in(folder), "--format", "parquet", "--device", "cpu", *more]
    started = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    points: list[Figures] = []
    while run.poll() is None:
        if (done := _done(out / "progress.jsonl")) > (points[-1]["shards"] if points else 0):
            points.append({"shards": done, **_held(psutil.Process(run.pid))})
        time.sleep(0.2)
    told, _ = run.communicate()
    figures = {"images": shards * a_tar, "wall_s": round(time.monotonic() - started, 1), "exit": run.returncode}
    return figures | {"said": told.strip().splitlines()[-1]} | _summary(points, a_tar)


def _done(lines: Path) -> int:
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def _held(driver: psutil.Process) -> Figures:
    """Memory of the driver and of the workers, and the processor time of both."""
    found = {"driver": [0, 0.0], "workers": [0, 0.0]}
    for process in [driver, *driver.children(recursive=True)]:
        try:
            title = " ".join(process.cmdline()[:1])
            kind = "driver" if process == driver else "workers" if title.startswith("ray::MapWorker") else ""
            if kind:
                times = process.cpu_times()
                found[kind][0] += process.memory_full_info().uss
                found[kind][1] += times.user + times.system
        except psutil.Error:  # it ended meanwhile
            continue
    return {f"{kind}_mb": round(uss / 1e6, 1) for kind, (uss, _) in found.items()} | {
        "cpu_s": sum(seconds for _, seconds in found.values()),
        "loop_ms": _loop_ms(),
    }


def _loop_ms() -> float:
    """Processor time of a loop that is always the same."""
    started = time.process_time()
    sum(number * number for number in range(300_000))
    return 1000 * (time.process_time() - started)


def _summary(points: list[Figures], a_tar: int) -> Figures:
    """First and last fifth of what matters, and their ratio."""
    steps = [
        {**point, "cpu_ms": 1000 * (point["cpu_s"] - before["cpu_s"]) / (a_tar * (point["shards"] - before["shards"]))}
        for before, point in zip(points[WARMING:], points[WARMING + 1 :], strict=False)
    ]
    steps = [{**step, "of_loop": step["cpu_ms"] / step["loop_ms"]} for step in steps]
    figures: Figures = {"points": len(steps)}
    fifth = max(1, len(steps) // 5)
    for name in ("driver_mb", "workers_mb", "cpu_ms", "loop_ms", "of_loop"):
        first, last = ([step[name] for step in part] for part in (steps[:fifth], steps[-fifth:]))
        if any(first):
            one, other = statistics.fmean(first), statistics.fmean(last)
            figures[name] = {"first": round(one, 2), "last": round(other, 2), "ratio": round(other / one, 3)}
    return figures


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--ray-images", type=int, default=600)
    parser.add_argument("--a-tar", type=int, default=50)
    parser.add_argument("--size", type=int, nargs=2, default=(300, 450), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    runs = {"one process": (options.images, []), "ray": (options.ray_images, ["--ray", "local"])}
    runs["ray"][1].extend(["--workers", str(options.workers)])
    report: Figures = {"a_tar": options.a_tar, "size_hw": list(options.size), "workers": options.workers}
    for name, (images, more) in runs.items():
        with tempfile.TemporaryDirectory() as place:
            folder, shards = Path(place), images // options.a_tar
            write_tars(folder / "data", shards, options.a_tar, tuple(options.size))
            report[name] = soak(folder, folder / "out", shards, options.a_tar, more)
            print(name, report[name], file=sys.stderr, flush=True)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
