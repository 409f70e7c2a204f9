"""One writer a dataset field: a lease in FiftyOne's database, which a killed process leaves to the next one.

A lease names its holder: machine, process and when that began. Another process of the same machine sees at once that a
holder is dead; elsewhere a lease lapses when it has not been renewed for `TIMEOUT_SECONDS`, by the server's clock.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo.errors import DuplicateKeyError, PyMongoError

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import dataset_id, own_collection
from fiftyone_ssa.labels.process import describe_process, has_ended

TIMEOUT_SECONDS = 60.0
BEAT_SECONDS = 10.0
SCHEMA = "*"
"""The lease on declaring a dataset's fields; no field can have that name."""


class LeaseHeldError(InputError):
    """Another process writes this field of this dataset."""


@dataclass
class Lease:
    """The right to write one field of one dataset, until it is given back or lost."""

    key: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    renewed: float = field(default_factory=time.monotonic)
    lost: bool = False

    def check(self) -> None:
        """Raise InputError if the lease went to someone else: this process slept for longer than it lasts."""
        if time.monotonic() - self.renewed > TIMEOUT_SECONDS / 2:
            self.renew()
        if self.lost:
            raise InputError(
                f"this run stood still for over {TIMEOUT_SECONDS:.0f} seconds and another took its place; "
                "what is finished is kept, start again when that one is done"
            )

    def renew(self) -> None:
        """Tell the server that the holder lives."""
        found = own_collection("leases").update_one(
            {"_id": self.key, "token": self.token}, [{"$set": {"beat": "$$NOW"}}]
        )
        if found.matched_count:
            self.renewed = time.monotonic()
        else:
            self.lost = True


@contextmanager
def hold(dataset: fo.Dataset, name: str, *, wait_seconds: float = 0.0) -> Iterator[Lease]:
    """Hold the lease on a dataset's field. Raises LeaseHeldError, naming who holds it, after `wait_seconds`."""
    lease = Lease(f"{dataset_id(dataset)}/{name}")
    deadline = time.monotonic() + wait_seconds
    while (holder := _take(lease)) is not None:
        if time.monotonic() >= deadline:
            raise LeaseHeldError(_held(dataset, name, holder))
        time.sleep(0.05)
    stop = threading.Event()
    beats = threading.Thread(target=_beat, args=(lease, stop), name="lease", daemon=True)
    beats.start()
    try:
        yield lease
    finally:
        stop.set()
        beats.join()
        with suppress(PyMongoError):
            own_collection("leases").delete_one({"_id": lease.key, "token": lease.token})


def check_free(dataset: fo.Dataset, name: str) -> None:
    """Raise LeaseHeldError, naming who holds it, where another process holds the lease on a dataset's field."""
    holder = own_collection("leases").find_one({"_id": f"{dataset_id(dataset)}/{name}"})
    if holder is not None and not _is_dead(holder):
        raise LeaseHeldError(_held(dataset, name, holder))


def held_fields(dataset: fo.Dataset) -> list[str]:
    """The names of a dataset's fields that have a lease, whether or not its holder still lives."""
    keys = own_collection("leases").distinct("_id", {"_id": {"$regex": f"^{dataset_id(dataset)}/"}})
    return sorted(key.partition("/")[2] for key in keys)


def stale() -> int:
    """The number of leases of dead processes and of datasets that are gone."""
    return len(_stale())


def drop_stale() -> int:
    """Remove the leases of dead processes and of datasets that are gone; the number removed."""
    leases = own_collection("leases")
    return sum(leases.delete_one(_as_read(row)).deleted_count for row in _stale())


def _stale() -> list[dict[str, Any]]:
    leases = own_collection("leases")
    known = set(leases.database.datasets.distinct("_id"))
    return [row for row in leases.find() if ObjectId(row["_id"].partition("/")[0]) not in known or _is_dead(row)]


def _take(lease: Lease) -> dict[str, Any] | None:
    """Take a lease that is free, or whose holder is dead; otherwise answer the holder."""
    leases = own_collection("leases")
    values = {key: {"$literal": value} for key, value in {"token": lease.token, **describe_process()}.items()}
    mine = [{"$set": {**values, "since": "$$NOW", "beat": "$$NOW"}}]
    while True:
        try:
            leases.update_one({"_id": lease.key, "token": lease.token}, mine, upsert=True)
        except DuplicateKeyError:
            holder: dict[str, Any] | None = leases.find_one({"_id": lease.key})
            if holder is None:
                continue  # given back between the two
            if not _is_dead(holder) or leases.find_one_and_update(_as_read(holder), mine) is None:
                return holder
        lease.renewed = time.monotonic()
        return None


def _as_read(row: dict[str, Any]) -> dict[str, Any]:
    """Finds a lease if it is as it was read: a holder that was thought dead may have renewed it since."""
    return {key: row[key] for key in ("_id", "token", "beat")}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a holder is a process of this machine that ended, or one elsewhere that is no longer heard of."""
    ended = has_ended(holder)
    if ended is not None:
        return ended
    late = {"$lt": ["$beat", {"$subtract": ["$$NOW", int(TIMEOUT_SECONDS * 1000)]}]}
    found = own_collection("leases").find_one({"_id": holder["_id"], "token": holder["token"], "$expr": late})
    return found is not None


def _held(dataset: fo.Dataset, name: str, holder: dict[str, Any]) -> str:
    since: datetime = holder["since"]
    return (
        f"{name!r} of dataset {dataset.name!r} is being written by process {holder['pid']} on {holder['host']} "
        f"since {since:%Y-%m-%d %H:%M:%S} UTC; wait until it is done or stop it, or choose another label_field"
    )


def _beat(lease: Lease, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS) and not lease.lost:
        with suppress(PyMongoError):  # a server that is gone ends the run where it writes
            lease.renew()
