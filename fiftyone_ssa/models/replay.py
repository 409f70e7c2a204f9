"""A network's launches recorded once for each shape and replayed by the GPU, instead of made anew by the host."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fiftyone_ssa.models.faults import free_memory, is_device_lost

logger = logging.getLogger(__name__)

SHAPES = 4
"""Shapes of inputs that are recorded; others are computed launch by launch, as all are on their first turn."""
APART = 0.01
"""How far a replay's answers may be from the plain ones, as a share of their norm; bfloat16 keeps 3 digits."""

SWITCH = "FIFTYONE_SSA_CUDA_GRAPHS"
"""Set to 0 in the environment, nothing is recorded."""

Tensors = Mapping[str, torch.Tensor]


class Replay:
    """`function(**inputs)`, tensors by name from tensors by name, from a CUDA graph where that is possible.

    A recording is compared with the plain answers it was made beside. What cannot be recorded (it reads from the
    device, say) or answers otherwise is called plainly from then on. What is answered is the caller's to keep.
    """

    def __init__(self, function: Callable[..., Tensors], device: torch.device, what: str, *, able: bool = True) -> None:
        """`able` is False for what must not be recorded: what keeps tensors from one call for the next, say."""
        self._function, self._device, self._what = function, device, what
        self._able = able and device.type == "cuda" and os.environ.get(SWITCH, "1") != "0"
        self._met: Counter[tuple[Any, ...]] = Counter()
        self._recorded: dict[tuple[Any, ...], _Recording] = {}
        _LIVE.add(self)

    def __call__(self, **inputs: torch.Tensor) -> Tensors:
        """What the function answers to `inputs`."""
        if not self._able:
            return self._function(**inputs)
        shape = tuple((name, value.shape, value.dtype) for name, value in inputs.items())
        if shape in self._recorded:
            return self._recorded[shape](inputs)
        answers = self._function(**inputs)
        self._met[shape] += 1
        if self._met[shape] > 1 and len(self._recorded) < SHAPES:
            recording = self._record(inputs, answers)
            if recording is None:
                self._able = False
            else:
                self._recorded[shape] = recording
        return answers

    def forget(self) -> bool:
        """Give up what is recorded and its memory, for good; whether there was anything."""
        had, self._able = bool(self._recorded), False
        self._recorded.clear()
        return had

    def _record(self, inputs: Tensors, answers: Tensors) -> _Recording | None:
        """A recording that answers as the plain call did, or None."""
        try:
            recording = _Recording.of(self._function, inputs, self._device)
            if all(_close(answers[name], value) for name, value in recording(inputs).items()):
                return recording
            reason = "a replay answers otherwise"
        except RuntimeError as error:
            if is_device_lost(error):
                raise
            reason = str(error).splitlines()[0]
            _PLACES.pop(self._device, None)  # where recording failed no more can be recorded
        logger.info("%s is not replayed from a CUDA graph: %s", self._what, reason)
        free_memory()
        return None


@dataclass(frozen=True, eq=False)
class _Recording:
    graph: Any
    inputs: Tensors
    answers: Tensors

    @classmethod
    def of(cls, function: Callable[..., Tensors], inputs: Tensors, device: torch.device) -> _Recording:
        kept = {name: value.clone() for name, value in inputs.items()}
        graph, (side, pool) = torch.cuda.CUDAGraph(), _place(device)
        torch.cuda.synchronize()
        with _TURN, torch.cuda.stream(side):  # which `torch.cuda.graph` does not leave where recording fails
            function(**kept)  # libraries choose their kernels before they are recorded
            side.synchronize()
            # other threads pin memory and copy meanwhile
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                answers = function(**kept)
            finally:
                graph.capture_end()
        torch.cuda.empty_cache()  # of what was done beside it no other stream can use the memory
        return cls(graph, kept, answers)

    def __call__(self, inputs: Tensors) -> dict[str, torch.Tensor]:
        with _TURN:
            for name, value in inputs.items():
                self.inputs[name].copy_(value)
            self.graph.replay()
            return {name: value.clone() for name, value in self.answers.items()}


_TURN = threading.RLock()
_PLACES: dict[torch.device, tuple[Any, Any]] = {}
_LIVE: weakref.WeakSet[Replay] = weakref.WeakSet()


def _place(device: torch.device) -> tuple[Any, Any]:
    """The stream and the memory of all of a device's recordings, which work one after the other.

    Their answers are copied at once, so that the next may work in the same memory.
    """
    if device not in _PLACES:
        _PLACES[device] = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]
    return _PLACES[device]


def forget_recordings() -> bool:
    """Give up all recordings and their memory, where memory has run out; whether there were any."""
    found = [replay.forget() for replay in _LIVE]
    _PLACES.clear()
    return any(found)


def _close(expected: torch.Tensor, found: torch.Tensor) -> bool:
    apart = (expected.float() - found.float()).norm()
    return bool(apart <= APART * expected.float().norm())
