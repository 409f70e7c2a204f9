"""The only scheduler: decode -> batch -> pipeline -> result, through bounded queues.

Images are decoded by threads while the pipeline computes, and whoever consumes the results (a file writer, the
database) should do so in a thread of its own (`overlap`), so that writing overlaps computing too. Decoded
ahead of the pipeline are at most a batch and one more for each decoder, however many there are to do.
Where memory runs out, half as many images are worked on at a time from then on; where the device is lost, the run ends.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Protocol, TypeVar

from fiftyone_ssa.errors import DeviceLostError, InputError, counted
from fiftyone_ssa.files.printable import printable
from fiftyone_ssa.models.faults import briefly, free_memory, is_device_lost, is_out_of_memory, without_frames
from fiftyone_ssa.naming.arguments import check_batch_size
from fiftyone_ssa.types import Annotation, Inputs, Result

logger = logging.getLogger(__name__)
Value = TypeVar("Value")


class Pipeline(Protocol):
    """What runs on a batch of images: SSA or SSA-engine, built from a preset."""

    def __call__(self, batch: list[Inputs]) -> list[Annotation]:
        """One annotation per image, in order."""


@dataclass(frozen=True)
class Task:
    """One image to do: its id, and how to read it and what is known of it (called in a decoder thread)."""

    id: str
    read: Callable[[], Inputs]


@dataclass
class Summary:
    """What a run did, for its last line and its exit code."""

    done: int = 0
    skipped: int = 0
    """Images that were finished before and left alone."""
    masks: int = 0
    unlabelled: int = 0
    """Masks that are empty or meet ignored pixels only, so that nothing could name them."""
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    """Image id to reason, for every image that failed."""
    redone: Counter[str] = field(default_factory=Counter)
    """Why images that were finished before are done again, each reason as a noun and more: `"image changed"`."""
    notes: list[str] = field(default_factory=list)
    """What was left out without being tried, in words."""
    kept: int = 0
    """Masks that stayed as people left them."""
    deleted: int = 0
    """Samples that were deleted while the run went on."""
    bad_masks: int = 0
    """Existing masks that could not be read (no pixels, outside of their image ...), and were left as they are."""
    bad_mask: str = ""
    """What is wrong with the first of them, and where it is."""

    def add(self, result: Result) -> None:
        """Count one result."""
        if result.annotation is None:
            self.errors[result.id] = result.error or "unknown error"
        else:
            self.done += 1
            self.masks += len(result.annotation.masks)
            self.unlabelled += result.annotation.unlabelled
            self.bad_masks += len(result.bad_masks)
            self.bad_mask = self.bad_mask or "".join(result.bad_masks[:1])

    def tell_bad_masks(self) -> None:
        """Log, once a run, that masks were left out, if some were."""
        if self.bad_masks:
            what = counted(self.bad_masks, "mask")
            logger.warning("%s", printable(f"{what} could not be read, and got no name; the first of {self.bad_mask}"))

    def __str__(self) -> str:
        rate = f" ({self.done / self.seconds:.2f} images/s)" if self.done and self.seconds > 0 else ""
        parts = [f"{counted(self.done, 'image')}, {counted(self.masks, 'mask')} in {self.seconds:.1f} s{rate}"]
        if self.unlabelled:
            parts.append(f"{counted(self.unlabelled, 'mask')} without a name")
        if self.bad_masks:
            parts.append(f"{counted(self.bad_masks, 'mask')} that could not be read")
        if self.redone:
            reasons = ", ".join(_many(count, reason) for reason, count in sorted(self.redone.items()))
            parts.append(f"{self.redone.total()} redone: {reasons}")
        if self.kept:
            parts.append(
                f"{counted(self.kept, 'mask')} kept as people left them (repaint shows them in the class maps)"
            )
        if self.skipped:
            parts.append(f"{self.skipped} already done")
        if self.deleted:
            parts.append(f"{self.deleted} deleted meanwhile")
        if self.errors:
            parts.append(f"{len(self.errors)} FAILED")
        return ", ".join(parts + self.notes)


def _many(count: int, what: str) -> str:
    """`2 images changed` of `image changed`."""
    noun, _, rest = what.partition(" ")
    return f"{counted(count, noun)} {rest}".rstrip()


def run(
    tasks: Iterable[Task], pipeline: Pipeline, *, batch_size: int = 4, decoders: int = 2, keep_inputs: bool = False
) -> Iterator[Result]:
    """Results in the order of `tasks`; an image that cannot be read or done becomes a Result with its error.

    `tasks` is consumed as results are taken, so it may be endless. With `keep_inputs` a result carries its image.
    Raises DeviceLostError, with what to do, where a GPU fails so that every later image would fail, too.
    """
    worker = Worker(pipeline, check_batch_size(batch_size))
    with threads(decoders, "decode") as do:
        ahead = read_ahead(iter(tasks), do, batch_size + decoders)
        while batch := list(islice(ahead, worker.at_a_time)):
            yield from _run_batch(batch, worker, keep_inputs)


def overlap(
    values: Iterable[Value], consume: Callable[[Value], None], *, capacity: int = 8
) -> Generator[Value, None, None]:
    """Yield `values` unchanged while a second thread feeds each to `consume`, at most `capacity` waiting.

    An exception in `consume` is raised here. On return, and when it is closed, every value has been consumed: close it,
    for whoever stops taking values leaves the second thread at work.
    """
    free: SimpleQueue[None] = SimpleQueue()
    for _ in range(capacity):
        free.put(None)
    failure: list[BaseException] = []

    def work(value: Value) -> None:
        free.put(None)
        if not failure:
            try:
                consume(value)
            except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
                failure.append(error)

    try:
        with threads(1, "consume") as do:
            for value in values:
                if failure:
                    break
                free.get()
                do(partial(work, value))
                yield value
    finally:
        if failure:
            raise failure[0]


@contextmanager
def threads(count: int, name: str) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Threads that do what they are given; at the end all of it is done.

    They are told by SimpleQueues alone. The locks of `queue.Queue`, `Future` and the rest are taken in Python: a signal
    whose handler raises there, just behind the taking, leaves one taken for ever, and the run would never end.
    """
    jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def work() -> None:
        while (job := jobs.get()) is not None:
            job()

    started = [threading.Thread(target=work, name=name, daemon=True) for _ in range(count)]
    for thread in started:
        thread.start()
    try:
        yield jobs.put
    finally:
        for _ in started:
            jobs.put(None)
        for thread in started:
            thread.join()


def read_ahead(
    tasks: Iterator[Task], do: Callable[[Callable[[], None]], None], depth: int
) -> Iterator[tuple[Task, Inputs | Exception]]:
    """Each task with what it reads, or what went wrong, at most `depth` of them read and not taken."""
    pending: deque[tuple[Task, SimpleQueue[Inputs | BaseException]]] = deque()

    def submit(count: int) -> None:
        for task in islice(tasks, count):
            answer: SimpleQueue[Inputs | BaseException] = SimpleQueue()
            pending.append((task, answer))
            do(partial(_read, task, answer))

    submit(depth)
    while pending:
        task, answer = pending.popleft()
        found = answer.get()
        if isinstance(found, BaseException) and not isinstance(found, Exception):
            raise found
        submit(1)
        yield task, found


def _read(task: Task, answer: SimpleQueue[Inputs | BaseException]) -> None:
    try:
        answer.put(task.read())
    except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
        answer.put(error)


def _run_batch(batch: list[tuple[Task, Inputs | Exception]], worker: Worker, keep_inputs: bool) -> Iterator[Result]:
    readable = [inputs for _, inputs in batch if not isinstance(inputs, Exception)]
    try:
        outcomes = iter(worker(readable))
    except DeviceLostError as error:
        ids = [task.id for task, inputs in batch if not isinstance(inputs, Exception)]
        named = ", ".join(ids[:4]) + (f" and {len(ids) - 4} more" if len(ids) > 4 else "")
        raise DeviceLostError(
            f"the device stopped working at {named} ({error}); what was done before is kept: start again to go on, "
            "one image at a time (batch_size 1) to find the one that does it, or on another device"
        ) from error.__cause__
    for task, inputs in batch:
        outcome = inputs if isinstance(inputs, Exception) else next(outcomes)
        kept = inputs if keep_inputs and not isinstance(inputs, Exception) else None
        if isinstance(outcome, Exception):
            yield Result(task.id, error=describe(outcome), inputs=kept)
        else:
            assert not isinstance(inputs, Exception)
            yield Result(task.id, outcome, inputs=kept, bad_masks=inputs.bad_masks)


class Worker:
    """A pipeline that loses no more than the images it cannot do."""

    def __init__(self, pipeline: Pipeline, at_a_time: int) -> None:
        self._pipeline = pipeline
        self.at_a_time = at_a_time
        """Images that it is given at a time; fewer, once that many did not fit into memory."""

    def __call__(self, batch: list[Inputs]) -> list[Annotation | Exception]:
        """The pipeline's answers; if a batch fails, its images are tried again, so that only the bad one is lost."""
        if not batch:
            return []
        try:
            return list(self._pipeline(batch))
        except Exception as error:
            logger.debug("%s failed", counted(len(batch), "image"), exc_info=True)
            if is_device_lost(error):
                raise DeviceLostError(briefly(error)) from without_frames(error)
            is_full = is_out_of_memory(error)
            failure = _too_large(error) if is_full else without_frames(error)
        # after the handler: until then the error's frames hold what was allocated
        if is_full:
            free_memory()
        if len(batch) == 1:
            return [failure]
        step = (len(batch) + 1) // 2 if is_full else 1
        if is_full:
            self.at_a_time = min(self.at_a_time, step)
            logger.warning("out of memory: going on with %s at a time", counted(self.at_a_time, "image"))
        parts = [batch[start : start + step] for start in range(0, len(batch), step)]
        return [outcome for part in parts for outcome in self(part)]


def _too_large(error: Exception) -> InputError:
    """What to say of one image for which there is no room."""
    where = next(iter(getattr(error, "__notes__", ())), "")
    return InputError(
        f"out of memory with this image alone{where and f', in {where}'} ({briefly(error)}); make it smaller, or "
        "choose smaller models or another device"
    )


def describe(error: BaseException) -> str:
    """An error in one line: its type where the message alone would not say, and the message."""
    text = " ".join(str(error).split())
    return (
        text
        if type(error).__name__ in ("InputError", "DeviceLostError") and text
        else f"{type(error).__name__}: {text}"
    )
