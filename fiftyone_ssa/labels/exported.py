"""What left for an annotation tool: each image's masks as they were, kept in FiftyOne's database until they come back.

One document an image, field and format, the last export's: what a mask is known by, its class, and its pixels there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import own_collection
from fiftyone_ssa.labels.journal import Said
from fiftyone_ssa.labels.updates import said
from fiftyone_ssa.masks.runs import read_runs
from fiftyone_ssa.types import Ints

GIVEN_UP = timedelta(days=2)
"""After so long, an export that did not come to its end was killed."""


@dataclass(frozen=True)
class ExportedMask:
    """A mask as it left."""

    id: ObjectId
    label: str
    """The class that it was exported as."""
    pixels: str
    """`pixels_digest` of what a reader of the format sees."""
    own_pixels: str
    """`pixels_digest` of the mask itself."""
    said: Said
    """What was said of it here."""


@dataclass(frozen=True)
class ExportedImage:
    """An image as it left."""

    sample: ObjectId
    masks: tuple[ExportedMask, ...]


class Exports:
    """What one export of a field in one format sends out."""

    def __init__(self, dataset: ObjectId, field: str, format: str) -> None:
        """Begin; nothing counts before `finish`."""
        self._here = {"dataset": dataset, "field": field, "format": format}
        self._token = ObjectId()
        killed = datetime.now(UTC) - GIVEN_UP  # another export may be running
        collection().delete_many({**self._here, "done": False, "at": {"$lt": killed}})

    def add(self, sample: str, names: Sequence[str], masks: Sequence[ExportedMask]) -> None:
        """Remember one image: what it is called outside, the longest name first."""
        rows = [[mask.id, mask.label, mask.pixels, mask.own_pixels, list(mask.said)] for mask in masks]
        entry = {"sample": ObjectId(sample), "names": list(dict.fromkeys(names)), "masks": rows}
        collection().insert_one({**self._here, "token": self._token, "done": False, "at": datetime.now(UTC), **entry})

    def finish(self) -> None:
        """Let it count, in place of what was remembered of these images before."""
        ours = {**self._here, "token": self._token}
        samples = [row["sample"] for row in collection().find(ours, {"sample": 1})]
        collection().update_many(ours, {"$set": {"done": True}})
        for start in range(0, len(samples), 10_000):
            some = {"$in": samples[start : start + 10_000]}
            collection().delete_many({**self._here, "token": {"$ne": self._token}, "sample": some})


def recall(
    dataset: ObjectId, field: str, format: str, *, sample: str = "", path: Path | None = None
) -> ExportedImage | None:
    """An image as it was exported last, by its sample's id or by the end of its path; None where none is known.

    Raises InputError if several samples were exported under that name.
    """
    here = {"dataset": dataset, "field": field, "format": format, "done": True}
    if re.fullmatch(r"[0-9a-f]{24}", sample):
        found = collection().find_one({**here, "sample": ObjectId(sample)})
        return None if found is None else _image(found)
    ends = [] if path is None else endings(path)
    rows = list(collection().find({**here, "names": {"$in": ends}}, {"sample": 1, "names": 1}).limit(1000))
    for end in ends:
        known = [row["_id"] for row in rows if end in row["names"]]
        if len(known) > 1:
            raise InputError(f"{len(known)} images were exported as {end}; keep the folders that the export gave them")
        if known:
            return _image(collection().find_one({"_id": known[0]}))
    return None


def endings(path: Path) -> list[str]:
    """A path, and what is left of it without its first folders, the longest first."""
    parts = PurePosixPath(path.as_posix()).parts
    return [path.as_posix(), *("/".join(parts[start:]) for start in range(1, len(parts)))]


def pixels_digest(code: bytes, size_hw: tuple[int, int]) -> str:
    """Sixteen hex digits over a mask's pixels, whichever way its code is written."""
    return runs_digest(read_runs([code], size_hw)[0], size_hw)


def runs_digest(runs: tuple[Ints, Ints], size_hw: tuple[int, int]) -> str:
    """The same of the starts and ends of a mask's runs."""
    height, width = size_hw
    content = runs[0].tobytes() + runs[1].tobytes()
    return hashlib.blake2b(content, digest_size=8, person=f"{height} {width}".encode()[:16]).hexdigest()


def exported_mask(document: Mapping[str, Any], label: str, pixels: str, own_pixels: str) -> ExportedMask | None:
    """A detection as it leaves; None of one that no database holds."""
    identity = document.get("_id")
    if not isinstance(identity, ObjectId):
        return None
    return ExportedMask(identity, label, pixels, own_pixels, said(document))


def collection() -> Any:
    """Where it is kept."""
    found = own_collection("exported")
    found.create_index([("dataset", 1), ("field", 1), ("format", 1), ("sample", 1)])
    found.create_index([("dataset", 1), ("field", 1), ("format", 1), ("names", 1)])
    return found


def _image(row: Mapping[str, Any]) -> ExportedImage:
    masks = tuple(
        ExportedMask(identity, label, pixels, own, Said(*rest)) for identity, label, pixels, own, rest in row["masks"]
    )
    return ExportedImage(row["sample"], masks)
