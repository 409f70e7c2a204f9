"""What Ray and writing cost beside the bare pipeline, and whether two workers give the rows of one process.

    python -m benchmarks.on_ray [--preset mini-engine] [--tars 5] [--a-tar 6] [--rounds 2] [--size 300 450]

Three ways over the same tars, in turns: "bare" reads, decodes and labels, and throws the annotations away; "one" is
`annotate --format parquet` in this process; "ray" the same with `--ray local` and one worker. Seconds are of all tars
but the first, in which models are loaded: from its end to the last one's. "overhead" is against "bare", of the sums of
all rounds. At last two workers do it once, whose rows are compared with those of one process. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks._tars import write_tars

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # torch reads it when it is first imported


def bare(data: Path, preset: Any) -> float:
    """Label every image and keep nothing."""
    from fiftyone_ssa.naming.run import Task, run
    from fiftyone_ssa.scale.inputs import find_shards
    from fiftyone_ssa.scale.job import Job
    from fiftyone_ssa.scale.stages import Here
    from fiftyone_ssa.scale.store import Store
    from fiftyone_ssa.scale.tars import read_tar

    job = Job(preset, Store("memory://bare"), device="cpu")
    pipeline, ends = job.build(), []
    for shard in find_shards([data], needs_masks=job.needs_masks):
        records = read_tar(shard, needs_masks=job.needs_masks)
        for result in run((Task(each.id, Here().inputs(each, False)) for each in records), pipeline):
            assert result.annotation is not None, result.error
        ends.append(time.monotonic())
    return ends[-1] - ends[0]


def written(data: Path, out: Path, preset: Any, **more: Any) -> float:
    """Label every image and write its rows."""
    from fiftyone_ssa.scale.running import annotate_shards

    summary = annotate_shards(data, out, preset, device="cpu", progress=False, **more)
    assert not summary.errors, summary.errors
    ends = [json.loads(line)["seconds"] for line in (out / "progress.jsonl").read_text().splitlines()]
    return float(ends[-1] - ends[0])


def same_rows(one: Path, other: Path) -> bool:
    """Whether two output folders hold the same masks."""
    order = [("image_id", "ascending"), ("mask_id", "ascending")]
    first, second = (pq.read_table(out / "masks").sort_by(order) for out in (one, other))
    return bool(first.equals(second)) and len(first) > 0


def benchmark(folder: Path, preset: Any, rounds: int) -> dict[str, Any]:
    """The figures."""
    data = folder / "data"
    seconds: dict[str, list[float]] = {"bare": [], "one": [], "ray": []}
    for number in range(rounds):
        ways: dict[str, Callable[[], float]] = {
            "bare": lambda: bare(data, preset),
            "one": lambda number=number: written(data, folder / f"one{number}", preset),  # type: ignore[misc]
            "ray": lambda number=number: written(data, folder / f"ray{number}", preset, ray="local"),  # type: ignore[misc]
        }
        for name, measure in ways.items():
            seconds[name].append(round(measure(), 2))
            print(number, name, seconds[name][-1], file=sys.stderr, flush=True)
    written(data, folder / "two", preset, ray="local", workers=2)
    least = sum(seconds["bare"])
    return {
        "seconds": seconds,
        "overhead": {name: round(sum(found) / least - 1, 3) for name, found in seconds.items()},
        "same_rows": {name: same_rows(folder / "one0", folder / name) for name in ("ray0", "two")},
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_ray")
    parser.add_argument("--preset", default="mini-engine")
    parser.add_argument("--tars", type=int, default=5)
    parser.add_argument("--a-tar", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(300, 450), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    from fiftyone_ssa.presets import load_preset

    preset = load_preset(options.preset, {"masks.source": "existing"})
    with tempfile.TemporaryDirectory() as place:
        write_tars(Path(place) / "data", options.tars, options.a_tar, tuple(options.size))
        print(json.dumps({**vars(options), **benchmark(Path(place), preset, options.rounds)}, indent=1))


if __name__ == "__main__":
    main()
