"""All stages, and the processes that train them."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from tempfile import TemporaryDirectory

import torch
from torch.multiprocessing.spawn import spawn

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


def train_stage(name: str, arguments: argparse.Namespace) -> None:
    """Train one stage: on the CPU in processes of a thread each where its batches can be shared."""
    stage = STAGES[name]()
    # the mean over processes is the batch's where their shares are equal
    ranks = math.gcd(arguments.threads, _batch_size(stage, arguments))
    if arguments.device == "cpu" and stage.splits and ranks > 1:
        with TemporaryDirectory() as folder:
            spawn(_share, (name, arguments, f"file://{folder}/meeting", ranks), ranks)  # type: ignore[no-untyped-call]
    else:
        torch.set_num_threads(arguments.threads)
        _train(name, arguments, 0, 1)


def _batch_size(stage: Stage, arguments: argparse.Namespace) -> int:
    return 2 if arguments.smoke else stage.batch_size


def _share(rank: int, name: str, arguments: argparse.Namespace, meeting: str, ranks: int) -> None:
    """One of several processes, which average their gradients."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    _train(name, arguments, rank, ranks)
    torch.distributed.destroy_process_group()


def _train(name: str, arguments: argparse.Namespace, rank: int, ranks: int) -> None:
    stage = STAGES[name]()
    plan = Plan(
        out=arguments.out,
        work=arguments.work,
        device=torch.device(arguments.device),
        steps=min(3, arguments.steps or 3) if arguments.smoke else arguments.steps or stage.steps,
        batch_size=_batch_size(stage, arguments),
        minutes=arguments.minutes,
        loaders=0 if arguments.device == "cpu" else os.cpu_count() or 1,
        rank=rank,
        ranks=ranks,
    )
    folder = train(stage, plan)
    if rank == 0:
        print(f"{name}: {folder}")
