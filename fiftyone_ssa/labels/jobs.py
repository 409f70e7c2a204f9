"""The jobs of a dataset, as a curator watches them: waiting, running, done, failed, cancelled.

A job whose process died is "failed" as soon as someone looks: on the machine where it ran at once, from elsewhere when
it has not been heard of for `TIMEOUT_SECONDS`. What waits for `fiftyone delegated launch` is in FiftyOne's own list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import fiftyone as fo
from bson import ObjectId
from bson.errors import InvalidId

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.labels.database import Document, dataset_id, own_collection, scheduled, unschedule
from fiftyone_ssa.labels.process import has_ended

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Where = Literal["app", "schedule", "python"]
TIMEOUT_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
"""How long a scheduled job waits before it is told that maybe nothing takes it."""
SHOWN_ERRORS = 100
"""How many failures a log lists."""
DIED = "its process ended without a word (killed, or out of memory); what is done is kept, resume goes on from there"
LAUNCH = "nothing takes it: run `fiftyone delegated launch` in a terminal on the machine that is to do it"
CANCELLED_WAITING = "cancelled before it began"


@dataclass(frozen=True)
class JobRow:
    """One job as it stands."""

    id: str
    operator: str
    """The operator's name, such as "annotate"."""
    dataset: str
    """The dataset's name when the job began."""
    label_field: str
    state: State
    where: Where
    began: datetime
    """When it began, or began to wait; UTC."""
    ended: datetime | None = None
    done: int = 0
    total: int | None = None
    """Images to do, None as long as that is not known."""
    rate: float | None = None
    """Images a second, over the last minute."""
    seconds_left: float | None = None
    message: str = ""
    """The closing sentence, or what it does now."""
    failed: int = 0
    """Images that failed."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """File path to reason, of the first that failed."""
    is_recorded: bool = True
    """Whether it has begun; False for what stands in FiftyOne's list of scheduled jobs alone."""
    target: str = ""
    """What of the dataset it works on; "": all of it."""
    told: tuple[str, ...] = ()
    """The panels that need not say how it ended: the request that waits for it does."""
    was_repeated: bool = False
    """Whether a later job does the same work, or did."""

    @property
    def variant(self) -> Literal["info", "success", "warning", "error"]:
        """How the App should show it."""
        if self.state in ("waiting", "running"):
            return "info"
        if self.state == "failed" or (self.failed and self.failed >= (self.total or 0)):
            return "error"
        return "warning" if self.failed or self.state == "cancelled" else "success"

    @property
    def changes_dataset(self) -> bool:
        """Whether there is something new to see when it has ended."""
        return self.operator not in ("export", "export_coco", "load_dataset")

    @property
    def can_resume(self) -> bool:
        """Whether starting it again would go on with something."""
        return self.is_recorded and not self.was_repeated and (self.state in ("failed", "cancelled") or self.failed > 0)

    def __str__(self) -> str:
        if self.state != "running" or not self.total:
            return self.message or self.state
        rate = f", {self.rate:.{1 if self.rate < 10 else 0}f} images/s" if self.rate else ""
        left = f", {_duration(self.seconds_left)} left" if self.seconds_left is not None else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{images_of(self.done, self.total)}{rate}{left}{failed}"


def images_of(number: int, total: int | None) -> str:
    """How many images a job did, or failed in: "5 of 6 images"; "1 image" where it is not known of how many."""
    return f"{number:,} of {counted(total, 'image')}" if total else counted(number, "image")


def jobs(dataset: fo.Dataset | None, limit: int = 20) -> list[JobRow]:
    """A dataset's jobs, the latest first.

    Args:
        dataset: the dataset; None for jobs that began where none was open
        limit (20): at most so many
    """
    identity = dataset_id(dataset) if dataset is not None else None
    settle()
    rows_here = own_collection("jobs").find({"dataset": identity}, {"request": 0, "log": 0})
    found = list(rows_here.sort("began", -1).limit(limit))
    known = {row.get("delegated") for row in found}
    busy = any(row["state"] == "running" for row in found)
    rows = list(_repeated(_row(document) for document in found))
    rows += [_scheduled_row(document, busy) for document in scheduled(identity) if str(document["_id"]) not in known]
    return sorted(rows, key=lambda row: row.began, reverse=True)[:limit]


def job(identity: str) -> JobRow:
    """One job by its id. Raises InputError if there is none."""
    settle()
    return _row(document_of(identity))


def ended_since(rows: Iterable[JobRow], before: Mapping[str, str]) -> list[JobRow]:
    """The jobs that ended since their states were `before` (id to state), the earliest first."""
    open_then = {identity for identity, state in before.items() if state in ("waiting", "running")}
    ended = [row for row in rows if row.id in open_then and row.state not in ("waiting", "running")]
    return sorted(ended, key=lambda row: row.ended or row.began)


def cancel(identity: str) -> str:
    """Ask a job to end, which keeps what it has done; answers what happens now. Raises InputError if there is none."""
    if unschedule(_object_id(identity), CANCELLED_WAITING):
        return "it waited, and is taken off the list"
    settle()
    where = {"_id": document_of(identity)["_id"], "state": "running"}
    if own_collection("jobs").update_one(where, {"$set": {"cancel": True}}).matched_count:
        return "it ends after the images that it has in hand; what is done is kept"
    return "it has ended already"


def log(identity: str) -> str:
    """What a job said while it ran, which images failed and why, and what its own process printed."""
    document = document_of(identity)
    lines: Sequence[str] = document.get("log") or ()
    failed = [f"{entry['path']}: {entry['reason']}" for entry in document["errors"][:SHOWN_ERRORS]]
    rest = document["failed"] - len(failed)
    more = [f"and {counted(rest, 'more image')} failed"] if rest > 0 else []
    return "\n".join(filter(None, [*lines, *failed, *more, _tail(document.get("output"))]))


def settle() -> None:
    """Write down as failed what is "running" in a process that has ended."""
    late = {"$lt": ["$beat", {"$subtract": ["$$NOW", int(TIMEOUT_SECONDS * 1000)]}]}
    fields = {"holder": 1, "beat": 1, "late": late}
    for row in own_collection("jobs").aggregate([{"$match": {"state": "running"}}, {"$project": fields}]):
        ended = has_ended(row["holder"])
        if row["late"] if ended is None else ended:
            own_collection("jobs").update_one(
                {"_id": row["_id"], "state": "running", "beat": row["beat"]},
                {"$set": {"state": "failed", "message": DIED, "ended": datetime.now(UTC)}},
            )


def document_of(identity: str) -> Document:
    """A job's record. Raises InputError if there is none."""
    found: Document | None = own_collection("jobs").find_one({"_id": _object_id(identity)})
    if found is None:
        raise InputError(f"there is no job {shown(identity)}; jobs(dataset) lists those that are there")
    return found


def _object_id(identity: str) -> ObjectId:
    try:
        return ObjectId(identity)
    except (InvalidId, TypeError):
        raise InputError(f"there is no job {shown(identity)}; jobs(dataset) lists those that are there") from None


def _row(document: Document) -> JobRow:
    return JobRow(
        id=str(document["_id"]),
        operator=document["operator"],
        dataset=document["dataset_name"] or "",
        label_field=document["label_field"] or "",
        state=document["state"],
        where=document["where"],
        began=document["began"],
        ended=document["ended"],
        done=document["done"],
        total=document["total"],
        rate=document["rate"],
        seconds_left=document["seconds_left"],
        message=document["message"],
        failed=document["failed"],
        errors={entry["path"]: entry["reason"] for entry in document["errors"]},
        target=document.get("target", ""),
        told=tuple(document.get("told", ())),
    )


def _repeated(rows: Iterable[JobRow]) -> Iterator[JobRow]:
    """The rows, the latest first, each with whether one before it does the same on as many images."""
    later: set[tuple[str, str, str]] = set()
    for row in rows:
        work = row.operator, row.label_field
        yield replace(row, was_repeated=not later.isdisjoint({(*work, row.target), (*work, "")}))
        later.add((*work, row.target))


def _scheduled_row(document: Document, busy: bool) -> JobRow:
    """A job that FiftyOne has not begun, or that failed before ours could say anything."""
    params = document["params"] or {}
    error = (document["error"] or "").strip()
    state: State = "waiting" if not error else "cancelled" if error == CANCELLED_WAITING else "failed"
    waited = (datetime.now(UTC).replace(tzinfo=None) - document["queued_at"]).total_seconds()
    told = LAUNCH if waited > PATIENCE_SECONDS and not busy else "waits to be taken"
    return JobRow(
        id=str(document["_id"]),
        operator=document["operator"].rpartition("/")[2],
        dataset=document["dataset_name"] or "",
        label_field=str(params.get("label_field") or ""),
        state=state,
        where="schedule",
        began=document["queued_at"],
        ended=document["failed_at"],
        message=error.splitlines()[-1] if error else told,
        is_recorded=False,
    )


def _tail(path: str | None, size: int = 20_000) -> str:
    if path is None or not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        file.seek(max(Path(path).stat().st_size - size, 0))
        return file.read().decode(errors="replace").strip()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
