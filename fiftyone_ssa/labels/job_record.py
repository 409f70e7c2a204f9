"""Writing down what a job does while it runs: begun, at most once a second its progress, ended."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo.errors import PyMongoError

from fiftyone_ssa.labels.database import Document, dataset_id, own_collection
from fiftyone_ssa.labels.jobs import JobRow, State, Where, job
from fiftyone_ssa.labels.process import describe_process

BEAT_SECONDS = 1.0
RATE_SECONDS = 60.0
KEPT_ERRORS = 1000
KEPT_LINES = 200
KEPT_JOBS = 100
"""How many jobs a dataset's list holds; older ones that have ended are forgotten."""


class Cancelled(BaseException):
    """Raised in the job's progress callback when someone cancelled it; no `except Exception` takes it for a failure."""


def begin(
    operator: str,
    dataset: fo.Dataset | None,
    *,
    uri: str = "",
    label_field: str = "",
    where: Where = "python",
    request: str = "{}",
    delegated: str | None = None,
    target: str = "",
    told: Sequence[str] = (),
) -> str:
    """Record a job that begins in this process, and answer its id.

    Args:
        operator: the operator's name
        dataset: the dataset it works on, None where there is none
        uri (""): the operator as FiftyOne knows it, for `resume`
        label_field (""): the field that it fills or reads
        where ("python"): who started it
        request ("{}"): what it was asked, as JSON, for `resume`
        delegated (None): the id that FiftyOne gave it, if it was scheduled
        target (""): what of the dataset it works on, in any words; "": all of it
        told (()): the panels whose page is told by the request that waits for the job, until `leave`
    """
    identity = dataset_id(dataset) if dataset is not None else None
    _forget_old(identity)
    now = datetime.now(UTC)
    document: Document = {
        "operator": operator,
        "uri": uri,
        "dataset": identity,
        "dataset_name": dataset.name if dataset is not None else None,
        "label_field": label_field,
        "where": where,
        "request": request,
        "delegated": delegated,
        "target": target,
        "told": list(told),
        "state": "running",
        "began": now,
        "ended": None,
        "done": 0,
        "total": None,
        "rate": None,
        "seconds_left": None,
        "message": "starts",
        "failed": 0,
        "errors": [],
        "log": [],
        "output": None,
        "cancel": False,
        "holder": describe_process(),
        "beat": now,
    }
    return str(own_collection("jobs").insert_one(document).inserted_id)


def leave(identity: str) -> None:
    """The request that waited for a job waits no longer: its panels tell how it ends."""
    own_collection("jobs").update_one({"_id": ObjectId(identity)}, {"$set": {"told": []}})


class JobRecord:
    """A job of this process: give its `progress` to the library, and tell how it ended."""

    def __init__(self, identity: str, *, interrupts: bool = False) -> None:
        """`interrupts`: whether the process is this job's own, so that one that loads yet can be interrupted."""
        self.id = identity
        self._interrupts = interrupts
        self.done = 0
        self.total: int | None = None
        self.cancelled = threading.Event()
        self._times: deque[tuple[float, int]] = deque()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._where = {"_id": ObjectId(identity)}

    def progress(self, bar: Any) -> None:
        """Take over what FiftyOne's progress bar shows. Raises Cancelled if someone cancelled the job."""
        self.done, self.total = int(bar.iteration), bar.total
        now = time.monotonic()
        self._times.append((now, self.done))
        while now - self._times[0][0] > RATE_SECONDS:
            self._times.popleft()
        if self.cancelled.is_set():
            raise Cancelled

    def end(self, state: State, message: str, errors: Mapping[str, str] | None = None) -> JobRow:
        """Write down how the job ended, and answer its row; `errors` are by file path."""
        errors = errors or {}
        rows = [{"path": path, "reason": reason} for path, reason in list(errors.items())[:KEPT_ERRORS]]
        values = {"state": state, "message": message, "errors": rows, "failed": len(errors), "ended": datetime.now(UTC)}
        self._write({**values, "seconds_left": None})
        return job(self.id)

    @contextmanager
    def running(self) -> Iterator[JobRecord]:
        """While it runs: the record is kept up to date, and takes what the library logs."""
        stop, handler = threading.Event(), _Lines(self._lines)
        loggers = [logging.getLogger(name) for name in ("fiftyone_ssa", "fiftyone")]
        for logger in loggers:
            logger.addHandler(handler)
        own_collection("jobs").update_one(self._where, {"$set": {"holder": describe_process(), "message": "loads"}})
        beats = threading.Thread(target=self._beat, args=(stop,), name="job", daemon=True)
        beats.start()
        try:
            yield self
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
            stop.set()
            beats.join()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_SECONDS):
            with suppress(PyMongoError):  # a server that is gone ends the job where it writes
                self._write({})
                asked = own_collection("jobs").find_one({**self._where, "cancel": True}, {"_id": 1})
                if asked is not None and not self.cancelled.is_set():
                    self.cancelled.set()
                    if self._interrupts and not self._times:
                        os.kill(os.getpid(), signal.SIGINT)

    def _write(self, values: Mapping[str, Any]) -> None:
        rate = self._rate()
        left = (self.total - self.done) / rate if rate and self.total is not None else None
        shown = {"done": self.done, "total": self.total, "rate": rate, "seconds_left": left, "log": list(self._lines)}
        values = {key: {"$literal": value} for key, value in {**shown, **values}.items()}
        own_collection("jobs").update_one(self._where, [{"$set": {**values, "beat": "$$NOW"}}])

    def _rate(self) -> float | None:
        """Images a second; the first callback counts as the start, so that loading models does not.

        None within the first second: a batch comes at once, and would pass for thousands a second.
        """
        times = list(self._times)
        if len(times) < 2 or times[-1][0] - times[0][0] < 1:
            return None
        return (times[-1][1] - times[0][1]) / (times[-1][0] - times[0][0]) or None


class _Lines(logging.Handler):
    """Keeps the last lines of what is logged."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def _forget_old(dataset: ObjectId | None) -> None:
    """Forget a dataset's older jobs, and those of datasets that are gone."""
    jobs, ended = own_collection("jobs"), {"state": {"$ne": "running"}}
    here = jobs.find({**ended, "dataset": dataset}, {"output": 1}).sort("began", -1).skip(KEPT_JOBS)
    gone = jobs.find({**ended, "dataset": {"$nin": [None, *jobs.database.datasets.distinct("_id")]}}, {"output": 1})
    for row in [*here, *gone]:
        if row["output"]:
            Path(row["output"]).unlink(missing_ok=True)
        jobs.delete_one({"_id": row["_id"]})
