"""The folder that an export writes to: what someone else put there is never replaced, removed or written through.

A marker in the folder lists the files of the export, each with what tells it from any other of its name: the size and
time of a file, the target of a link. It is written before anything else, and before files of another run take their
places, so that a run that was killed leaves nothing that the next one does not know as its own. Everything is made in a
staging folder inside and moved at the end: until then the export that stood there before stays as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.marker import MARKER, Record, read_record, stamp
from fiftyone_ssa.files.atomic import PART
from fiftyone_ssa.naming.arguments import check_path

try:
    import fcntl
except ImportError:  # Windows: two exports to one folder at a time are not noticed there
    fcntl = None  # type: ignore[assignment]

STAGING = ".fiftyone-ssa-staging"
LONGEST = 255
"""Bytes of a file's name."""


class FolderError(InputError):
    """The folder takes no more files: a full disk, a missing permission, a folder that is gone; no image's fault."""


def check_folder(name: str, value: Any) -> Path:
    """The absolute path of an argument that names a folder, whether or not it exists; `~` is the home folder."""
    path = check_path(name, value)
    try:
        path = path.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise InputError(f"{name} cannot be used: {error}") from error
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; choose a folder")
    return path


class ExportFolder:
    """A folder while one export writes to it; a context manager.

    `stage` gives places to write to, `commit` moves all to their own. Left without `commit`, the folder is as before.
    """

    def __init__(self, root: Path, kind: str) -> None:
        """Look at the folder, without changing it. Raises InputError if it holds anything but an export of `kind`."""
        self.root, self.kind = root, kind
        self.record = read_record(root, kind) or Record(kind)
        self.staged: list[str] = []
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> ExportFolder:
        """Make and lock the folder, and clear what a killed export was staging. Raises InputError if it cannot."""
        with self._closing as undo, told(self.root):
            made = _make(self.root)
            undo.enter_context(_locked(self.root))
            self._status = self.root.stat()
            found = read_record(self.root, self.kind)
            self.record = found or Record(self.kind)
            if found is None:
                undo.callback(self._leave, made)
                self.record.write(self.root)
            _clear(self.root)
            (self.root / STAGING).mkdir()
            undo.callback(self._clear_staging)
            self._closing = undo.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """Clear the staging folder; a folder that was new and got nothing is removed."""
        self._closing.close()

    @property
    def holds(self) -> bool:
        """Whether a whole export stands there; one whose files were all removed does not."""
        return self.record.finished and any(os.path.lexists(self.root / name) for name in self.record.files)

    def owns(self, name: str) -> bool:
        """Whether a file of the export stands at `name`, as an export wrote it."""
        try:
            return stamp(self.root / name) in self.record.files.get(name, ()) and not self._through(name)
        except OSError:
            return False

    def check_free(self, name: str) -> None:
        """Raise InputError if at `name`, or on the way to it, stands what no export wrote or someone changed since."""
        path = self.root / name
        way = self._through(name)
        if way is not None:
            raise InputError(f"{way} is in the way: it is no folder of the export; move it, or choose another folder")
        if os.path.lexists(path) and not self.owns(name):
            raise InputError(
                f"{path} is not as the export wrote it, or not of it at all, and is left as it is; "
                "move it away, or choose another folder"
            )

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """Where to write the file that is to stand at `name`. Raises FolderError if it cannot be written."""
        _check_length(name)
        path = self.root / STAGING / name
        with told(self.root):
            self._check_still_there()
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
        self.staged.append(name)

    def unstage(self, name: str) -> None:
        """Forget the file that was staged for `name`."""
        self.staged.remove(name)
        (self.root / STAGING / name).unlink()

    def commit(self, about: Mapping[str, Any]) -> None:
        """Move the staged files to their places, in the order they were staged, and remove the export's other files.

        Raises InputError, with nothing moved, if a place is taken by someone else.
        """
        with told(self.root):
            self._check_still_there()
            for name in self.staged:
                self.check_free(name)
            old = self.record
            new = {name: (stamp(self.root / STAGING / name),) for name in self.staged}
            both = {name: (*old.files.get(name, ()), *new.get(name, ())) for name in {**old.files, **new}}
            self.record = Record(self.kind, old.finished, old.about, both)
            self.record.write(self.root)
            for name in self.staged:
                self._place(name)
            for name in old.files.keys() - new.keys():
                self._remove(name)
            shutil.rmtree(self.root / STAGING)
            self.record = Record(self.kind, True, about, new)
            self.record.write(self.root)

    def _place(self, name: str) -> None:
        self.check_free(name)
        source, target = self.root / STAGING / name, self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            source.replace(target)  # the entry is replaced: what a link or a second name of the file leads to is not
            return
        try:
            os.link(source, target, follow_symlinks=False)  # unlike a rename, it fails if something came in between
        except FileExistsError:
            self.check_free(name)
            source.replace(target)
        except (OSError, NotImplementedError):  # a file system without hard links
            source.replace(target)
        else:
            source.unlink()

    def _remove(self, name: str) -> None:
        """Remove a file of the export, and the folders that are empty then."""
        if not self.owns(name):
            return
        (self.root / name).unlink(missing_ok=True)
        for folder in list(PurePosixPath(name).parents)[:-1]:
            try:
                (self.root / folder).rmdir()
            except OSError:
                return

    def _through(self, name: str) -> Path | None:
        """The first part of the way to `name` that is there and no folder; a link is none, it leads elsewhere."""
        for folder in reversed(list(PurePosixPath(name).parents)[:-1]):
            way = self.root / folder
            try:
                if not stat.S_ISDIR(way.lstat().st_mode):
                    return way
            except OSError:
                return None
        return None

    def _is_there(self) -> bool:
        """Whether the folder is the one that was locked: it may be gone, and another one in its place."""
        try:
            return os.path.samestat(self.root.stat(), self._status)
        except OSError:
            return False

    def _check_still_there(self) -> None:
        if not self._is_there():
            raise FolderError(f"the export cannot be written: {self.root} is gone, or is another folder now")

    def _clear_staging(self) -> None:
        if self._is_there():
            shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def _leave(self, made: bool) -> None:
        """Take the marker away if no export got as far as needing it."""
        if not self.record.files and self._is_there():
            with contextlib.suppress(OSError):
                (self.root / MARKER).unlink(missing_ok=True)
                if made:
                    self.root.rmdir()


def _check_length(name: str) -> None:
    """Raise InputError for a name of which a part is longer than a file's may be: its own image's fault."""
    for part in PurePosixPath(name).parts:
        if (length := len(os.fsencode(part))) > LONGEST:
            raise InputError(
                f"its file would be called {shown(part, 60)}, {length} bytes, of which file systems take {LONGEST}; "
                "rename the image"
            )


@contextlib.contextmanager
def told(root: Path) -> Iterator[None]:
    """Turn what a disk or a folder refuses into a FolderError of one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        if error.errno == errno.ENAMETOOLONG:
            reason = f"{reason} ({Path(str(error.filename)).name})"
        if not root.is_dir():
            raise FolderError(f"the export cannot be written: {root} cannot be made, or is gone ({reason})") from error
        raise FolderError(f"the export cannot be written to {root}: {reason}; mend that and start again") from error


def _make(root: Path) -> bool:
    """Make a folder; whether it was made."""
    made = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    return made


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold a folder against other exports; the system lets go of it when the process ends, however it ends."""
    if fcntl is None:
        yield
        return
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another export is being written to {root}; wait for it, or choose another") from error
        except OSError:
            pass  # a network disk without locks
        yield
    finally:
        os.close(handle)


def _clear(root: Path) -> None:
    """Remove what exports that were killed were writing."""
    if (root / STAGING).is_symlink():
        raise InputError(f"{root / STAGING} is a link, which no export makes; remove it")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(root / STAGING)
    for part in root.glob(f".*{PART}"):
        part.unlink(missing_ok=True)
