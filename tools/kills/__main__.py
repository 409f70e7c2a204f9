"""`python -m tools.kills files --kills 60 --seed 0`: prints what came of it, and ends with 1 if anything was wrong."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tools.kills.files import FilesTrial
from tools.kills.trial import Figures, run_round

KILLS_A_ROUND = 5


def main() -> int:
    """Rounds of five kills each, every round on what the one before left."""
    parser = argparse.ArgumentParser(prog="python -m tools.kills")
    parser.add_argument("what", choices=["files"])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, figures = random.Random(arguments.seed), Figures()
    with tempfile.TemporaryDirectory() as folder:
        trial = FilesTrial(Path(folder), chance)
        while figures.kills < arguments.kills:
            trial.begin_round()
            run_round(trial, chance, min(KILLS_A_ROUND, arguments.kills - figures.kills), figures)
            print(figures, flush=True)
    for fault in figures.faults:
        print("FAULT", fault)
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
