"""Which errors mean that memory is full, and which that the device is lost."""

from __future__ import annotations

import errno
import gc
import weakref

import numpy as np
import pytest
import torch

from fiftyone_ssa.models.faults import briefly, is_device_lost, is_out_of_memory, without_frames

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.2 GB, other allocations: 1.1 GB, max allowed: 18.1 GB)"),
    RuntimeError("Invalid buffer size: 24.00 GB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4503599627370496 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
LOST = [
    torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`"),
    RuntimeError("HIP error: an illegal memory access was encountered"),
    torch.AcceleratorError("CUDA error: something nobody has written down"),
]
NEITHER = [
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    RuntimeError("unknown error"),
    ValueError("CUDA error: device-side assert triggered"),
    OSError(errno.ENOSPC, "No space left on device"),
    KeyError("out of memory"),
]


@pytest.mark.parametrize("error", FULL)
def test_full_memory_is_told_from_the_rest(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_device_lost(error)


@pytest.mark.parametrize("error", LOST)
def test_a_lost_device_is_told_from_the_rest(error: Exception) -> None:
    assert is_device_lost(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", NEITHER)
def test_other_errors_are_an_images_own(error: Exception) -> None:
    assert not is_device_lost(error)
    assert not is_out_of_memory(error)


def test_real_allocations_that_fail_are_told() -> None:
    for ask in (lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50)):
        with pytest.raises((RuntimeError, MemoryError)) as raised:
            ask()
        assert is_out_of_memory(raised.value)


def test_a_gpu_that_still_answers_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert not is_device_lost(RuntimeError("CUDA error: invalid configuration argument"))
    advice = "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."
    assert not is_device_lost(torch.AcceleratorError(f"CUDA error: operation not permitted\n{advice}\n"))
    assert is_device_lost(torch.AcceleratorError(f"CUDA error: device-side assert triggered\n{advice}\n"))
    assert is_device_lost(RuntimeError("CUDA error: device-side assert triggered"))


def test_an_error_that_is_kept_keeps_no_tensor() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def inner() -> None:
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("no room")

    def outer() -> None:
        try:
            inner()
        except torch.OutOfMemoryError as error:
            other = torch.zeros(4)
            held.append(weakref.ref(other))
            raise ValueError("on the way") from error

    try:
        outer()
    except ValueError as error:
        kept = without_frames(error)
    gc.collect()
    assert str(kept) == "on the way"
    assert [tensor() for tensor in held] == [None, None]


def test_briefly_is_the_first_line() -> None:
    assert briefly(FULL[1]) == "CUDA error: out of memory"
    assert briefly(MemoryError()) == "MemoryError"
    assert len(briefly(FULL[4])) <= 160
