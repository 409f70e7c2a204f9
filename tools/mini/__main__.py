"""Trains one or all of the quickstart's models and writes them where the package ships them."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import torch

from tools.mini.stages import STAGES, train_stage


def main() -> None:
    """`python -m tools.mini [stage ...]`: every stage by default, each from its last checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m tools.mini", description=main.__doc__)
    parser.add_argument("stages", nargs="*", default=list(STAGES), help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument(
        "--out", type=Path, default=Path("fiftyone_ssa/quickstart/weights"), help="where the models are written"
    )
    parser.add_argument("--work", type=Path, default=Path("checkpoints"), help="where training goes on from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--steps", type=int, help="instead of each stage's own number")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each stage, at most")
    parser.add_argument("--smoke", action="store_true", help="three steps of two scenes: does it run?")
    arguments = parser.parse_args()
    for name in arguments.stages:
        if name not in STAGES:
            parser.error(f"there is no stage {name!r}; choose of {', '.join(STAGES)}")
    # several small models learn fastest side by side, a thread each
    small = [name for name in arguments.stages if not STAGES[name]().splits]
    side_by_side = arguments.device == "cpu" and len(small) > 1 and arguments.threads > 1
    for name in arguments.stages:
        if not side_by_side or name not in small:
            train_stage(name, arguments)
    if side_by_side:
        alone = argparse.Namespace(**{**vars(arguments), "threads": 1})
        spawn = torch.multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(arguments.threads, mp_context=spawn) as pool:
            list(pool.map(train_stage, small, repeat(alone)))


if __name__ == "__main__":
    main()
