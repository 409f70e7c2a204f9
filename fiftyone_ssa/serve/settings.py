"""What a service is told when it starts: where it listens, who may ask, and how much it takes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.arguments import check_batch_size, check_count

LEAST_TOKEN = 16
"""Characters: what is shorter is guessed."""


@dataclass(frozen=True)
class Limits:
    """How much a service takes, of everyone together and of one client."""

    upload_bytes: int = 20_000_000
    """Of one request, the picture and its masks."""
    pixels: int = 40_000_000
    """Of one picture, as its header says, before it is decoded."""
    masks: int = 5_000
    """That a picture may come with."""
    names: int = 1_000
    """Of a request's vocabulary."""
    waiting: int = 64
    """Requests that are read, wait, or are worked on; one more is refused with 429."""
    per_minute: int = 1_200
    """Requests of one address; 0: no limit."""
    body_seconds: float = 60.0
    """In which a request must have come in."""

    def __post_init__(self) -> None:
        for name in ("upload_bytes", "pixels", "masks", "names", "waiting"):
            check_count(name, getattr(self, name))
        if self.per_minute:
            check_count("per_minute", self.per_minute)


@dataclass(frozen=True)
class LabelStudio:
    """Where Label Studio's pictures may be fetched from, besides those that its tasks carry along."""

    url: str = ""
    """The address of Label Studio, `http://localhost:8080`; empty: nothing is fetched."""
    api_key: str = field(default="", repr=False)
    """What it is asked with."""
    files: Path | None = None
    """The folder that it serves as `/data/local-files/`."""

    def __post_init__(self) -> None:
        if self.url and not (self.url.startswith(("http://", "https://")) and urlsplit(self.url).netloc):
            raise InputError(f"Label Studio's address must be like http://localhost:8080, got {self.url!r}")
        if self.files is not None and not self.files.is_dir():
            raise InputError(f"the folder of Label Studio's local files, {self.files}, is no folder")


@dataclass(frozen=True)
class ServeSettings:
    """Of one service. Raises InputError if it would listen to the network without a token."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default="", repr=False)
    """What requests must show; may be empty where only this machine can ask."""
    batch_size: int = 4
    limits: Limits = Limits()
    label_studio: LabelStudio = LabelStudio()
    verbose: bool = False

    def __post_init__(self) -> None:
        if type(self.port) is not int or not 0 <= self.port <= 65535:
            raise InputError(f"port must be a whole number from 0 to 65535 (0: any that is free), got {self.port!r}")
        check_batch_size(self.batch_size)
        if not self.token and not is_loopback(self.host):
            raise InputError(
                f"{self.host or 'every address'} can be reached from other machines: name a token that requests must "
                "show, with --token-file FILE or in the variable FIFTYONE_SSA_TOKEN"
            )
        if self.token and (len(self.token) < LEAST_TOKEN or not self.token.isascii() or not self.token.isprintable()):
            raise InputError(
                f"a token must be at least {LEAST_TOKEN} ASCII characters; make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe())"'
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(token_file: str | Path | None, environment: Mapping[str, str]) -> str:
    """The token of a file's first line, or of FIFTYONE_SSA_TOKEN; empty where none is given.

    It is no argument of the command: everyone on a machine may read those. Raises InputError if there is none in the
    file.
    """
    if token_file is None:
        return environment.get("FIFTYONE_SSA_TOKEN", "").strip()
    try:
        lines = Path(token_file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"the token's file {token_file} cannot be read: {error}") from error
    if not lines or not lines[0].strip():
        raise InputError(f"the token's file {token_file} is empty; its first line is the token")
    return lines[0].strip()
