"""Processes that work side by side, each with what it made at its start: models, or nothing.

Not `multiprocessing`'s, which run the user's main script anew, or share what a fork must not (CUDA, a database's
connections). `python -m fiftyone_ssa.naming.workers` answers pickles on stdin with pickles on stdout.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from queue import SimpleQueue
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.child import begin, end, imported_from
from fiftyone_ssa.naming.run import threads

Work = Callable[[Any], Any]
AHEAD = 2
"""Values for each process that wait, are worked on, or are answered and not taken yet."""
_LOST = (OSError, EOFError, pickle.UnpicklingError)


TRIES = 2
"""How often a value is given to a process that ends over it, where it must be answered."""


class WorkerLostError(Exception):
    """A process ended while it worked; another one stands in its place."""


class Workers:
    """So many processes, which begin at once and end with this object or this process."""

    def __init__(self, make: Callable[[int], Work], count: int) -> None:
        """`make` is called in each process with its number, from 0, and must be picklable, as what it is given is.

        Raises what it raises, or InputError where a process ends as it begins.
        """
        cores = max(1, (os.cpu_count() or 1) // count)
        self.count, self._idle = count, SimpleQueue[_Process]()
        self._all = [_Process(partial(make, index), cores) for index in range(count)]
        for process in self._all:
            self._idle.put(process)
        try:
            for process in self._all:
                process.ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, whatever they do."""
        for process in self._all:
            process.close()

    def map(
        self, values: Iterable[Any], ask: Callable[[Workers, Any], Any] | None = None
    ) -> Generator[Any, None, None]:
        """The answer to each value, in order, a few values ahead; `ask` asks for one, by default `Workers.ask`.

        Raises what a process raises.
        """
        pending: deque[SimpleQueue[tuple[Any, BaseException | None]]] = deque()
        with threads(self.count, "worker") as do:
            for value in values:
                answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
                do(partial(self._answer, ask or Workers.ask, value, answer))
                pending.append(answer)
                if len(pending) >= AHEAD * self.count:
                    yield _taken(pending.popleft())
            while pending:
                yield _taken(pending.popleft())

    def ask(self, value: Any) -> Any:
        """One answer, of a process that is idle. Raises what it raises, WorkerLostError if it ends meanwhile."""
        process = self._idle.get()
        try:
            return process.ask(value)
        except _LOST as error:
            process.begin_again()
            raise WorkerLostError("its process ended (killed, or out of memory)") from error
        finally:
            self._idle.put(process)

    def _answer(self, ask: Callable[[Workers, Any], Any], value: Any, answer: SimpleQueue[Any]) -> None:
        try:
            answer.put((ask(self, value), None))
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            answer.put((None, error))


def insist(workers: Workers, value: Any) -> Any:
    """One answer, asked for anew where a process ends over it. Raises InputError where `TRIES` do."""
    for _ in range(TRIES):
        with contextlib.suppress(WorkerLostError):
            return workers.ask(value)
    raise InputError(f"a process of several workers ended {TRIES} times (killed, or out of memory); take fewer workers")


def _taken(answer: SimpleQueue[tuple[Any, BaseException | None]]) -> Any:
    found, error = answer.get()
    if error is not None:
        raise error
    return found


class _Process:
    """One of the processes, and what it takes to begin it."""

    def __init__(self, make: Callable[[], Work], cores: int) -> None:
        self._make = pickle.dumps(make)
        self._folders = imported_from()  # as they are now, for those that begin again, too
        self._variables = {name: str(cores) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} | dict(os.environ)
        self._begin()

    def _begin(self) -> None:
        self._process = begin(__name__, folders=self._folders, variables=self._variables)
        self.close = weakref.finalize(self, end, self._process)
        assert self._process.stdin is not None
        self._process.stdin.write(self._make)
        self._process.stdin.flush()
        self._is_ready = False

    def begin_again(self) -> None:
        """Stand a new process in the place of one that ended, unless all are to end."""
        if self.close.alive:
            self.close()
            self._begin()

    def ready(self) -> None:
        """Wait until it has made what it works with. Raises what that raised, InputError if it ended."""
        if not self._is_ready:
            try:
                self._answer()
            except _LOST as error:
                raise InputError(
                    "a process of several workers ended as it began (killed, or out of memory); take fewer workers"
                ) from error
            self._is_ready = True

    def ask(self, value: Any) -> Any:
        """Its answer to a value."""
        self.ready()
        assert self._process.stdin is not None
        pickle.dump(value, self._process.stdin, protocol=5)
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        answer, error = pickle.load(self._process.stdout)
        if error is not None:
            raise error
        return answer


def main() -> None:
    """Answer until stdin ends, as it does when whoever asks is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    questions = sys.stdin.buffer
    work: Work | None = None
    try:
        while True:
            value = pickle.load(questions)
            answer: Any = None
            error: Exception | None = None
            try:
                if work is None:
                    work = value()
                else:
                    answer = work(value)
            except Exception as raised:  # noqa: BLE001 - told to whoever asked
                error = _sendable(raised)
            pickle.dump((answer, error), answers, protocol=5)
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # what libraries would do at their end is of no use to anybody


def _sendable(error: Exception) -> Exception:
    """An error without its frames; its words alone where it cannot be sent as it is."""
    try:
        same = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever a library's error raises when it is copied
        same = None
    return same if isinstance(same, type(error)) else RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
