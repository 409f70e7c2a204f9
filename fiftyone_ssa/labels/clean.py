"""Remove the files (maps, masks, embeddings) that no label of any dataset points to, and what killed runs left."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.files.atomic import PART
from fiftyone_ssa.labels import journal, lease, runs
from fiftyone_ssa.labels.database import Document, all_datasets, dataset_id, needs_database
from fiftyone_ssa.naming.arguments import check_flag

PART_SECONDS = 3600.0
"""Age from which a part file in a folder that others may write to, too, is taken for left behind."""
_FILE = re.compile(r"[0-9a-f]{24}(-(?P<run>[0-9a-f]{12}))?\.(png|npy)")
_MASKS = re.compile(r"[0-9a-f]{24}(-(?P<run>[0-9a-f]{12}))?")
_POINTED_TO = r"[0-9a-f]{24}(-[0-9a-f]{12})?(/[0-9]+)?\.(png|npy)$"
_FOLDERS = ("_semantic", "_branch", "_panoptic_map", "_masks", "_embeddings")


@dataclass(frozen=True)
class Cleaned:
    """What was removed, or would be."""

    files: int
    size_bytes: int
    parts: int
    """Files that a killed run left half-written."""
    leases: int
    """Leases of dead processes."""
    dry_run: bool = False

    def __str__(self) -> str:
        verb = "would remove" if self.dry_run else "removed"
        return (
            f"{verb} {counted(self.files, 'file')} that no label points to ({self.size_bytes / 1e6:.1f} MB), "
            f"{counted(self.parts, 'half-written file')} and {counted(self.leases, 'lease')} of dead runs"
        )


def default_folder(dataset: fo.Dataset) -> Path:
    """Where a dataset's class maps go if no one says otherwise: a folder no other dataset ever gets."""
    return _root() / f"{dataset.slug}-{dataset_id(dataset)}"


@needs_database()
def clean(dataset: fo.Dataset | str, *, dry_run: bool = False) -> Cleaned:
    """Remove the class maps, masks and embeddings of a dataset's runs that no label in the database points to any more.

    Runs never write a file twice, so that clones and copied fields keep theirs; what is replaced stays until it is
    cleaned. Looks below the dataset's own folder, and below every `semantic_dir` that was given, there only at files
    of this dataset's runs.

    Args:
        dataset: a dataset or its name
        dry_run (False): whether to count only, and remove nothing

    Raises InputError if there is no such dataset, or while a run writes one of its fields.
    """
    check_flag("dry_run", dry_run)
    found = _dataset(dataset)
    known = runs.of_dataset(found)
    own = default_folder(found)
    given = {Path(row["folder"]) for row in known} - {own}
    tokens = frozenset(row["_id"] for row in known)
    fields = {row["field"] for row in known} | {name for name in lease.held_fields(found) if name != lease.SCHEMA}
    fields |= {name for folder in (own, *given) for name in _label_fields(folder)}
    with ExitStack() as held:
        for name in sorted(fields):
            held.enter_context(lease.hold(found, name))
        files = [*_files(own, None), *(file for folder in given for file in _files(folder, tokens))]
        used = pointed_to(_POINTED_TO) if files else frozenset()
        unused = [file for file in files if _key(file) not in used]
        parts = [*_parts(own, 0.0), *(part for folder in given for part in _parts(folder, PART_SECONDS))]
        size = sum(_size(file) for file in unused)
        if not dry_run:
            remove([*unused, *parts])
        stale = lease.stale() if dry_run else lease.drop_stale()
    if not dry_run:
        journal.drop_gone()
    return Cleaned(len(unused), size, len(parts), stale, dry_run)


def remove_leftovers(field: str, killed: Mapping[str, Path]) -> None:
    """Remove what killed runs wrote for samples that they did not live to store; the field's lease must be held."""
    if not killed:
        return
    for folder in set(killed.values()):
        # in a folder that others may write to, too, only time tells whose a half-written file is
        remove(_parts(folder, 0.0 if folder.parent == _root() else PART_SECONDS, field))
    files = [file for folder in set(killed.values()) for file in _files(folder, frozenset(killed), field)]
    if files:
        used = pointed_to(rf"-({'|'.join(killed)})(/[0-9]+)?\.(png|npy)$")
        remove(file for file in files if _key(file) not in used)
    runs.tidied(killed)


def pointed_to(pattern: str) -> frozenset[str]:
    """What labels of any dataset point to, as `folder/file`, by a regular expression for their ends."""
    used: set[str] = set()
    for document, collection in all_datasets():
        frames = collection.name == document.get("frame_collection_name")
        paths = list(_text_paths(document["frame_fields" if frames else "sample_fields"]))
        where = {"$or": [{path: {"$regex": pattern}} for path in paths]}
        if paths:
            for row in collection.find(where, dict.fromkeys(paths, 1)):
                used.update(_key(Path(text)) for text in _texts(row))
    return frozenset(used)


def remove(files: Iterable[Path]) -> None:
    """Remove files, and the folder of a sample's masks when it is empty."""
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
        if _MASKS.fullmatch(file.parent.name):
            with contextlib.suppress(OSError):
                file.parent.rmdir()


def _root() -> Path:
    return Path(fo.config.default_dataset_dir) / "fiftyone-ssa"


def _dataset(dataset: Any) -> fo.Dataset:
    if isinstance(dataset, fo.Dataset):
        return dataset
    if isinstance(dataset, fo.core.collections.SampleCollection):
        raise InputError(f"clean takes a whole dataset, got a view of {dataset.dataset_name!r}; pass its name")
    if not isinstance(dataset, str) or not fo.dataset_exists(dataset):
        near = ", ".join(fo.list_datasets()[:5]) or "none"
        raise InputError(f"there is no dataset {shown(dataset)} to clean; name one that is there: {near}")
    return fo.load_dataset(dataset)


def _label_fields(folder: Path) -> Iterator[str]:
    """The label fields that have files in a folder."""
    for ending in _FOLDERS:
        for path in folder.glob(f"*{ending}") if folder.is_dir() else ():
            yield path.name.removesuffix(ending)


def _files(folder: Path, tokens: frozenset[str] | None, field: str = "*") -> Iterator[Path]:
    """The files of class maps, masks and embeddings below a folder; with `tokens`, those of these runs only."""

    def is_ours(match: re.Match[str] | None) -> bool:
        return match is not None and (tokens is None or match["run"] in tokens)

    for ending in _FOLDERS if folder.is_dir() else ():
        for path in folder.glob(f"{field}{ending}/*"):
            if is_ours(_FILE.fullmatch(path.name)):
                yield path
            elif is_ours(_MASKS.fullmatch(path.name)):
                yield from path.glob("*.png")


def _parts(folder: Path, older_seconds: float, field: str = "*") -> Iterator[Path]:
    for ending in _FOLDERS if folder.is_dir() else ():
        for part in (*folder.glob(f"{field}{ending}/.*{PART}"), *folder.glob(f"{field}{ending}/*/.*{PART}")):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime >= older_seconds:
                    yield part


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _key(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _text_paths(fields: Iterable[Document], above: str = "") -> Iterator[str]:
    """The paths of a schema where a file may be named: texts of a sample, and what ends in "path" anywhere below."""
    for field in fields:
        name = f"{above}{field.get('db_field') or field['name']}"
        kinds = (field.get("ftype") or "", field.get("subfield") or "")
        if any(kind.endswith("StringField") for kind in kinds) and (not above or name.endswith("path")):
            yield name
        yield from _text_paths(field.get("fields") or (), f"{name}.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
