"""The scheduler: order, bounds, failures of one image, writing beside computing."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import pytest

from fiftyone_ssa.errors import DeviceLostError, InputError
from fiftyone_ssa.naming.run import Summary, Task, describe, overlap, run
from fiftyone_ssa.types import Annotation, Inputs, MaskSet, Proposals, Result
from tests.models.test_faults import LOST


def _inputs(value: int) -> Inputs:
    return Inputs(np.full((2, 3, 3), value, np.uint8))


def _annotation(inputs: Inputs) -> Annotation:
    return Annotation(MaskSet.empty((2, 3)), (), np.zeros(0), (), captions=())


def _echo(batch: list[Inputs]) -> list[Annotation]:
    return [_annotation(inputs) for inputs in batch]


def _task(number: int, read: object = None) -> Task:
    return Task(str(number), read or (lambda: _inputs(number)))  # type: ignore[arg-type]


def test_results_come_in_order_whatever_the_reading_takes() -> None:
    def slow(number: int) -> Inputs:
        time.sleep(0.02 * (number % 3))
        return _inputs(number)

    tasks = (_task(number, lambda number=number: slow(number)) for number in range(20))
    results = list(run(tasks, _echo, batch_size=3, keep_inputs=True))
    assert [result.id for result in results] == [str(number) for number in range(20)]
    assert [int(result.inputs.image[0, 0, 0]) for result in results if result.inputs] == list(range(20))


def test_batches_are_full_and_inputs_are_dropped_unless_wanted() -> None:
    sizes = []

    def pipeline(batch: list[Inputs]) -> list[Annotation]:
        sizes.append(len(batch))
        return _echo(batch)

    results = list(run((_task(number) for number in range(10)), pipeline, batch_size=4))
    assert sizes == [4, 4, 2]
    assert all(result.inputs is None for result in results)


def test_tasks_are_taken_as_results_are() -> None:
    taken = []

    def endless() -> Iterator[Task]:
        number = 0
        while True:
            taken.append(number)
            yield _task(number)
            number += 1

    results = run(endless(), _echo, batch_size=2, decoders=2)
    for _ in range(5):
        next(results)
    assert len(taken) <= 5 + 2 * (2 + 2)
    results.close()


def test_an_image_that_cannot_be_read_or_done_is_the_only_one_lost() -> None:
    def broken() -> Inputs:
        raise InputError("it is broken")

    def pipeline(batch: list[Inputs]) -> list[Annotation]:
        if any(inputs.image[0, 0, 0] == 4 for inputs in batch):
            raise KeyError("four")
        return _echo(batch)

    tasks = [_task(number, broken if number == 1 else None) for number in range(6)]
    results = list(run(tasks, pipeline, batch_size=3))
    assert {result.id: result.error for result in results if result.error} == {
        "1": "it is broken",
        "4": "KeyError: 'four'",
    }
    assert [result.id for result in results] == list("012345")


def test_out_of_memory_halves_the_images_at_a_time_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    sizes = []

    def pipeline(batch: list[Inputs]) -> list[Annotation]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise MemoryError
        return _echo(batch)

    with caplog.at_level(logging.WARNING):
        results = list(run([_task(number) for number in range(11)], pipeline, batch_size=5))
    assert [result.id for result in results if result.annotation] == [str(number) for number in range(11)]
    assert sizes == [5, 3, 2, 1, 2, 2, 2, 2]
    assert [record.message for record in caplog.records] == [
        "out of memory: going on with 3 images at a time",
        "out of memory: going on with 2 images at a time",
    ]


def test_an_image_that_does_not_fit_alone_fails_in_one_sentence_and_the_run_goes_on() -> None:
    def pipeline(batch: list[Inputs]) -> list[Annotation]:
        if any(inputs.image[0, 0, 0] == 2 for inputs in batch):
            error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more")
            error.add_note("the decider")
            raise error
        return _echo(batch)

    results = list(run([_task(number) for number in range(5)], pipeline, batch_size=4))
    assert {result.id: result.error for result in results if result.error} == {
        "2": "out of memory with this image alone, in the decider (CUDA out of memory. Tried to allocate 2.00 GiB.); "
        "make it smaller, or choose smaller models or another device"
    }
    assert [result.id for result in results] == list("01234")


def test_a_failure_keeps_nothing_alive_while_others_are_tried() -> None:
    held: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []

    def pipeline(batch: list[Inputs]) -> list[Annotation]:
        gc.collect()
        alive.append(sum(array() is not None for array in held))
        large = np.zeros(10)
        held.append(weakref.ref(large))
        if len(batch) > 1 or batch[0].image[0, 0, 0] < 2:
            raise KeyError("bad") if batch[0].image[0, 0, 0] < 2 else MemoryError
        return _echo(batch)

    list(run([_task(number) for number in range(4)], pipeline, batch_size=4))
    assert alive == [0] * len(alive)
    assert len(alive) > 4


@pytest.mark.parametrize("error", LOST)
def test_a_lost_device_ends_the_run_with_what_was_done(error: Exception) -> None:
    asked = []

    def pipeline(batch: list[Inputs]) -> list[Annotation]:
        asked.append([int(inputs.image[0, 0, 0]) for inputs in batch])
        if 4 in asked[-1]:
            raise error
        return _echo(batch)

    results = run([_task(number) for number in range(20)], pipeline, batch_size=3)
    assert [next(results).id for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(DeviceLostError, match=r"stopped working at 3, 4, 5 .*what was done before is kept") as raised:
        next(results)
    assert asked == [[0, 1, 2], [3, 4, 5]]  # nothing is tried after it
    assert "\n" not in str(raised.value)


def test_an_interruption_is_not_taken_for_a_failed_image() -> None:
    def pipeline(batch: list[Inputs]) -> list[Annotation]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run([_task(0)], pipeline))


def test_overlap_consumes_everything_in_another_thread() -> None:
    seen: list[tuple[int, bool]] = []
    main = threading.get_ident()
    assert list(overlap(range(50), lambda n: seen.append((n, threading.get_ident() != main)))) == list(range(50))
    assert seen == [(n, True) for n in range(50)]


def test_overlap_raises_what_the_consumer_met_and_stops() -> None:
    made = []

    def values() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            time.sleep(0.001)
            yield number

    def consume(number: int) -> None:
        if number == 3:
            raise InputError("the disk is full")

    with pytest.raises(InputError, match="disk is full"):
        list(overlap(values(), consume, capacity=2))
    assert len(made) < 100


def test_overlap_bounds_what_waits() -> None:
    gate = threading.Event()
    given: list[int] = []

    def values() -> Iterator[int]:
        for number in range(20):
            given.append(number)
            yield number

    def taking() -> None:
        list(overlap(values(), lambda _: gate.wait(10), capacity=3))

    thread = threading.Thread(target=taking)
    thread.start()
    time.sleep(0.2)
    assert len(given) <= 3 + 2
    gate.set()
    thread.join()
    assert len(given) == 20


def test_a_summary_counts_and_reads_well() -> None:
    summary = Summary(skipped=2, seconds=4.0)
    mask = MaskSet.empty((2, 3))
    summary.add(Result("a", Annotation(mask, (), np.zeros(0), ())))
    summary.add(Result("b", error="broken"))
    assert str(summary) == "1 image, 0 masks in 4.0 s (0.25 images/s), 2 already done, 1 FAILED"
    assert summary.errors == {"b": "broken"}
    assert Proposals().names == ()


def test_errors_read_as_one_line() -> None:
    assert describe(InputError("one\n  line")) == "one line"
    assert describe(KeyError("x")) == "KeyError: 'x'"


def test_a_batch_size_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="batch_size must be a whole number"):
        list(run([_task(0)], _echo, batch_size=0))


def test_the_summary_counts_why_images_were_done_again() -> None:
    summary = Summary(done=3, masks=3, redone=Counter({"result missing": 1, "image changed": 2}))
    assert "3 redone: 2 images changed, 1 result missing" in str(summary)


def _interrupted_at(step: int, work: Callable[[], object]) -> tuple[bool, bool]:
    """Whether work ends that is interrupted behind its `step`-th call, where a signal would do it, and if it was."""
    count = 0

    def watch(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event != "c_call"
        if count == step:
            sys.setprofile(None)
            raise KeyboardInterrupt

    def main() -> None:
        with contextlib.suppress(KeyboardInterrupt, RuntimeError):  # the latter where Python is starting a thread
            sys.setprofile(watch)
            work()
            sys.setprofile(None)

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    thread.join(10)
    return not thread.is_alive(), count >= step


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one in a weak reference is lost
@pytest.mark.parametrize(
    "work",
    [
        lambda: list(overlap(range(5), lambda _: time.sleep(0.0005), capacity=2)),
        lambda: list(run(map(_task, range(5)), _echo, batch_size=2)),
    ],
    ids=["overlap", "run"],
)
def test_an_interruption_ends_it_wherever_it_comes(work: Callable[[], object]) -> None:
    for step in itertools.count(1):
        ended, interrupted = _interrupted_at(step, work)
        assert ended, f"it hangs after an interruption behind call {step}"
        if not interrupted:
            break
    assert step > 50
