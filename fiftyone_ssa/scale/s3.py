"""S3 by pyarrow, which is installed anyway; fsspec's own needs a package whose versions exclude others' boto3."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.spec import AbstractBufferedFile
from pyarrow.fs import AwsStandardS3RetryStrategy, FileSelector, S3FileSystem

Value = TypeVar("Value")
ATTEMPTS = 6
"""How often a request is made; within each, Amazon's client makes those three times that it knows to be harmless."""
FIRST_WAIT_S = 0.2
"""Before the second try; twice that before the third, and so on."""
REQUEST_S, CONNECT_S = 60, 10
"""After which a request, or a connection, counts as failed."""
CHUNK = 8 << 20
"""Bytes of a file that are sent, or read ahead, at a time."""


class S3(ArrowFSWrapper):  # type: ignore[misc]
    """Buckets, as AWS's environment variables and files say who asks, where and at which `AWS_ENDPOINT_URL`.

    Every request that fails is made again: FileNotFoundError is an answer, any other OSError is none.
    """

    protocol = "s3"

    def __init__(self, **options: Any) -> None:
        """Connect; nothing is sent before it is needed."""
        limits = {"request_timeout": REQUEST_S, "connect_timeout": CONNECT_S}
        retries = AwsStandardS3RetryStrategy(max_attempts=3)
        super().__init__(S3FileSystem(retry_strategy=retries, **limits, **_endpoint()), **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("s3://").removeprefix("s3a://").rstrip("/")

    def unstrip_protocol(self, name: str) -> str:
        """A path as a URL."""
        return f"s3://{self._strip_protocol(name)}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What there is of a name. Raises FileNotFoundError if that is nothing."""
        found: dict[str, Any] = _again(lambda: super(S3, self).info(path))
        return found

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What is in a folder, or the file of that name. Raises FileNotFoundError if there is neither."""
        below = FileSelector(self._strip_protocol(path), allow_not_found=True)
        found = [self._make_entry(each) for each in _again(lambda: self.fs.get_file_info(below))]
        entries = found or [self.info(path)]
        return entries if detail else [entry["name"] for entry in entries]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """A file, or the bytes from `start` to before `end` of it."""

        def read() -> bytes:
            with self.fs.open_input_file(self._strip_protocol(path)) as file:
                file.seek(start or 0)
                content: bytes = file.read(None if end is None else end - (start or 0))
            return content

        return _again(read)

    def put_file(self, lpath: str | Path, rpath: str, **_: Any) -> None:
        """Send a file; it is there when all of it is, and no folder is made for it, since S3 has none."""

        def send() -> None:
            with Path(lpath).open("rb") as file, self.fs.open_output_stream(self._strip_protocol(rpath)) as stream:
                while chunk := file.read(CHUNK):
                    stream.write(chunk)

        _again(send)

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        _again(lambda: super(S3, self).rm_file(path))

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """A file to read, in blocks of `CHUNK`. Raises FileNotFoundError if it is not there."""
        return _File(self, self._strip_protocol(path), mode, block_size=CHUNK)


class _File(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is read in blocks, each a request of its own that can be made again."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return S3.cat_file(self.fs, self.path, start, end)


def _again(request: Callable[[], Value]) -> Value:
    for attempt in range(ATTEMPTS - 1):
        try:
            return request()
        except FileNotFoundError:
            raise
        except OSError:
            time.sleep(FIRST_WAIT_S * 2**attempt)
    return request()


def _endpoint() -> dict[str, str]:
    """Whom to ask, where the environment names a server that is not Amazon's."""
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not named:
        return {}
    url = urlsplit(named)
    return {"scheme": url.scheme or "https", "endpoint_override": url.netloc or url.path}
