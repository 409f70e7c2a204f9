"""Files out: written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fiftyone_ssa.errors import InputError

PART = ".ssa-part"
"""The ending of a file that is being written; one that is left over is of a run that was killed."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place under another name and move it there, so that no half of it is ever seen.

    Raises InputError if it cannot be written: a full disk, a folder without permission ...
    """
    part = path.parent / f".{os.getpid()}{PART}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(
            f"{path} cannot be written: {error.strerror}; what is finished is kept, so mend that and start again"
        ) from error
