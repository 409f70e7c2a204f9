"""What a sample's labels were made from, and whether they are done: their stamps fit and all that was written is there.

`<label_field>_preset` holds the fingerprint of the settings, `<label_field>_inputs` five parts with "|" between them:
the image's size and date, what the masks were, what the class map was ("-" where the preset makes them), how many
masks were written, and the run.
Masks of a field count by a digest of their pixels, behind one of the bytes that saves decoding them: `bytes.pixels`;
where their names are read, with a digest of those: `bytes.pixels+names`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import Document, samples_of
from fiftyone_ssa.labels.embeddings import PATH as EMBEDDINGS_PATH
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.review import digest_of
from fiftyone_ssa.naming.stamp import file_stamp

NOTHING = "-"
READ_SAMPLES = 1000
"""Samples whose state is fetched with one query."""


@dataclass(frozen=True)
class State:
    """What a sample holds of one label field and what comes with it."""

    id: str
    path: str
    preset: str | None = None
    inputs: str | None = None
    error: str | None = None
    labelled: bool = False
    """Whether the label is there, with masks or without."""
    masks: int = 0
    files: tuple[str, ...] = ()
    """Every file that the labels point to."""
    maps: frozenset[str] = field(default_factory=frozenset)
    """The names of the class map fields that hold something."""
    embeddings: str = ""
    """The file of its masks' embeddings, if one was kept."""

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """The parts of `inputs`, empty where there are none."""
        parts = (self.inputs or "").split("|")
        return (parts[0], parts[1], parts[2], parts[3], parts[4]) if len(parts) == 5 else ("",) * 5

    @property
    def run(self) -> str:
        """The token of the run that wrote it, or nothing."""
        return run_of(self.inputs)


def states(dataset: fo.Dataset, fields: Fields, paths: Mapping[str, str]) -> Iterator[State]:
    """The states of samples, id to file path, as the dataset holds them: what a view hides is there all the same."""
    ids = list(paths)
    for start in range(0, len(ids), READ_SAMPLES):
        chunk = ids[start : start + READ_SAMPLES]
        found = samples_of(dataset).aggregate(
            [{"$match": {"_id": {"$in": list(map(ObjectId, chunk))}}}, {"$project": _projection(fields)}]
        )
        documents = {str(document["_id"]): document for document in found}
        yield from (_state(sample_id, paths[sample_id], fields, documents.get(sample_id, {})) for sample_id in chunk)


def _projection(fields: Fields) -> Document:
    masks = f"${fields.label}.detections"
    return {
        fields.preset: 1,
        fields.inputs: 1,
        fields.error: 1,
        f"{fields.semantic}._id": 1,
        f"{fields.semantic}.mask_path": 1,
        f"{fields.branch}._id": 1,
        f"{fields.branch}.mask_path": 1,
        "labelled": {"$eq": [{"$type": f"${fields.label}"}, "object"]},
        "masks": {"$size": {"$ifNull": [masks, []]}},
        "files": f"{masks}.mask_path",
        "embeddings": f"${fields.label}.{EMBEDDINGS_PATH}",
    }


def _state(sample_id: str, path: str, fields: Fields, document: Document) -> State:
    maps = {name: document.get(name) for name in (fields.semantic, fields.branch)}
    files = [*(document.get("files") or ()), *(label.get("mask_path") for label in maps.values() if label)]
    return State(
        sample_id,
        path,
        document.get(fields.preset),
        document.get(fields.inputs),
        document.get(fields.error),
        bool(document.get("labelled")),
        document.get("masks", 0),
        tuple(filter(None, files)),
        frozenset(name for name, label in maps.items() if label),
        document.get("embeddings") or "",
    )


def stamp(inputs: Sequence[str], written: int, run: str) -> str:
    """The text of `<label_field>_inputs`."""
    return "|".join((*(text or "gone" for text in inputs), str(written), run))


def run_of(inputs: str | None) -> str:
    """The token of the run in what `<label_field>_inputs` holds, or nothing."""
    return (inputs or "").rpartition("|")[2]


def changed_input(state: State, image: str, masks: str, class_map: str) -> str | None:
    """Which input of a sample is not what it was, as the summary counts it; None where all are the same."""
    was_image, was_masks, was_map = state.parts[:3]
    if was_image != (image or "gone"):
        return "image changed"
    if not same_masks(was_masks, masks or "gone"):
        return "image with changed masks"
    return "image with a changed class map" if was_map != (class_map or "gone") else None


def missing_output(state: State, maps: Sequence[str], embeddings: bool = False) -> str | None:
    """What of a sample's labels is gone, `maps` being the class maps that it must have; None where all is there.

    `embeddings`: whether the file with those of its masks must be there, too.
    """
    if not state.labelled or (state.masks == 0 and state.parts[3] != "0"):
        return "image whose labels were gone"
    if not state.maps.issuperset(maps):
        return "image without a class map"
    if embeddings and state.masks and not (state.embeddings and _is_there(state.embeddings)):
        return "image without embeddings"
    return None if all(map(_is_there, state.files)) else "image whose files were gone"


def _is_there(path: str) -> bool:
    """Whether a file is there and not empty, as one is after a machine that lost its power."""
    try:
        return Path(path).stat().st_size > 0
    except OSError:
        return False


def image_stamp(path: str | Path) -> str:
    """An image file's size and date."""
    return file_stamp(Path(path))


def masks_stamp(detections: Sequence[Mapping[str, Any]], *, known: str = "") -> str:
    """Masks as `bytes.pixels`, whatever their names, ids and order are.

    Decodes them only where the bytes are not those of the stamp `known`.
    """
    raw = _digest(_raw(detection) for detection in detections)
    if raw == known.partition(".")[0]:
        return known
    return f"{raw}.{_digest(map(_pixels, detections))}"


def names_stamp(names: Iterator[Any]) -> str:
    """What stands behind a `masks_stamp` where the masks' names count, too."""
    return f"+{_digest(repr(name).encode() for name in names)}"


def same_masks(one: str, other: str) -> bool:
    """Whether two stamps stand for the same masks: saved anew, their bytes may differ."""
    return one == other or ("." in one and one.partition(".")[2] == other.partition(".")[2])


def map_stamp(label: Mapping[str, Any] | None, targets: Mapping[int, str]) -> str:
    """A class map by its file's size and date or its bytes, and by the names that its values have."""
    if label is None:
        return ""
    stored = label.get("mask") or file_stamp(Path(label.get("mask_path") or "")).encode()
    return _digest((bytes(stored), repr(sorted(targets.items())).encode()))


def _raw(detection: Mapping[str, Any]) -> bytes:
    stored = detection.get("mask") or file_stamp(Path(detection.get("mask_path") or "")).encode()
    return repr(detection.get("bounding_box")).encode() + bytes(stored)


def _pixels(detection: Mapping[str, Any]) -> bytes:
    try:
        return (digest_of(detection) or "").encode()
    except InputError:
        return _raw(detection)


def _digest(parts: Iterator[bytes] | Sequence[bytes]) -> str:
    """Sixteen hex digits over parts in any order."""
    digests = sorted(hashlib.blake2b(part, digest_size=16).digest() for part in parts)
    return hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()
