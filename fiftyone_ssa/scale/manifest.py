"""What is committed: one line a shard, appended when its part files are safe; only what a line names counts."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.scale.store import Store

MANIFEST = "manifest.jsonl"
TABLES = ("masks", "images", "failed")
"""The folders of part files; each part has one file in all of them."""


@dataclass(frozen=True)
class Entry:
    """A committed shard."""

    shard: str
    part: str
    """The name of its file in each of `TABLES`."""
    images: int
    """How many are done."""
    masks: int
    failed: int
    seconds: float
    preset: str
    revisions: str
    """The fingerprint of the preset's settings and of the models' content."""
    source: str
    """The path or URL of its tar or file, or of the folder that its members are relative to."""
    stamp: str
    """Of the shard's files, as they were read."""
    unlabelled: int = 0
    """Masks without a name."""
    bad_masks: int = 0
    """Existing masks that could not be read, and have no row."""


_KEYS = {each.name for each in fields(Entry)}


def read_manifest(store: Store) -> dict[str, Entry]:
    """The last line of each shard, in the order of their first ones; a line that was cut does not count.

    Raises InputError if a whole line is damaged.
    """
    entries: dict[str, Entry] = {}
    for number, line in enumerate(_whole(store.read(MANIFEST)).splitlines(), 1):
        try:
            content: dict[str, Any] = json.loads(line)
            entry = Entry(**{key: value for key, value in content.items() if key in _KEYS})
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{store}/{MANIFEST} is damaged in line {number}: {error}; restore it from a copy"
            ) from error
        entries[entry.shard] = entry
    return entries


class Manifest:
    """The manifest of a folder to which this process alone commits."""

    def __init__(self, store: Store) -> None:
        """Read it, drop a line that was cut, and tidy up."""
        self._store = store
        self.entries = read_manifest(store)
        content = store.read(MANIFEST)
        if content != (whole := _whole(content)):
            self._replace(whole)
        self.tidy()

    def tidy(self) -> None:
        """Remove part files that no line names: killed runs and workers left them."""
        for path in list(self._unnamed()):
            self._store.remove(path)

    def commit(self, entry: Entry) -> None:
        """Append a line, and remove the files of the part that it takes the place of.

        Raises InputError if it cannot be written.
        """
        line = json.dumps(asdict(entry)).encode() + b"\n"
        if self._store.local is None:
            self._replace(self._store.read(MANIFEST) + line)  # stores replace whole objects
        else:
            _append(self._store.local / MANIFEST, line)
        before = self.entries.get(entry.shard)
        self.entries[entry.shard] = entry
        if before is not None:
            for table in TABLES:
                self._store.remove(f"{table}/{before.part}")

    def clear(self) -> None:
        """Forget all that is committed, and remove its files."""
        self._replace(b"")
        self.entries = {}
        self.tidy()

    def _replace(self, content: bytes) -> None:
        with self._store.whole(MANIFEST) as file:
            file.write(content)

    def _unnamed(self) -> Iterator[str]:
        named = {entry.part for entry in self.entries.values()}
        for table in TABLES:
            yield from (f"{table}/{name}" for name in self._store.names(table) if name not in named)


def _whole(content: bytes) -> bytes:
    """A manifest without a last line that was cut."""
    return content[: content.rfind(b"\n") + 1]


def _append(path: Path, line: bytes) -> None:
    try:
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; what is finished is kept, so mend that and start again"
        ) from error
