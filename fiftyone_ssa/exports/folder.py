"""The folder that an export writes to: what someone else put there is never replaced, removed or written through.

A marker in the folder lists the files of the export, each with what tells it from any other of its name: the size and
time of a file, the target of a link. It is written before anything else, and before files of another run take their
places, so that a run that was killed leaves nothing that the next one does not know as its own. Everything is made in a
staging folder inside and moved at the end: until then the export that stood there before stays as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import PART, write_whole
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.naming.arguments import check_path

try:
    import fcntl
except ImportError:  # Windows: two exports to one folder at a time are not noticed there
    fcntl = None  # type: ignore[assignment]

MARKER = ".fiftyone-ssa-export.json"
STAGING = ".fiftyone-ssa-staging"
_NO_ONES = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave in any folder they show."""


class FolderError(InputError):
    """The folder takes no more files: a full disk, a missing permission, a folder that is gone; no image's fault."""


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
            found = read_record(self.root, self.kind)
            self.record = found or Record(self.kind)
            if found is None:
                undo.callback(self._leave, made)
                self.record.write(self.root)
            _clear(self.root)
            (self.root / STAGING).mkdir()
            undo.callback(shutil.rmtree, self.root / STAGING, ignore_errors=True)
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
        path = self.root / STAGING / name
        with told(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
        self.staged.append(name)

    def commit(self, about: Mapping[str, Any]) -> None:
        """Move the staged files to their places, in the order they were staged, and remove the export's other files.

        Raises InputError, with nothing moved, if a place is taken by someone else.
        """
        with told(self.root):
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

    def _leave(self, made: bool) -> None:
        """Take the marker away if no export got as far as needing it."""
        if not self.record.files:
            with contextlib.suppress(OSError):
                (self.root / MARKER).unlink(missing_ok=True)
                if made:
                    self.root.rmdir()


@contextlib.contextmanager
def told(root: Path) -> Iterator[None]:
    """Turn what a disk or a folder refuses into a FolderError of one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
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
