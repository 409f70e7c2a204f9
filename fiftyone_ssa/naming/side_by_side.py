"""A run in several processes of this machine, each with the models: the same results in the same order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.confidence import Calibrated, Calibration
from fiftyone_ssa.naming.run import Task, Worker, describe, read_ahead, threads
from fiftyone_ssa.naming.workers import WorkerLostError, Workers
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.types import Annotation, Inputs, Result

Answers = list[Annotation | str]
"""An annotation for each image, or why there is none."""
TRIES = 2
"""How many processes may end at one image before it counts as failed."""


@dataclass(frozen=True)
class Recipe:
    """How each process makes its pipeline; it is called there, with the process's number."""

    preset: Preset
    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False
    keep_branch: bool = False
    keep_embeddings: bool = False
    calibration: Calibration | None = None
    batch_size: int = 4

    def __call__(self, index: int) -> _Namer:
        """Load the models; several GPUs are given out in turn, where `device` names none."""
        from fiftyone_ssa.naming.pipeline import build_pipeline  # loads torch

        pipeline = build_pipeline(
            self.preset,
            device=_device_of(self.device, index),
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            keep_branch=self.keep_branch,
            keep_embeddings=self.keep_embeddings,
        )
        if self.calibration is not None:
            pipeline = Calibrated(pipeline, self.calibration)
        return _Namer(Worker(pipeline, self.batch_size))


@dataclass(frozen=True)
class _Namer:
    worker: Worker

    def __call__(self, batch: list[Inputs]) -> Answers:
        """As many images at a time as the process has found to fit."""
        outcomes: Answers = []
        while len(outcomes) < len(batch):
            part = batch[len(outcomes) : len(outcomes) + self.worker.at_a_time]
            outcomes += [describe(each) if isinstance(each, Exception) else each for each in self.worker(part)]
        return outcomes


def run_side_by_side(tasks: Iterable[Task], workers: Workers, *, batch_size: int = 4) -> Iterator[Result]:
    """What `run` yields, by workers that were made by a `Recipe`.

    Images are decoded here, a few batches ahead. A process that ends is replaced, and its images are done again one by
    one, so that only one which ends it again is lost. Raises DeviceLostError where a GPU fails.
    """
    decoders = min(1 + workers.count, os.cpu_count() or 1)
    with threads(decoders, "decode") as do:
        ahead = read_ahead(iter(tasks), do, batch_size * (workers.count + 1))
        # of each batch the ids, and why some images, or masks of the others, were not read
        given: deque[list[tuple[str, str | tuple[str, ...]]]] = deque()

        def batches() -> Iterator[list[Inputs]]:
            while batch := list(islice(ahead, batch_size)):
                given.append([(task.id, describe(i) if isinstance(i, Exception) else i.bad_masks) for task, i in batch])
                yield [inputs for _, inputs in batch if not isinstance(inputs, Exception)]

        for answers in workers.map(batches(), _ask):
            left = iter(answers)
            for identity, unread in given.popleft():
                outcome = unread if isinstance(unread, str) else next(left)
                if isinstance(outcome, str):
                    yield Result(identity, error=outcome)
                else:
                    yield Result(identity, outcome, bad_masks=tuple(unread))


def _ask(workers: Workers, batch: list[Inputs]) -> Answers:
    if not batch:
        return []
    for _ in range(TRIES if len(batch) == 1 else 1):
        try:
            answers: Answers = workers.ask(batch)
        except WorkerLostError as error:
            reason = str(error)
        else:
            return answers
    if len(batch) == 1:
        return [describe(InputError(f"{reason}, twice with this image; make it smaller, or take fewer workers"))]
    return [answer for image in batch for answer in _ask(workers, [image])]


def _device_of(device: str, index: int) -> str:
    """The device of one of several processes."""
    if device not in ("auto", "cuda"):
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{index % count}" if count else device
