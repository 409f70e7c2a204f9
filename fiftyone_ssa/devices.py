"""Where models run: the device, its number type, and fixed-size chunks that survive running out of memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy.typing as npt
import torch

from fiftyone_ssa.errors import InputError

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Out = TypeVar("Out")

SMALL_NETWORK = 1 << 23
"""Parameters below which a call costs more than its arithmetic; others gain nothing from batches on the CPU."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(device: str = "auto") -> torch.device:
    """`"auto"` (CUDA where there is a GPU), `"cpu"`, `"cuda"` or `"cuda:N"`; raises InputError if it is not there."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda:0" if gpus else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise InputError(f"device must be auto, cpu or cuda:N, got {device!r}")
    if chosen.type == "cuda" and (chosen.index or 0) >= gpus:
        raise InputError(f"device {device} is not there: torch sees {gpus} CUDA devices; use --device cpu or auto")
    return chosen if chosen.type == "cpu" else torch.device("cuda", chosen.index or 0)


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """`"auto"` is bfloat16 on CUDA and float32 on the CPU; else one of float32, bfloat16, float16."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise InputError(f"dtype must be auto, {', '.join(DTYPES)}, got {dtype!r}")
    return DTYPES[dtype]


class Chunks:
    """Runs a function over many items in chunks of one fixed size, the last one padded with its own first item.

    One shape for every call makes a result independent of what else is in the batch, and of how many items there are.
    With `pad=False` the last chunk stays short: for work whose chunks never depend on what else there is to do.
    Out of memory halves the size for the rest of the run, and says so.
    """

    def __init__(self, size: int, what: str, *, pad: bool = True) -> None:
        self.size = size
        self.what = what
        self.pad = pad

    def map(self, function: Callable[[Sequence[Item]], Sequence[Out]], items: Sequence[Item]) -> list[Out]:
        """`function` over `items`, in order; it gets `size` items at a time and answers as many."""
        results: list[Out] = []
        while len(results) < len(items):
            chunk = list(items[len(results) : len(results) + self.size])
            real = len(chunk)
            if self.pad:
                chunk += [chunk[0]] * (self.size - real)
            try:
                results.extend(function(chunk)[:real])
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
                self.size //= 2
                logger.warning("out of memory in %s: going on with batches of %d", self.what, self.size)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        return results


def batch_rows(run: Callable[[int], object], network: torch.nn.Module, device: torch.device, most: int) -> int:
    """How many rows a batch of `network` takes: a power of two from 1 to `most`, for the whole run.

    On CUDA as many as fit into half of the free memory, judged by what `run(2)`, a batch of two, needs. On the CPU
    one, unless the network is tiny.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run(2)
        row_bytes = max(1, (torch.cuda.max_memory_allocated(device) - before) // 2)
        rows = torch.cuda.mem_get_info(device)[0] // 2 // row_bytes
    else:
        rows = most if sum(weight.numel() for weight in network.parameters()) < SMALL_NETWORK else 1
    rows = min(max(rows, 1), most)
    return 1 << (rows.bit_length() - 1)


def upload(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """A numpy array on `device`, without waiting for what the device is doing."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
