from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from fiftyone_ssa.devices import SMALL_NETWORK, Chunks, batch_rows, pick_device, pick_dtype, upload
from fiftyone_ssa.errors import InputError

CPU = torch.device("cpu")


def test_every_chunk_has_one_size() -> None:
    seen: list[list[int]] = []

    def double(chunk: Sequence[int]) -> list[int]:
        seen.append(list(chunk))
        return [2 * item for item in chunk]

    assert Chunks(3, "doubling").map(double, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert seen == [[1, 2, 3], [4, 4, 4]]
    seen.clear()
    assert Chunks(3, "doubling", pad=False).map(double, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert seen == [[1, 2, 3], [4]]
    assert Chunks(3, "doubling").map(double, []) == []


def test_out_of_memory_halves_the_chunks_for_good_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    sizes: list[int] = []

    def narrow(chunk: Sequence[int]) -> list[int]:
        sizes.append(len(chunk))
        if len(chunk) > 2:
            raise torch.OutOfMemoryError("no room")
        return list(chunk)

    chunks = Chunks(8, "a narrow stage")
    with caplog.at_level(logging.WARNING):
        assert chunks.map(narrow, list(range(5))) == list(range(5))
    assert sizes == [8, 4, 2, 2, 2]
    assert chunks.size == 2
    assert "out of memory in a narrow stage: going on with batches of 2" in caplog.text


def test_what_does_not_fit_alone_is_an_error() -> None:
    def never(chunk: Sequence[int]) -> list[int]:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        Chunks(4, "a stage").map(never, [1])


def test_large_networks_get_no_batches_on_the_cpu() -> None:
    tiny, large = torch.nn.Linear(8, 8), torch.nn.Linear(1, SMALL_NETWORK)
    assert [batch_rows(lambda rows: None, network, CPU, most=20) for network in (tiny, large)] == [16, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_follow_free_memory() -> None:
    device = torch.device("cuda:0")
    free = torch.cuda.mem_get_info(device)[0]
    row = free // 64

    def run(rows: int) -> None:
        torch.empty(rows * row, dtype=torch.uint8, device=device)

    assert batch_rows(run, torch.nn.Linear(8, 8), device, most=256) in (16, 32)


def test_arrays_arrive_as_they_are() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(upload(array, CPU).numpy(), array)


def test_devices_and_number_types_are_checked() -> None:
    assert pick_device("cpu") == CPU
    for wrong in ("gpu", "meta", "cuda:99"):
        with pytest.raises(InputError):
            pick_device(wrong)
    assert pick_dtype("auto", CPU) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    with pytest.raises(InputError, match="dtype must be auto"):
        pick_dtype("int8", CPU)
