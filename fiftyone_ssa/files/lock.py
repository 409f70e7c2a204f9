"""One writer at a time: a lock file, which a killed run leaves to the next one."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import socket
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


class LockFile:
    """A locked file at `path`, which says who holds it since when; `take` makes one.

    The system holds the lock (flock) and frees it however its process ends, so none is ever stuck; the file is removed
    when the lock is given back, so that one which is found free was left by a killed run.
    """

    def __init__(self, path: Path, descriptor: int, left_token: str) -> None:
        self.path, self._descriptor = path, descriptor
        self.left_behind = bool(left_token)
        """Whether a run was killed here."""
        self.token = left_token or secrets.token_hex(4)
        """Begins the names of this holder's part files; one token as long as runs are killed, so that all are known."""

    @classmethod
    def take(cls, path: Path) -> LockFile:
        """Lock the file. Raises InputError, with who holds it since when, if another run does; OSError if it cannot."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            try:
                held = _lock(descriptor, path)
                if _same_file(path, descriptor):  # else its holder gave it back and removed it while we opened it
                    lock = cls(path, descriptor, _token(descriptor) if held else "")
                    lock._sign()
                    return lock
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    @property
    def since_ns(self) -> int:
        """When it was taken, by the clock of its file system."""
        return os.fstat(self._descriptor).st_mtime_ns

    def is_held(self) -> bool:
        """Whether the file is still there: False once it, or the folder around it, was removed or replaced."""
        return _same_file(self.path, self._descriptor)

    def give_back(self) -> None:
        """Remove the file and free the lock."""
        if self.is_held():
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self._descriptor)

    def _sign(self) -> None:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": since, "token": self.token}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)


def _lock(descriptor: int, path: Path) -> bool:
    """Whether it is locked; False where the file system has no locks."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise InputError(f"{path} must be a file of ours, and is none; remove it")
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"another run {_holder(descriptor)} writes to {path.parent}; wait until it ends") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s lies on a file system without locks; see to it that only one run writes there", path.parent)
        return False
    return True


def _holder(descriptor: int) -> str:
    content = _content(descriptor)
    return f"(process {content.get('pid', '?')} on {content.get('host', '?')}, since {content.get('since', '?')})"


def _token(descriptor: int) -> str:
    token = _content(descriptor).get("token")
    return token if isinstance(token, str) and token.isalnum() else ""


def _content(descriptor: int) -> dict[str, Any]:
    try:
        content = json.loads(os.pread(descriptor, 4096, 0))
    except (ValueError, RecursionError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


def _same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False
