"""`python -m tools.kills WHAT --kills 60 --seed 0`: prints what came of it; ends with 1 if it was wrong."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools.kills.files import FilesTrial
from tools.kills.shards import ShardsTrial
from tools.kills.trial import Figures, run_round
from tools.mongod import use_own_database

if TYPE_CHECKING:
    from tools.kills.datasets import DatasetTrial

KILLS_A_ROUND = 5


def main() -> int:
    """Rounds of five kills each, every round on what the one before left."""
    parser = argparse.ArgumentParser(prog="python -m tools.kills")
    parser.add_argument("what", choices=["files", "datasets", "shards", "ray"])
    parser.add_argument("--kills", type=int, default=60, help="with ray a third each of workers, drivers, raylets")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, figures = random.Random(arguments.seed), Figures()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "ray":
            _on_ray(arguments.kills, Path(folder), chance, figures)
        else:
            _by_rounds(_trial(arguments.what, Path(folder), chance), arguments.kills, chance, figures)
    for fault in figures.faults:
        print("FAULT", fault)
    return 1 if figures.faults else 0


def _by_rounds(
    trial: FilesTrial | DatasetTrial | ShardsTrial, kills: int, chance: random.Random, figures: Figures
) -> None:
    while figures.kills < kills:
        trial.begin_round()
        run_round(trial, chance, min(KILLS_A_ROUND, kills - figures.kills), figures)
        print(figures, flush=True)


def _on_ray(kills: int, folder: Path, chance: random.Random, figures: Figures) -> None:
    from tools.kills.on_ray import Machines, RayTrial, kills_of_each  # loads Ray

    with Machines() as machines:
        trial = RayTrial(ShardsTrial(folder, chance, tars=8), machines, chance, figures)
        left = kills_of_each(kills // 3, chance)
        while left:
            trial.run(left[:KILLS_A_ROUND])
            left = left[KILLS_A_ROUND:]
            print(figures, dict(trial.killed), flush=True)


def _trial(what: str, folder: Path, chance: random.Random) -> FilesTrial | DatasetTrial | ShardsTrial:
    if what == "files":
        return FilesTrial(folder, chance)
    if what == "shards":
        return ShardsTrial(folder, chance)
    use_own_database()
    os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": str(folder / "datasets"), "FIFTYONE_DO_NOT_TRACK": "1"}
    os.environ["HF_HUB_OFFLINE"] = "1"
    from tools.kills.datasets import DatasetTrial  # loads FiftyOne, which reads what was just set

    return DatasetTrial(folder, chance)


if __name__ == "__main__":
    sys.exit(main())
