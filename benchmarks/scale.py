"""How long all of SA-1B takes on 8, 64 and 512 GPUs, simulated from measured stage times (`scale_stages.json`).

    python -m benchmarks.scale [--gpus 8 64 512] [--price 3] [--plots docs/scaling] [--against OUT --workers N]

1,000 tars of 11,000 images, one or ten shards a tar, with slower GPUs, stragglers, failures and a store that gives so
much to all. Prints one JSON object: hours, what they cost, and where GPU hours went; means of three
runs. `--plots` draws them (matplotlib). `--against OUT` replays a real run of `annotate --format parquet`: the seconds
of its shards on as many workers, beside the seconds that it took.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._cluster import Cluster, Floats, Outcome, Stages, simulate

TARS, IMAGES = 1000, 11_000
SPREAD = 0.05
"""How much the work of tars differs: the standard deviation of its logarithm."""
RUNS = 3
SPOT = 1 / 20
"""Failures of a spot node's GPU an hour, assumed."""
FIGURES = Path(__file__).with_name("scale_stages.json")


def known() -> dict[str, Stages]:
    """What one image takes, by preset."""
    return {name: Stages(**each) for name, each in json.loads(FIGURES.read_text())["stages"].items()}


def shards(cut: int = 1, seed: int = 0) -> Floats:
    """The work of each shard, in images of usual weight."""
    weights = np.exp(np.random.default_rng(seed).normal(0, SPREAD, TARS))
    return np.repeat(weights * (TARS / weights.sum()) * IMAGES / cut, cut)


@cache
def outcomes(stages: Stages, cluster: Cluster, cut: int = 1) -> list[Outcome]:
    """Of `RUNS` runs."""
    return [simulate(shards(cut, seed), stages, cluster, seed) for seed in range(RUNS)]


def figures(stages: Stages, cluster: Cluster, price: float, cut: int = 1) -> dict[str, Any]:
    """What a run takes and costs, in hours."""
    runs = outcomes(stages, cluster, cut)
    hours = float(np.mean([run.seconds for run in runs])) / 3600
    spent = {part: float(np.mean([run.spent[part] for run in runs])) / 3600 for part in runs[0].spent}
    return {
        "hours": round(hours, 2),
        "gpu_hours": round(hours * cluster.gpus),
        "cost": round(hours * cluster.gpus * price),
        "images_per_second": round(TARS * IMAGES / hours / 3600, 1),
        "efficiency": round(float(np.mean([run.efficiency for run in runs])), 3),
        "failures": round(float(np.mean([run.failures for run in runs])), 1),
        "share_of_gpu_time": {part: round(value / sum(spent.values()), 4) for part, value in spent.items()},
    }


def replay(out: Path, workers: int) -> dict[str, Any]:
    """A real run of so many workers beside its simulation, from what it wrote itself.

    It began when its earliest shard did, as far as the driver was told at once: Ray may tell later.
    """
    lines = [json.loads(line) for line in (out / "progress.jsonl").read_text().splitlines()]
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    taken = {entry["shard"]: entry["seconds"] for entry in entries}
    start = min(line["seconds"] - taken[line["shard"]] for line in lines)
    steady = Cluster(workers, start_s=start, slowest=1, stragglers=0, failures_per_gpu_hour=0, commit_s=0)
    found = simulate(np.array([taken[shard] for shard in sorted(taken)]), Stages(gpu_s=1.0), steady)
    return {
        "shards": len(taken),
        "workers": workers,
        "first_shard_after_s": round(start, 2),
        "took_s": round(max(line["seconds"] for line in lines), 2),
        "simulated_s": round(found.seconds, 2),
    }


def scenarios(gpus: int) -> dict[str, tuple[Cluster, int]]:
    """Clusters of as many GPUs, and how many shards a tar."""
    usual = Cluster(gpus)
    return {
        "a tar a shard": (usual, 1),
        "ten shards a tar": (usual, 10),
        "spot nodes": (replace(usual, failures_per_gpu_hour=SPOT), 1),
        "spot nodes, ten shards a tar": (replace(usual, failures_per_gpu_hour=SPOT), 10),
        "a store of 2 GB/s": (replace(usual, store_bytes_s=2e9), 1),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--price", type=float, default=3.0, help="of a GPU an hour")
    parser.add_argument("--plots", type=Path, help="draw them into this folder")
    parser.add_argument("--against", type=Path, metavar="OUT", help="replay a real run instead")
    parser.add_argument("--workers", type=int, default=2, help="of that run")
    options = parser.parse_args()
    if options.against:
        print(json.dumps(replay(options.against, options.workers), indent=2))
        return
    found: dict[str, Any] = {"cluster": asdict(Cluster(0)), "price": options.price}
    for name, stages in known().items():
        found[name] = {
            f"{gpus} GPUs": {
                about: figures(stages, cluster, options.price, cut) for about, (cluster, cut) in scenarios(gpus).items()
            }
            for gpus in options.gpus
        }
    if options.plots:
        from benchmarks._scale_plots import draw

        found["plots"] = [str(path) for path in draw(options.plots, options.price)]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
