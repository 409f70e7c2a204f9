"""A folder that takes results, on this machine or in a store that fsspec knows: every file whole or not at all."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

import fsspec
import fsspec.core

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import whole_file

ATTEMPTS = 5
"""How often a file is sent to a store that answers with an error."""


class Store:
    """A folder by path or URL; names below it have `/` between parts. It can be sent to other processes."""

    def __init__(self, url: str | Path) -> None:
        """Look for its file system. Raises InputError if fsspec knows none."""
        try:
            self._fs, self._root = file_system(os.path.expanduser(url))  # noqa: PTH111 - it may be a URL
        except (ValueError, ImportError) as error:
            raise InputError(f"{url} cannot take results: {error}") from error
        self.url: str = self._fs.unstrip_protocol(self._root)
        self.local = Path(self._root) if is_local(self._fs) else None
        """Its path, where it is on this machine."""

    def __str__(self) -> str:
        return str(self.where)

    @property
    def where(self) -> Path | str:
        """Its path, or its URL."""
        return self.local or self.url

    @property
    def identity(self) -> str:
        """What tells it from all others."""
        return str(self.local.resolve()) if self.local else self.url

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._root.rstrip("/").rpartition("/")[2]

    def place(self, name: str) -> Path | str:
        """The path of a file, or what `StoreFiles` calls it."""
        return self.local / name if self.local else f"{StoreFiles.protocol}://{name}"

    def info(self, name: str) -> dict[str, Any]:
        """Size and kind of a file. Raises FileNotFoundError, or OSError if the store fails."""
        found: dict[str, Any] = self._fs.info(f"{self._root}/{name}")
        return found

    @contextlib.contextmanager
    def whole(self, name: str) -> Iterator[BinaryIO]:
        """A file to write to, which is there when all is written and safe on its disk, or not at all.

        Raises InputError if it cannot be written.
        """
        if self.local is not None:
            with whole_file(self.local / name) as file:
                yield file
            _sync_folder((self.local / name).parent)
            return
        with tempfile.NamedTemporaryFile() as file:
            yield file  # type: ignore[misc]
            file.flush()
            self._send(file.name, name)

    def open(self, name: str) -> IO[bytes]:
        """A file to read. Raises FileNotFoundError, or OSError if the store fails."""
        file: IO[bytes] = self._fs.open(f"{self._root}/{name}", "rb")
        return file

    def read(self, name: str) -> bytes:
        """What a file holds; nothing where there is none."""
        try:
            with self._asked():
                content: bytes = self._fs.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return b""
        return content

    def names(self, folder: str) -> list[str]:
        """The files of a folder, sorted."""
        try:
            with self._asked():
                found = self._fs.ls(f"{self._root}/{folder}", detail=False, refresh=True)
        except FileNotFoundError:
            return []
        return sorted(str(path).rpartition("/")[2] for path in found)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with contextlib.suppress(FileNotFoundError), self._asked():
            self._fs.rm_file(f"{self._root}/{name}")

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Raises InputError where the store gives no answer; FileNotFoundError is one."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InputError(
                f"{self} does not answer: {error}; what is finished is kept, so mend that and start again"
            ) from error

    def _send(self, path: str, name: str) -> None:
        for attempt in range(ATTEMPTS):
            try:
                self._fs.put_file(path, f"{self._root}/{name}")
            except Exception as error:  # each store has errors of its own
                if attempt == ATTEMPTS - 1:
                    raise InputError(
                        f"{self}/{name} cannot be written: {error}; what is finished is kept, so mend that and start "
                        "again"
                    ) from error
            else:
                return


class StoreFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """The files of a store by their names, to be read by a library that knows fsspec; part files never change."""

    protocol = "labels"
    cachable = False

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._known: dict[str, dict[str, Any]] = {}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and kind, asked for once."""
        name = self._strip_protocol(path)
        if name not in self._known:
            self._known[name] = self._store.info(name)
        return self._known[name] | {"name": path}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The name itself: nothing is looked for."""
        return [path]

    def modified(self, _: str) -> datetime.datetime:
        """Always the same."""
        return datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return self._store.open(self._strip_protocol(path))


def _sync_folder(folder: Path) -> None:
    """See to it that a new name in a folder outlives a power cut; systems that cannot are left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_system(url: str | Path) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it.

    Raises ValueError or ImportError if fsspec knows none.
    """
    if not str(url).removeprefix("s3://").removeprefix("s3a://"):
        raise ValueError("it names no folder")
    if str(url).startswith(("s3://", "s3a://")):
        from fiftyone_ssa.scale.s3 import S3  # a second of loading

        fs = S3()
        return fs, fs._strip_protocol(str(url))
    found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    return found


def opened(url: str) -> BinaryIO:
    """A file to read, by path or URL. Raises OSError if that fails."""
    fs, path = file_system(url)
    file: BinaryIO = fs.open(path, "rb")
    return file


def is_local(fs: Any) -> bool:
    """Whether a file system of fsspec is this machine's."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
