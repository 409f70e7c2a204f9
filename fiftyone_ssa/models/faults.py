"""Two faults of a device that are no fault of an image: its memory is full, or it answers no more.

Told from the errors' types and words, so that whoever asks need not load torch.
"""

from __future__ import annotations

import errno
import gc
import sys
from textwrap import shorten
from typing import Any

_NO_ROOM = ("out of memory", "can't allocate memory", "not enough memory", "_alloc_failed", "invalid buffer size")
"""What CUDA, ROCm and MPS say; torch's CPU allocator, on Linux and on Windows; cuBLAS and cuDNN; MPS of one array."""
_LOST = (
    *("device-side assert", "illegal memory access", "illegal instruction", "illegal address", "misaligned address"),
    *("unspecified launch failure", "launch timed out", "launch failure", "hardware stack error", "invalid pc"),
    *("uncorrectable ecc", "device is lost", "unknown error", "_execution_failed", "address space"),
)
"""What CUDA says of faults after which every later call of the process fails, and cuBLAS and cuDNN with it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no room for what was asked: a smaller batch may fit."""
    if isinstance(error, MemoryError) or _is_torchs(error, "OutOfMemoryError"):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_ROOM)


def is_device_lost(error: BaseException) -> bool:
    """Whether the device answers nothing more in this process, so that every later image would fail, too."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    # torch advises how to "enable device-side assertions" whatever the error is
    text = "\n".join(line for line in str(error).lower().splitlines() if "torch_use_cuda_dsa" not in line)
    of_device = _is_torchs(error, "AcceleratorError") or any(f"{kind} error" in text for kind in ("cuda", "hip"))
    if any(words in text for words in _LOST) and (of_device or "device-side assert" in text or "_status_" in text):
        return True
    return of_device and not _answers()


def free_memory() -> None:
    """Give back what an error that is over held: frames in cycles first, then what torch keeps for later."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def without_frames(error: Exception) -> Exception:
    """The error, and those that led to it, without their frames, whose tensors would live as long as they do."""
    one: BaseException | None = error
    while one is not None:
        one.with_traceback(None)
        one = one.__cause__ or one.__context__
    return error


def briefly(error: BaseException) -> str:
    """An error's first line, without the advice that torch adds to those of devices."""
    return shorten((str(error).strip() or type(error).__name__).splitlines()[0], 160, placeholder=" ...")


def _answers() -> bool:
    """Whether the GPU still does; where there is none to ask, an error of one is taken at its word."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def _is_torchs(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name and kind.__module__.startswith("torch") for kind in type(error).__mro__)
