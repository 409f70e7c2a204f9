"""What Ray and writing cost beside the bare pipeline, and whether two workers give the rows of one process.

    python -m benchmarks.on_ray [--preset mini-engine] [--tars 6] [--a-tar 12] [--rounds 2] [--size 300 450]
        [--one-core]

Three ways over the same tars, in turns, each a process of its own with one thread of torch's: "bare" reads, decodes and
labels, and throws the annotations away; "one" is `annotate --format parquet`; "ray" the same with `--ray local` and one
worker. What counts begins at the end of the first tar, by which models are loaded, and ends with the last tar:
"wall_s", and "cpu_s" of the processes, those of Ray by their kinds. "overhead" is against "bare", of the sums of all
rounds. `--one-core` binds all of it to one core, where nothing that Ray does is free. At last two workers do it once,
whose rows are compared with those of one process. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from benchmarks._tars import write_tars
from benchmarks._watching import held, watched

Figures = dict[str, Any]
BARE = "from benchmarks.on_ray import bare; import sys; bare(*sys.argv[1:])"


def bare(data: str, out: str, preset: str) -> None:
    """Label every image and keep nothing; a line of JSON a tar goes to the progress file of `out`."""
    from fiftyone_ssa.naming.run import Task, run
    from fiftyone_ssa.presets import load_preset
    from fiftyone_ssa.scale.inputs import find_shards
    from fiftyone_ssa.scale.job import Job
    from fiftyone_ssa.scale.stages import Here
    from fiftyone_ssa.scale.store import Store
    from fiftyone_ssa.scale.tars import read_tar

    job = Job(load_preset(preset, {"masks.source": "existing"}), Store("memory://bare"), device="cpu")
    pipeline = job.build()
    Path(out).mkdir()
    with (Path(out) / "progress.jsonl").open("w") as lines:
        for shard in find_shards([data], needs_masks=job.needs_masks):
            records = read_tar(shard, needs_masks=job.needs_masks)
            for result in run((Task(each.id, Here().inputs(each, False)) for each in records), pipeline):
                assert result.annotation is not None, result.error
            print(json.dumps({"time": time.time()}), file=lines, flush=True)


def measured(command: list[str], out: Path) -> Figures:
    """Seconds of a run from the end of its first tar to that of its last, and those before, in which it starts."""
    began = time.time()
    points, _ = watched(command, out / "progress.jsonl", lambda process: {"cpu": held(process, memory=False)})
    first, last = points[0], points[-1]
    cpu = {kind: round(spent - first["cpu"].get(kind, (0, 0.0))[1], 2) for kind, (_, spent) in last["cpu"].items()}
    assert first["lines"] == 1, "the first tars were done before anybody looked; give them more images"
    return {
        "start_s": round(first["line"]["time"] - began, 1),
        "wall_s": round(last["line"]["time"] - first["line"]["time"], 2),
        "cpu_s": round(sum(cpu.values()), 2),
        "cpu_by_kind": {kind: spent for kind, spent in cpu.items() if spent},
    }


def same_rows(one: Path, other: Path) -> bool:
    """Whether two output folders hold the same masks."""
    order = [("image_id", "ascending"), ("mask_id", "ascending")]
    first, second = (pq.read_table(out / "masks").sort_by(order) for out in (one, other))
    return bool(first.equals(second)) and len(first) > 0


def benchmark(folder: Path, preset: str, rounds: int) -> Figures:
    """The figures."""
    data = str(folder / "data")
    annotate = [sys.executable, "-m", "fiftyone_ssa.cli", "annotate", data]
    written = ["--preset", preset, "-s", "masks.source=existing", "--format", "parquet", "--device", "cpu"]
    found: dict[str, list[Figures]] = {"bare": [], "one": [], "ray": []}
    for number in range(rounds):
        for name, runs in found.items():
            out = folder / f"{name}{number}"
            command = [*annotate, str(out), *written, *(["--ray", "local"] if name == "ray" else [])]
            runs.append(
                measured([sys.executable, "-c", BARE, data, str(out), preset] if name == "bare" else command, out)
            )
            print(number, name, runs[-1], file=sys.stderr, flush=True)
    measured([*annotate, str(folder / "two"), *written, "--ray", "local", "--workers", "2"], folder / "two")
    sums = {name: {key: sum(run[key] for run in runs) for key in ("wall_s", "cpu_s")} for name, runs in found.items()}
    return {
        "runs": found,
        "overhead": {
            name: {key: round(spent / sums["bare"][key] - 1, 3) for key, spent in of.items()}
            for name, of in sums.items()
            if name != "bare"
        },
        "same_rows": {name: same_rows(folder / "one0", folder / name) for name in ("ray0", "two")},
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_ray")
    parser.add_argument("--preset", default="mini-engine")
    parser.add_argument("--tars", type=int, default=6)
    parser.add_argument("--a-tar", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(300, 450), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--one-core", action="store_true")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # torch's threads, in all processes
    if options.one_core:
        psutil.Process().cpu_affinity([0])
    with tempfile.TemporaryDirectory() as place:
        write_tars(Path(place) / "data", options.tars, options.a_tar, tuple(options.size))
        print(json.dumps({**vars(options), **benchmark(Path(place), options.preset, options.rounds)}, indent=1))


if __name__ == "__main__":
    main()
