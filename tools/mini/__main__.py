"""Trains one or all of the quickstart's models and writes them where the package ships them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from tools.mini import segformer
from tools.mini.blip import BlipStage
from tools.mini.clip import ClipStage
from tools.mini.clipseg import ClipSegStage
from tools.mini.loop import Plan, Stage, train
from tools.mini.sam import SamStage

STAGES: dict[str, Callable[[], Stage]] = {
    "sam": SamStage,
    "segformer-ade20k": segformer.ade20k,
    "segformer-coco": segformer.coco,
    "clip": ClipStage,
    "clipseg": ClipSegStage,
    "blip": BlipStage,
}


def main() -> None:
    """`python -m tools.mini [stage ...]`: every stage by default, each from its last checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m tools.mini", description=main.__doc__)
    parser.add_argument("stages", nargs="*", default=list(STAGES), help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("fiftyone_ssa/mini"), help="where the models are written")
    parser.add_argument("--work", type=Path, default=Path("checkpoints"), help="where training goes on from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--steps", type=int, help="instead of each stage's own number")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each stage, at most")
    parser.add_argument("--smoke", action="store_true", help="three steps of two scenes: does it run?")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.stages:
        if name not in STAGES:
            parser.error(f"there is no stage {name!r}; choose of {', '.join(STAGES)}")
    for name in arguments.stages:
        stage = STAGES[name]()
        plan = Plan(
            out=arguments.out,
            work=arguments.work,
            device=torch.device(arguments.device),
            steps=3 if arguments.smoke else arguments.steps or stage.steps,
            batch_size=2 if arguments.smoke else stage.batch_size,
            minutes=arguments.minutes,
        )
        print(f"{name}: {train(stage, plan)}")


if __name__ == "__main__":
    main()
