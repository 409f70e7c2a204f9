"""Where models run: the device, its number type, and fixed-size chunks that survive running out of memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy.typing as npt
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.faults import free_memory, is_out_of_memory
from fiftyone_ssa.models.replay import forget_recordings

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Out = TypeVar("Out")

SMALL_NETWORK = 1 << 23
"""Parameters below which a call costs more than its arithmetic; others gain nothing from batches on the CPU."""
MPS_ROWS = 8
"""Rows at a time on MPS, fewer where memory runs out; a guess."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(device: str = "auto") -> torch.device:
    """`"auto"` (CUDA where there is a GPU, else the CPU), `"cpu"`, `"cuda"`, `"cuda:N"` or `"mps"`.

    `"mps"` (Apple's GPUs) has to be asked for: it was tested with a stand-in only. Raises InputError where it is not.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda:0" if gpus else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device must be auto, cpu, cuda:N or mps, got {device!r}")
    if chosen.type == "mps":
        if not torch.backends.mps.is_available():
            raise InputError("device mps is not there: torch sees no Apple GPU; use --device cpu or auto")
        return torch.device("mps")
    if chosen.type == "cuda" and (chosen.index or 0) >= gpus:
        raise InputError(f"device {device} is not there: torch sees {gpus} CUDA devices; use --device cpu or auto")
    return chosen if chosen.type == "cpu" else torch.device("cuda", chosen.index or 0)


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """`"auto"` is bfloat16 on CUDA and float32 on the CPU and MPS; else one of float32, bfloat16, float16.

    Raises InputError for bfloat16 on a CPU: torch (2.11 to 2.15, oneDNN) computes some small convolutions as noise,
    with 8 channels and kernels of 8 x 8 at a stride of 8, say.
    """
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise InputError(f"dtype must be auto, {', '.join(DTYPES)}, got {dtype!r}")
    if dtype == "bfloat16" and device.type == "cpu":
        raise InputError(
            "bfloat16 is for GPUs: on CPUs torch computes some small convolutions wrongly in it; leave dtype at auto"
        )
    return DTYPES[dtype]


def finer(dtype: torch.dtype) -> torch.dtype:
    """float16 in the place of bfloat16, for networks that bear it (CLIPSeg, BLIP, SegFormer): as fast, 8 times finer.

    Of the parity engine's 120 labels 29 change in bfloat16 (a CPU's), which cannot tell the names of an untrained
    CLIPSeg apart, and 4 in float16; of 370 labels of trained models none changes in either, of captions 2.7 and .3 %.
    """
    return torch.float16 if dtype == torch.bfloat16 else dtype


def double(device: torch.device) -> torch.dtype:
    """float64, or float32 on MPS, which has no other."""
    return torch.float32 if device.type == "mps" else torch.float64


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


def without_float64(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """`network`, its weights of float64 (OneFormer and Mask2Former have some) in what `device` has."""
    if double(device) != torch.float64:
        for weight in (*network.parameters(), *network.buffers()):
            if weight.dtype == torch.float64:
                weight.data = weight.data.float()
    return network


class Chunks:
    """Runs a function over many items in chunks of one fixed size, the last one padded with its own first item.

    One shape for every call makes a result independent of what else is in the batch, and of how many items there are.
    With `pad=False` the last chunk stays short: for work whose chunks never depend on what else there is to do.
    With `parallel` chunks are worked on side by side, on as many threads as torch has, its operations on one each.
    Out of memory halves the size for the rest of the run, and says so; an item that does not fit alone is an error.
    """

    def __init__(self, size: int, what: str, *, pad: bool = True, parallel: bool = False) -> None:
        self.size = size
        self.what = what
        self.pad = pad
        self.parallel = parallel

    def map(self, function: Callable[[Sequence[Item]], Sequence[Out]], items: Sequence[Item]) -> list[Out]:
        """`function` over `items`, in order; it gets `size` items at a time and answers as many."""
        return self.map_groups(function, [items])[0]

    def map_groups(
        self, function: Callable[[Sequence[Item]], Sequence[Out]], groups: Sequence[Sequence[Item]]
    ) -> list[list[Out]]:
        """`map` over each group; no chunk holds items of two."""
        workers = torch.get_num_threads()
        if not self.parallel or workers == 1:  # as it is where this chunk is one of several side by side
            return [self._in_turn(function, items) for items in groups]
        size = self.size
        starts = [(group, start) for group, items in enumerate(groups) for start in range(0, len(items), size)]

        def run(place: tuple[int, int]) -> Sequence[Out] | None:
            with torch.inference_mode():  # which a thread does not inherit
                return self._unless_full(function, self._chunk(groups[place[0]], place[1], size))

        with _one_thread_each(), ThreadPoolExecutor(workers, thread_name_prefix="chunk") as pool:
            # short ones last: no worker waits long for another's last chunk
            longest_first = sorted(starts, key=lambda place: -min(size, len(groups[place[0]]) - place[1]))
            found = dict(zip(longest_first, pool.map(run, longest_first), strict=True))
        if any(answers is None for answers in found.values()):
            self._halve(size)
        results: list[list[Out]] = [[] for _ in groups]
        for group, start in starts:
            items, answers = groups[group][start : start + size], found[group, start]
            results[group].extend(self._in_turn(function, items) if answers is None else answers[: len(items)])
        return results

    def _in_turn(self, function: Callable[[Sequence[Item]], Sequence[Out]], items: Sequence[Item]) -> list[Out]:
        results: list[Out] = []
        at_first = self.size
        while len(results) < len(items):
            size = self.size
            chunk = self._chunk(items, len(results), size)
            if len(chunk) == 1:
                try:
                    results.extend(function(chunk))
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    if not make_room():
                        self.size = at_first  # it was not the batch
                        error.add_note(self.what)
                        raise
                continue
            found = self._unless_full(function, chunk)
            if found is None:
                self._halve(len(chunk))
            else:
                results.extend(found[: len(items) - len(results)])
        return results

    def _unless_full(
        self, function: Callable[[Sequence[Item]], Sequence[Out]], chunk: Sequence[Item]
    ) -> Sequence[Out] | None:
        """The function's answers, or None where memory ran out; with it the error is gone, and what its frames held."""
        try:
            return function(chunk)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _halve(self, size: int) -> None:
        """Go on with half of a chunk that did not fit, one at a time side by side no longer."""
        self.parallel = self.parallel and size > 1
        self.size = min(self.size, max(1, size // 2))
        logger.warning("out of memory in %s: going on with batches of %d", self.what, self.size)
        make_room()

    def _chunk(self, items: Sequence[Item], start: int, size: int) -> list[Item]:
        chunk = list(items[start : start + size])
        return chunk + [chunk[0]] * (size - len(chunk)) if self.pad else chunk


def plan_chunks(
    run: Callable[[int], object],
    network: torch.nn.Module,
    device: torch.device,
    *,
    most: int,
    what: str,
    pad: bool = False,
    cpu_rows: int = 1,
) -> Chunks:
    """Chunks for `network`: how many rows, a power of two from 1 to `most`, and whether side by side, for a whole run.

    `pad` says whether chunks on the CPU are padded; on CUDA and MPS they always are.

    On CUDA as many rows as fit into half of the free memory, judged by what `run(2)`, a batch of two, needs. On the
    CPU `cpu_rows` (1), as most large networks gain nothing from batches there; tiny ones take `most` rows and run side
    by side, since threads inside their operations would cost more than they gain. MPS tells no peak, so that it is
    given `MPS_ROWS`.
    """
    if device.type == "mps":
        return Chunks(_power_of_two(min(MPS_ROWS, most)), what)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        if not _fits(run, 2):
            return Chunks(1, what)
        row_bytes = max(1, (torch.cuda.max_memory_allocated(device) - before) // 2)
        rows = torch.cuda.mem_get_info(device)[0] // 2 // row_bytes
        return Chunks(_power_of_two(min(max(rows, 1), most)), what)
    if not is_small(network):
        return Chunks(cpu_rows, what, pad=pad)
    return Chunks(_power_of_two(most), what, pad=pad, parallel=True)


def make_room() -> bool:
    """Give back what can be spared where memory has run out; whether recordings were, so that the same may fit now."""
    found = forget_recordings()
    free_memory()
    return found


def _fits(run: Callable[[int], object], rows: int) -> bool:
    try:
        run(rows)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    make_room()
    return False


def is_small(network: torch.nn.Module) -> bool:
    """Whether a call of the network costs more than its arithmetic."""
    return sum(weight.numel() for weight in network.parameters()) < SMALL_NETWORK


def _power_of_two(rows: int) -> int:
    return 1 << (rows.bit_length() - 1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Torch's operations on one thread, in this thread and in those that it starts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def upload(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """A numpy array on `device`, without waiting for what the device is doing."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
