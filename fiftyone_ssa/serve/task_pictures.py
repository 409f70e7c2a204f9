"""The pictures of Label Studio's tasks: carried along, in its own folder, or fetched from it and from nowhere else.

A task's address may be anything that someone typed; a service that fetched it all would be a door into the network
that it stands in.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urljoin, urlsplit

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.files.images import PictureBytes
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.serve.settings import LabelStudio

FETCH_SECONDS = 30.0
MOST_TOKEN = 10_000
"""Bytes of an answer that holds a token."""
LOCAL_FILES = "/data/local-files/"
_AS_THEY_ARE = "%!#$&'()*+,/:;=?@[]~"
"""What addresses may hold; anything else, as a space or a letter with an accent, is sent by its bytes' numbers."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Where an answer points to is not where we may ask."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: it is an error."""


def read_task_picture(address: str, source: LabelStudio, most_bytes: int) -> PictureBytes:
    """A task's picture. Raises InputError if it is not there, too large, or not Label Studio's to give."""
    if address.startswith("data:"):
        return _carried(address, most_bytes)
    try:
        path = urlsplit(address).path
    except ValueError as error:
        raise InputError(f"{shown(address)} is no address: {error}") from error
    name = Path(unquote(path)).name or "image"
    if path.startswith(LOCAL_FILES) and source.files is not None and _is_ours(address, source):
        return _of_folder(address, source.files, most_bytes)
    if not source.url:
        raise InputError(
            f"{name} is an address, and this service fetches none: start it with --label-studio-url (and "
            "LABEL_STUDIO_API_KEY), or --label-studio-files for local files"
        )
    if not _is_ours(address, source):
        raise InputError(f"{name} is not at {source.url}, the only place that pictures are fetched from")
    url = quote(urljoin(source.url.rstrip("/") + "/", address), safe=_AS_THEY_ARE)
    return PictureBytes(name, _fetched(url, name, source, most_bytes))


def _is_ours(address: str, source: LabelStudio) -> bool:
    """Whether an address is Label Studio's: a path, or one with its scheme, host and port."""
    asked, ours = urlsplit(address), urlsplit(source.url)
    if not asked.scheme and not asked.netloc:
        return address.startswith("/")
    return (asked.scheme, asked.netloc) == (ours.scheme, ours.netloc)


def _carried(address: str, most_bytes: int) -> PictureBytes:
    head, comma, text = address.partition(",")
    if not comma or not head.endswith(";base64") or len(text) > most_bytes * 4 // 3 + 4:
        raise InputError(f"a picture in a task must be data:image/...;base64, and at most {most_bytes:,} bytes")
    try:
        return PictureBytes("image", base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InputError(f"the picture in a task is no base64: {error}") from error


def _of_folder(address: str, folder: Path, most_bytes: int) -> PictureBytes:
    """`/data/local-files/?d=a/b.jpg` is `a/b.jpg` in the folder; nothing outside of it, whichever way links point."""
    asked = (parse_qs(urlsplit(address).query).get("d") or [""])[0]
    root = folder.resolve()
    try:
        path = (root / asked.lstrip("/")).resolve()
    except (OSError, ValueError) as error:
        raise InputError(f"{asked[:100]!r} is no path: {error}") from error
    if not path.is_relative_to(root):
        raise InputError(f"{asked[:100]!r} lies outside of the folder of local files")
    if (size := regular_size(path)) > most_bytes:
        raise InputError(f"{path.name} has {size:,} bytes, at most {most_bytes:,} are taken")
    return PictureBytes(path.name, path.read_bytes())


def _authorization(source: LabelStudio) -> dict[str, str]:
    """The header that shows who asks: a key as it is, and for a personal access token one that lasts some minutes."""
    key = source.api_key
    if key.count(".") != 2:  # a personal access token is a JWT
        return {"Authorization": f"Token {key}"} if key else {}
    url, body = urljoin(source.url.rstrip("/") + "/", "/api/token/refresh"), json.dumps({"refresh": key}).encode()
    answer = json.loads(_asked(urllib.request.Request(url, body, {"Content-Type": "application/json"}), MOST_TOKEN))
    if not isinstance(answer, dict) or not isinstance(answer.get("access"), str):
        raise ValueError("it gave no access for the personal access token in LABEL_STUDIO_API_KEY")
    return {"Authorization": f"Bearer {answer['access']}"}


def _asked(request: urllib.request.Request, most_bytes: int) -> bytes:
    """What a request brings, a byte more than asked for at most. Raises OSError, ValueError or HTTPException."""
    # no proxies: an address that is not ours is refused before, and one of a proxy's choosing would be
    opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=FETCH_SECONDS) as answer:
        data: bytes = answer.read(most_bytes + 1)
    return data


def _fetched(url: str, name: str, source: LabelStudio, most_bytes: int) -> bytes:
    try:
        data = _asked(urllib.request.Request(url, headers=_authorization(source)), most_bytes)
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError is an OSError
        raise InputError(f"{name} cannot be fetched from {source.url}: {error}") from error
    if len(data) > most_bytes:
        raise InputError(f"{name} has more than {most_bytes:,} bytes, which is all that is taken")
    return data
