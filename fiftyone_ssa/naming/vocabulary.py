"""A user's own names, from a text file."""

from __future__ import annotations

from pathlib import Path

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.regular import regular_size

MAX_BYTES = 10_000_000
"""A million names; CLIP reads each of them before the first image."""
EXPECTED = "give a UTF-8 text file, one name a line"


def read_vocabulary(path: str | Path) -> tuple[str, ...]:
    """The distinct names of a UTF-8 text file, one a line; raises InputError if it cannot be read or holds none."""
    path = Path(path)
    if regular_size(path) > MAX_BYTES:
        raise InputError(f"the vocabulary {path} is larger than {MAX_BYTES:,} bytes; {EXPECTED}")
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the vocabulary {path}: {error}; {EXPECTED}") from error
    names = tuple(dict.fromkeys(name for line in lines if (name := line.strip())))
    if not names:
        raise InputError(f"the vocabulary {path} holds no name; {EXPECTED}")
    return names
