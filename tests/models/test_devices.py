from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.devices import SMALL_NETWORK, Chunks, pick_device, pick_dtype, plan_chunks, upload

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


def test_the_cache_is_emptied_of_what_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def narrow(chunk: Sequence[int]) -> list[int]:
        activations = torch.zeros(len(chunk))
        held.append(weakref.ref(activations))
        if len(activations) > 1:
            raise torch.OutOfMemoryError("no room")
        return list(chunk)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[-1]() is not None))
    assert Chunks(4, "a narrow stage").map(narrow, [1, 2]) == [1, 2]
    assert alive == [False, False]


def test_what_does_not_fit_alone_is_an_error() -> None:
    def never(chunk: Sequence[int]) -> list[int]:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        Chunks(4, "a stage").map(never, [1])


def no_room(kind: str) -> Exception:
    kinds: dict[str, Exception] = {
        "torch": torch.OutOfMemoryError("no room"),
        "numpy": MemoryError(),
        "mps": RuntimeError("MPS backend out of memory (MPS allocated: 17.2 GB)"),
        "cpu": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes."),
    }
    return kinds[kind]


@pytest.mark.parametrize("kind", ["torch", "numpy", "mps", "cpu"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pad", [False, True])
def test_whatever_ran_out_is_tried_again_in_smaller_chunks(kind: str, threads: int, pad: bool) -> None:
    sizes: list[int] = []

    def narrow(chunk: Sequence[int]) -> list[int]:
        sizes.append(len(chunk))
        if len(chunk) > 2:
            raise no_room(kind)
        return [2 * item for item in chunk]

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        chunks = Chunks(8, "a stage", pad=pad, parallel=True)
        assert chunks.map_groups(narrow, [range(13), [], range(3)]) == [[2 * n for n in range(13)], [], [0, 2, 4]]
        assert chunks.size <= 2
        sizes.clear()
        assert chunks.map(narrow, range(9)) == [2 * n for n in range(9)]
        assert max(sizes) <= 2  # for the rest of the run
    finally:
        torch.set_num_threads(before)


def test_a_short_chunk_is_halved_from_what_it_holds() -> None:
    sizes: list[int] = []

    def narrow(chunk: Sequence[int]) -> list[int]:
        sizes.append(len(chunk))
        if len(chunk) > 1:
            raise torch.OutOfMemoryError("no room")
        return list(chunk)

    assert Chunks(64, "a stage", pad=False).map(narrow, [5, 6, 7]) == [5, 6, 7]
    assert sizes == [3, 1, 1, 1]


def test_one_at_a_time_side_by_side_goes_on_in_turn() -> None:
    """What fits alone, and not beside another, is done; and not side by side again."""
    busy: list[int] = []

    def alone(chunk: Sequence[int]) -> list[int]:
        busy.append(1)
        try:
            time.sleep(0.01)
            if sum(busy) > 1:
                raise torch.OutOfMemoryError("no room for two")
        finally:
            busy.pop()
        return list(chunk)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        chunks = Chunks(1, "a stage", parallel=True)
        assert chunks.map(alone, range(6)) == list(range(6))
        assert not chunks.parallel
    finally:
        torch.set_num_threads(before)


def test_chunks_within_chunks_shrink_until_both_fit() -> None:
    """The outer stage holds what the inner one made: room is left only once the outer chunk is smaller."""
    inner, outer = Chunks(8, "looking", pad=False), Chunks(16, "writing", pad=False)

    def write(chunk: Sequence[int]) -> list[int]:
        seen = inner.map(partial(look, len(chunk)), chunk)
        if len(seen) > 4:
            raise torch.OutOfMemoryError("no room to write")
        return [3 * item for item in seen]

    def look(held: int, chunk: Sequence[int]) -> list[int]:
        if held + len(chunk) > 6:
            raise torch.OutOfMemoryError("no room to look")
        return list(chunk)

    assert outer.map(write, range(21)) == [3 * n for n in range(21)]
    assert (outer.size, inner.size) == (4, 2)


def test_an_item_that_fits_nowhere_is_told_with_its_stage_and_leaves_chunks_as_they_were() -> None:
    inner, outer = Chunks(8, "looking", pad=False), Chunks(4, "writing", pad=False)

    def look(chunk: Sequence[int]) -> list[int]:
        if 13 in chunk:
            raise torch.OutOfMemoryError("no room")
        return list(chunk)

    with pytest.raises(torch.OutOfMemoryError) as raised:
        outer.map(lambda chunk: inner.map(look, chunk), [1, 13, 2])
    assert raised.value.__notes__ == ["looking", "writing"]
    assert (outer.size, inner.size) == (4, 8)


def test_a_plan_that_does_not_fit_goes_on_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("empty_cache", "reset_peak_memory_stats", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: 0)

    def run(rows: int) -> None:
        raise torch.OutOfMemoryError("no room")

    plan = plan_chunks(run, torch.nn.Linear(8, 8), torch.device("cuda:0"), most=32, what="a stage")
    assert plan.size == 1


def test_large_networks_get_no_batches_on_the_cpu() -> None:
    tiny, large = torch.nn.Linear(8, 8), torch.nn.Linear(1, SMALL_NETWORK)
    plans = [plan_chunks(lambda rows: None, network, CPU, most=20, what="a stage") for network in (tiny, large)]
    assert [(plan.size, plan.pad, plan.parallel) for plan in plans] == [(16, False, True), (1, False, False)]
    assert plan_chunks(lambda rows: None, tiny, CPU, most=20, what="a stage", pad=True).pad


def test_chunks_side_by_side_answer_as_in_turn() -> None:
    threads = torch.get_num_threads()
    groups = [list(range(7)), [], [100], list(range(200, 211))]
    seen: list[tuple[int, tuple[int, ...]]] = []

    def double(chunk: Sequence[int]) -> list[int]:
        seen.append((torch.get_num_threads(), tuple(chunk)))
        return Chunks(1, "within").map(lambda one: [2 * one[0]], chunk)

    torch.set_num_threads(3)
    try:
        for pad in (False, True):
            found = Chunks(4, "doubling", pad=pad, parallel=True).map_groups(double, groups)
            assert torch.get_num_threads() == 3
            assert {used for used, _ in seen} == {1}  # each operation on one thread
            sides = {chunk for _, chunk in seen}
            seen.clear()
            assert found == Chunks(4, "doubling", pad=pad).map_groups(double, groups)
            assert found == [[2 * item for item in group] for group in groups]
            assert sides == {chunk for _, chunk in seen}  # the same chunks, none with items of two groups
            seen.clear()
    finally:
        torch.set_num_threads(threads)


def test_an_error_side_by_side_is_raised_and_threads_are_given_back() -> None:
    threads = torch.get_num_threads()

    def fail(chunk: Sequence[int]) -> list[int]:
        raise ValueError(f"chunk {chunk[0]}")

    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="chunk 0"):
            Chunks(2, "failing", parallel=True).map(fail, [0, 1, 2, 3])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_follow_free_memory() -> None:
    device = torch.device("cuda:0")
    free = torch.cuda.mem_get_info(device)[0]
    row = free // 64

    def run(rows: int) -> None:
        torch.empty(rows * row, dtype=torch.uint8, device=device)

    assert plan_chunks(run, torch.nn.Linear(8, 8), device, most=256, what="a stage").size in (16, 32)


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
    with pytest.raises(InputError, match="bfloat16 is for GPUs"):
        pick_dtype("bfloat16", CPU)
