"""Whether a path is a file that can be read: not a folder, pipe, socket or device, which may block for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from fiftyone_ssa.errors import InputError


def regular_size(path: Path) -> int:
    """The bytes of a regular file, found without opening it. Raises InputError if it is missing or something else."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path} cannot be read: {os.strerror(errno.EISDIR)}")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} cannot be read: it is a pipe, a socket or a device, not a file")
    return status.st_size
