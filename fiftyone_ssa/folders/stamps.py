"""Stamps: what a file that we wrote says of itself in its first bytes, read at the cost of opening it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY = "fiftyone_ssa"
_HEAD_BYTES = 1024
_TAILS = (b"}", b"\xff\xd9")
"""How a whole JSON object and a whole JPEG end."""


@dataclass(frozen=True)
class Stamp:
    """What is found in the place of a result."""

    values: Mapping[str, Any] | None
    """The fingerprint of its settings and the stamps of the files it was made of; None in a damaged file."""
    is_ours: bool = True
    """Whether we wrote it."""
    mtime_ns: int = 0


_FOREIGN = Stamp(None, is_ours=False)


def stamped(values: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its stamp in front."""
    return {KEY: dict(values), **record}


def comment(values: Mapping[str, str]) -> bytes:
    """A stamp as a picture's comment."""
    return json.dumps({KEY: dict(values)}).encode()


def read(path: Path) -> Stamp | None:
    """The stamp of a JSON file or JPEG; None where there is no file.

    Only the first and the last bytes are read, so that a million results are checked in seconds.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would block
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return _FOREIGN
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return _FOREIGN
        head = os.read(descriptor, _HEAD_BYTES)
        tail = os.pread(descriptor, 2, max(status.st_size - 2, 0))
    except OSError:
        return Stamp(None)
    finally:
        os.close(descriptor)
    _, key, rest = head.partition(f'"{KEY}": '.encode())
    if head and not key:
        return _FOREIGN
    return Stamp(_parse(rest) if tail.endswith(_TAILS) else None, mtime_ns=status.st_mtime_ns)


def _parse(rest: bytes) -> Mapping[str, Any] | None:
    try:
        values, _ = json.JSONDecoder().raw_decode(rest.decode("ascii", "replace"))
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
