"""What tells an export's own files from others: a marker in its folder."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import PART, write_whole
from fiftyone_ssa.files.json_file import read_json

MARKER = ".fiftyone-ssa-export.json"
_NO_ONES = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave in any folder they show."""


@dataclass(frozen=True)
class Record:
    """What the marker of a folder says."""

    kind: str
    finished: bool = False
    """Whether a whole export stands there; False where the first one was cut off."""
    about: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name below the folder to the stamps by which a file of that name is the export's own."""

    def write(self, root: Path) -> None:
        """Write the marker of `root`. Raises InputError if it cannot be written."""
        content = {"kind": self.kind, "finished": self.finished, "about": dict(self.about), "files": dict(self.files)}
        write_whole(root / MARKER, json.dumps(content, ensure_ascii=False).encode())


def read_record(root: Path, kind: str) -> Record | None:
    """What an export recorded in a folder; None where the folder is new or empty.

    Raises InputError if it holds anything that is not marked as an export of this kind.
    """
    try:
        names = sorted(os.listdir(root))  # noqa: PTH208 (only the names)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{root} cannot be read: {error.strerror}") from error
    foreign = [name for name in names if name not in _NO_ONES and not name.endswith(PART)]
    if MARKER in foreign:
        return _parsed(root, kind)
    if foreign:
        shown = ", ".join(map(repr, foreign[:3])) + (" ..." if foreign[3:] else "")
        raise InputError(f"{root} holds files that are no {kind} ({shown}); choose a new or empty folder")
    return None


def _parsed(root: Path, kind: str) -> Record:
    content = read_json(root / MARKER)
    if content.get("kind") != kind:
        raise InputError(f"{root} holds a {content.get('kind')!r:.40}, no {kind}; choose a new or empty folder")
    files, about = content.get("files"), content.get("about")
    if not isinstance(files, dict) or not isinstance(about, dict) or not all(map(_is_entry, files, files.values())):
        raise InputError(f"{root / MARKER} is damaged; choose another folder, or empty this one yourself")
    return Record(kind, content.get("finished") is True, about, {name: tuple(stamps) for name, stamps in files.items()})


def _is_entry(name: str, stamps: Any) -> bool:
    path = PurePosixPath(name)
    inside = path.parts and not path.is_absolute() and ".." not in path.parts and "\0" not in name
    return bool(inside) and isinstance(stamps, list) and all(isinstance(stamp, str) for stamp in stamps)


def stamp(path: Path) -> str:
    """What tells a file or link from others of its name. Raises OSError if nothing is there."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"link to {os.readlink(path)}"  # noqa: PTH115 (as it is written, not made a Path)
    return f"{status.st_size} bytes {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else "no file"
