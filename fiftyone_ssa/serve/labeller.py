"""One thread labels what all requests bring: those of one kind that wait together go through the pipeline together.

Batches are made by `naming.run`, as a folder's are: two threads decode ahead while the pipeline computes, a picture
that fails costs itself only, and where memory runs out half as many are worked on at a time.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from fiftyone_ssa.errors import DeviceLostError
from fiftyone_ssa.naming.run import Pipeline, Task, describe, run
from fiftyone_ssa.types import Annotation, Inputs, Result

logger = logging.getLogger(__name__)
LINGER_SECONDS = 0.005
"""How long the first of a batch waits for others."""


@dataclass(frozen=True)
class Kind:
    """What a request asks for; those of one kind share batches."""

    has_masks: bool = False
    vocabulary: tuple[str, ...] = ()
    """Names that are offered for every mask."""
    only: bool = False
    """Whether nothing but the vocabulary proposes names."""


class FullError(Exception):
    """As many requests wait as may."""


class ClosedError(Exception):
    """The service ends, or its device is lost: nothing more is taken."""


@dataclass(frozen=True, eq=False)
class _Job:
    task: Task
    kind: Kind
    outcome: Future[Result] = field(default_factory=Future)


class Labeller:
    """Names pictures for many callers at once; `close` ends it when all that was taken is done."""

    def __init__(
        self,
        pipelines: Callable[[Kind], Pipeline],
        *,
        batch_size: int = 4,
        most_waiting: int = 64,
        linger_seconds: float = LINGER_SECONDS,
        on_batch: Callable[[int], object] = lambda pictures: None,
    ) -> None:
        """Start the thread. `on_batch` is told how many pictures go through the pipeline together."""
        self._pipelines, self._batch_size, self._on_batch = pipelines, batch_size, on_batch
        self._most_waiting, self._linger_seconds = most_waiting, linger_seconds
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._reserved, self._closing, self._ended = 0, False, False
        self._ids = itertools.count(1)
        self.failure: str | None = None
        """Why nothing more can be labelled: the device is lost."""
        self._thread = threading.Thread(target=self._work, name="label", daemon=True)
        self._thread.start()

    @property
    def reserved(self) -> int:
        """Requests that are taken and not answered yet."""
        return self._reserved

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait, for as long as a request takes. Raises FullError, or ClosedError at the end."""
        with self._changed:
            if self._closing or self.failure:
                raise ClosedError(self.failure or "the service is ending")
            if self._reserved >= self._most_waiting:
                raise FullError
            self._reserved += 1
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= 1

    def submit(self, read: Callable[[], Inputs], kind: Kind) -> Future[Result]:
        """Label one picture, which `read` gives in a decoder's thread. Raises ClosedError where nobody would."""
        job = _Job(Task(str(next(self._ids)), read), kind)
        with self._changed:
            if self.failure or self._ended:
                raise ClosedError(self.failure or "the service has ended")
            self._jobs.append(job)
            self._changed.notify()
        return job.outcome

    def close(self) -> None:
        """Take nothing more, finish what was taken, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (kind := self._next_kind()) is not None:
            taken: dict[str, _Job] = {}
            try:
                pipeline = self._counted(self._pipelines(kind))
                for result in run(self._tasks(kind, taken), pipeline, batch_size=self._batch_size):
                    _end(taken.pop(result.id), result)
            except DeviceLostError as error:
                self._give_up(describe(error), taken)
            except Exception as error:
                logger.exception("labelling failed")
                self._fail(describe(error), taken, kind)
            except BaseException as error:  # a user's own model may leave Python: nobody shall wait for ever
                self._give_up(describe(error), taken)
                raise

    def _next_kind(self) -> Kind | None:
        """What the oldest job asks for; None at the end, after which nothing is taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            self._ended = not self._jobs
            return self._jobs[0].kind if self._jobs else None

    def _tasks(self, kind: Kind, taken: dict[str, _Job]) -> Iterator[Task]:
        """The jobs of one kind, until none waits, or one of another kind is next: no kind waits for ever."""
        with self._changed:
            wanted = time.monotonic() + self._linger_seconds
            while len(self._jobs) < self._batch_size and not self._closing:
                if not self._changed.wait(max(0.0, wanted - time.monotonic())):
                    break
        while True:
            with self._changed:
                if not self._jobs or self._jobs[0].kind != kind:
                    break
                job = self._jobs.popleft()
            taken[job.task.id] = job
            yield job.task

    def _counted(self, pipeline: Pipeline) -> Pipeline:
        def counted(batch: list[Inputs]) -> list[Annotation]:
            self._on_batch(len(batch))
            return pipeline(batch)

        return counted

    def _fail(self, error: str, taken: dict[str, _Job], kind: Kind) -> None:
        """Answer those who were on the way with the error; where none was, whoever asked for what cannot be built."""
        with self._changed:
            if not taken:
                jobs = [job for job in self._jobs if job.kind == kind]
                self._jobs = deque(job for job in self._jobs if job.kind != kind)
            else:
                jobs = list(taken.values())
        for job in jobs:
            _end(job, Result(job.task.id, error=error))

    def _give_up(self, error: str, taken: dict[str, _Job]) -> None:
        with self._changed:
            self.failure = error
            jobs = [*taken.values(), *self._jobs]
            self._jobs.clear()
        for job in jobs:
            with suppress(InvalidStateError):
                job.outcome.set_exception(ClosedError(error))


def _end(job: _Job, result: Result) -> None:
    """Answer whoever waits for a job; nobody does where the request was cancelled."""
    with suppress(InvalidStateError):
        job.outcome.set_result(result)
