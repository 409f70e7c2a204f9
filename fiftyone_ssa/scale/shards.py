"""A shard: the images that are read, labelled and committed together, and the records that a worker reads of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeVar

Value = TypeVar("Value")
READ_AHEAD = 16
"""Records of a shard that are read before they are asked for: half a megabyte each in SA-1B."""
MOST_BYTES = 200
"""Of a part's name: systems take 255 of a file's."""


@dataclass(frozen=True)
class Member:
    """An image of a folder, and the JSON with its masks, both relative to the shard's `source`."""

    image: str
    masks: str = ""
    """Empty where there is none."""


@dataclass(frozen=True)
class Shard:
    """What one worker does at a time."""

    name: str
    """Its place below the input, without ending; begins the ids of its images."""
    kind: str
    """`folder`, `tar`, `parquet`, `arrow` or `lance`."""
    source: str
    """Absolute path or URL: of the folder, the file or the data set."""
    stamp: str
    """Changes when its files do: a shard of another stamp is done again."""
    members: tuple[Member, ...] = field(default=(), repr=False)
    """Of a folder."""

    @property
    def part(self) -> str:
        """How the names of its part files begin: its name as one file name, the end and a checksum of a long one."""
        part = "".join(char if char.isalnum() or char in "-._" else "+" for char in self.name)
        if len(part.encode()) <= MOST_BYTES:
            return part
        return f"{hashlib.sha256(self.name.encode()).hexdigest()[:12]}-{part.encode()[-80:].decode(errors='ignore')}"


@dataclass(frozen=True)
class Record:
    """One image of a shard as it was read, nothing of it decoded."""

    id: str
    """Unique among all shards: below the shard's name, with `/` between parts."""
    member: str
    image: bytes = field(default=b"", repr=False)
    masks: bytes | None = field(default=None, repr=False)
    """The SA-1B style JSON beside it; None where none is needed."""
    offset: int | None = None
    """Where its bytes lie in the tar."""
    problem: str = ""
    """Why it cannot be done, where that is known already."""


def read_ahead(values: Iterator[Value], count: int = READ_AHEAD) -> Generator[Value, None, None]:
    """The same values, taken by a thread while others are worked on, at most `count` of them waiting.

    What `values` raises is raised here, in its place. SimpleQueues alone, for the reason that `naming.run` has.
    """
    ready: SimpleQueue[tuple[Value] | BaseException | None] = SimpleQueue()
    room: SimpleQueue[bool] = SimpleQueue()

    def work() -> None:
        try:
            for value in values:
                ready.put((value,))
                if not room.get():
                    return
            ready.put(None)
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            ready.put(error)

    for _ in range(count):
        room.put(True)
    thread = threading.Thread(target=work, name="read", daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            room.put(True)
            yield found[0]
    finally:
        room.put(False)
        thread.join()
