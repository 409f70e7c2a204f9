"""A network's launches recorded once for each shape and replayed by the GPU, instead of made anew by the host."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from fiftyone_ssa.models.faults import free_memory, is_device_lost

logger = logging.getLogger(__name__)

SHAPES = 4
"""Shapes of inputs that are recorded; others are computed launch by launch, as all are on their first turn."""
APART = 0.01
"""How far a replay's answers may be from the plain ones, as a share of their norm; bfloat16 keeps 3 digits."""

Tensors = Mapping[str, torch.Tensor]


class Replay:
    """`function(**inputs)`, tensors by name from tensors by name, from a CUDA graph where that is possible.

    A recording is compared with the plain answers it was made beside. What cannot be recorded (it reads from the
    device, say) or answers otherwise is called plainly from then on. What is answered is the caller's to keep.
    """

    def __init__(self, function: Callable[..., Tensors], device: torch.device, what: str) -> None:
        self._function, self._what = function, what
        self._able = device.type == "cuda"
        self._met: Counter[tuple[Any, ...]] = Counter()
        self._recorded: dict[tuple[Any, ...], _Recording] = {}
        self._pool: Any = None

    def __call__(self, **inputs: torch.Tensor) -> Tensors:
        """What the function answers to `inputs`."""
        if not self._able:
            return self._function(**inputs)
        shape = tuple((name, value.shape, value.dtype) for name, value in inputs.items())
        if shape in self._recorded:
            return self._recorded[shape](inputs)
        self._met[shape] += 1
        if self._met[shape] == 1 or len(self._recorded) == SHAPES:
            return self._function(**inputs)
        answers = self._function(**inputs)
        recording = self._record(inputs, answers)
        if recording is None:
            self._able = False
        else:
            self._recorded[shape] = recording
        return answers

    def _record(self, inputs: Tensors, answers: Tensors) -> _Recording | None:
        """A recording that answers as the plain call did, or None."""
        try:
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            recording = _Recording.of(self._function, inputs, self._pool)
            if all(_close(answers[name], value) for name, value in recording(inputs).items()):
                return recording
            reason = "a replay answers otherwise"
        except RuntimeError as error:
            if is_device_lost(error):
                raise
            reason = str(error).splitlines()[0]
        logger.info("%s is not replayed from a CUDA graph: %s", self._what, reason)
        free_memory()
        return None


@dataclass(frozen=True, eq=False)
class _Recording:
    graph: Any
    inputs: Tensors
    answers: Tensors

    @classmethod
    def of(cls, function: Callable[..., Tensors], inputs: Tensors, pool: Any) -> _Recording:
        kept = {name: value.clone() for name, value in inputs.items()}
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose their kernels before they are recorded
            function(**kept)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # other threads pin memory and copy meanwhile
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            answers = function(**kept)
        return cls(graph, kept, answers)

    def __call__(self, inputs: Tensors) -> dict[str, torch.Tensor]:
        for name, value in inputs.items():
            self.inputs[name].copy_(value)
        self.graph.replay()
        return {name: value.clone() for name, value in self.answers.items()}


@contextmanager
def tf32_products(allowed: bool) -> Iterator[None]:
    """Let CUDA multiply float32 matrices in TF32 (10 bits of a number's 23), as cuDNN's convolutions do by default."""
    products = torch.backends.cuda.matmul
    before = products.allow_tf32
    products.allow_tf32 = allowed or before
    try:
        yield
    finally:
        products.allow_tf32 = before


def _close(expected: torch.Tensor, found: torch.Tensor) -> bool:
    apart = (expected.float() - found.float()).norm()
    return bool(apart <= APART * expected.float().norm())
