"""Files out: written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fiftyone_ssa.errors import InputError

PART = ".ssa-part"
"""The ending of a file that is being written; one that is left over is of a run that was killed."""


@contextlib.contextmanager
def whole_file(path: Path, owner: str = "") -> Iterator[BinaryIO]:
    """A file to write to, which takes its place at `path` when all is written; its folder is made.

    It lies beside its place under another name, so that no half of it is ever seen; `owner` begins that name (by
    default the process), so that it is known whose it is. Raises InputError if it cannot be written: a full disk, a
    folder without permission ...
    """
    # Its own name each time: neither another thread nor another machine's run on a shared disk writes to it.
    part = path.parent / f".{owner or os.getpid()}-{secrets.token_hex(4)}{PART}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; "
            "what is finished is kept, so mend that and start again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, owner: str = "") -> None:
    """Write a file whole or not at all; see `whole_file`."""
    with whole_file(path, owner) as file:
        file.write(content)
