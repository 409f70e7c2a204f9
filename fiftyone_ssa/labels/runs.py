"""What runs wrote: kept in FiftyOne's database, so that the next run knows what settings labels have, and what a killed
run left behind.

A run's token is in the name of every file that it writes, so that no file is ever written twice.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
import pymongo

from fiftyone_ssa.labels.database import dataset_id, own_collection
from fiftyone_ssa.naming.stamp import Settings

OPEN, TIDIED, DONE = "open", "tidied", "done"
"""A run's states: it goes on, or was killed; it was killed, and what it left is removed; it ended, or was given up."""


def begin(
    dataset: fo.Dataset,
    field: str,
    preset: str,
    settings: Settings,
    folder: Path,
    overwrite: bool | str,
    class_filter: str = "",
) -> str:
    """Record a run that begins, and answer its token; one that overwrites gives up what others were to overwrite.

    `class_filter` is the name of the model whose embeddings it keeps, as a preset has it.
    """
    runs, here, token = own_collection("runs"), {"dataset": dataset_id(dataset), "field": field}, secrets.token_hex(6)
    same = {"fingerprint": settings.fingerprint, "overwrite": overwrite}
    if overwrite:
        goes_on = list(unfinished(dataset, field, settings, overwrite))
        runs.update_many({**here, "_id": {"$nin": goes_on}}, {"$set": {"state": DONE}})
    runs.insert_one(
        {
            "_id": token,
            **here,
            **same,
            "preset": preset,
            "values": json.dumps(dict(settings.values), sort_keys=True),
            "folder": str(folder),
            "class_filter": class_filter,
            "began": datetime.now(UTC),
            "state": OPEN,
        }
    )
    return token


def unfinished(dataset: fo.Dataset, field: str, settings: Settings, overwrite: bool | str) -> frozenset[str]:
    """The tokens of runs that were to overwrite in this way, with these settings, and did not come to their end."""
    if not overwrite:
        return frozenset()
    here = {"dataset": dataset_id(dataset), "field": field, "state": {"$ne": DONE}}
    same = {"fingerprint": settings.fingerprint, "overwrite": overwrite}
    return frozenset(own_collection("runs").distinct("_id", {**here, **same}))


def finish(tokens: Iterable[str]) -> None:
    """Record that runs did all that they were to do."""
    own_collection("runs").update_many({"_id": {"$in": list(tokens)}}, {"$set": {"state": DONE}})


def killed(dataset: fo.Dataset, field: str) -> dict[str, Path]:
    """The runs on a field that ended without a word, token to folder; ask only while no other run can be going on."""
    rows = own_collection("runs").find({"dataset": dataset_id(dataset), "field": field, "state": OPEN})
    return {row["_id"]: Path(row["folder"]) for row in rows}


def tidied(tokens: Iterable[str]) -> None:
    """Record that what killed runs left behind is removed."""
    own_collection("runs").update_many({"_id": {"$in": list(tokens)}, "state": OPEN}, {"$set": {"state": TIDIED}})


def of_dataset(dataset: fo.Dataset) -> list[dict[str, Any]]:
    """Every run on a dataset, the latest last: `_id` (its token), `field` and `folder`."""
    found = own_collection("runs").find({"dataset": dataset_id(dataset)}, {"field": 1, "folder": 1})
    return list(found.sort("began"))


def last_folder(dataset: fo.Dataset, field: str) -> Path | None:
    """Where a field's last run put its files, None where there was no run."""
    folders = [Path(row["folder"]) for row in of_dataset(dataset) if row["field"] == field]
    return folders[-1] if folders else None


def settings_of(fingerprint: str) -> tuple[str, Mapping[str, Any]] | None:
    """The name and the settings behind a fingerprint, None if no run of this database had them.

    Presets of several names can have the same settings: the name is that of the latest run.
    """
    row = own_collection("runs").find_one(
        {"fingerprint": fingerprint}, {"values": 1, "preset": 1}, sort=[("began", pymongo.DESCENDING)]
    )
    return (row["preset"], json.loads(row["values"])) if row else None


def class_filters(tokens: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Token to the class filter of a run that kept embeddings: its name, and what it was (its files, its revision)."""
    found = own_collection("runs").find({"_id": {"$in": list(tokens)}}, {"class_filter": 1, "values": 1})
    return {
        row["_id"]: (row["class_filter"], json.loads(row["values"]).get("open_vocabulary.class_filter", ""))
        for row in found
        if row.get("class_filter")
    }
