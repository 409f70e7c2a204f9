"""All stages, and the processes that train them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

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


def work(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    """One of several processes, which average their gradients."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=arguments.ranks)
    train_stages(arguments, rank, arguments.ranks)
    torch.distributed.destroy_process_group()


def train_stages(arguments: argparse.Namespace, rank: int, ranks: int) -> None:
    for name in arguments.stages:
        stage = STAGES[name]()
        plan = Plan(
            out=arguments.out,
            work=arguments.work,
            device=torch.device(arguments.device),
            steps=3 if arguments.smoke else arguments.steps or stage.steps,
            batch_size=2 if arguments.smoke else stage.batch_size,
            minutes=arguments.minutes,
            rank=rank,
            ranks=ranks,
        )
        folder = train(stage, plan)
        if rank == 0:
            print(f"{name}: {folder}")
