"""Tars in, as SA-1B and WebDataset have them: an image and the JSON of the same name, in whatever order."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from fiftyone_ssa.files.images import EXTENSIONS
from fiftyone_ssa.files.json_file import MAX_BYTES
from fiftyone_ssa.files.printable import in_utf8
from fiftyone_ssa.scale.shards import Record, Shard
from fiftyone_ssa.scale.store import opened

HELD_BYTES = 64_000_000
"""Of members whose twin has not come yet; beyond that their bytes are dropped, and read again when it has."""
_ELSEWHERE = (
    "is a link, a device or a file with holes in the tar, which is not read; write it with tar --dereference "
    "--hard-dereference"
)
_DAMAGED = (tarfile.TarError, EOFError, zlib.error)


def read_tar(shard: Shard, *, needs_masks: bool) -> Iterator[Record]:
    """The images of a tar, read from front to back, compressed or not.

    A damaged place is passed over to the next whole member; it is a record with the shard's name and the problem, as is
    a JSON without image. Raises OSError if the file cannot be read.
    """
    with opened(shard.source) as file:
        pairs = _Pairs(shard, file, needs_masks)
        try:
            yield from pairs
        except _DAMAGED as error:
            yield damaged(shard, f"{shard.source} is damaged or cut: {error}; copy or download it again")
        yield from pairs.alone()


def damaged(shard: Shard, problem: str) -> Record:
    """What stands for a shard that cannot be read whole."""
    return Record(shard.name, "", problem=problem)


@dataclass
class _Half:
    """A member whose twin has not come yet."""

    name: str
    offset: int
    size: int
    data: bytes | None = None


@dataclass
class _Pairs:
    """The images of an opened tar, each with its JSON."""

    shard: Shard
    file: BinaryIO
    needs_masks: bool
    _waiting: dict[tuple[str, bool], _Half] = field(default_factory=dict)
    _held: int = 0

    def __iter__(self) -> Iterator[Record]:
        seen = set[str]()
        end = 0
        with tarfile.open(fileobj=self.file, mode="r:*", ignore_zeros=True) as tar:
            self._tar = tar
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # the list that grows with what was read
                if self._is_broken(end, member.offset):
                    yield damaged(self.shard, f"{self.shard.source} is damaged from byte {end:,} to {member.offset:,}")
                end = tar.offset
                name = in_utf8(member.name.removeprefix("./"))
                if member.isdir() or not self._counts(name):
                    continue
                if name in seen:
                    yield Record(f"{self.shard.name}/{name}#2", name, problem=f"{name} is in the tar twice")
                    continue
                seen.add(name)
                if not member.isfile() or member.issparse():
                    yield Record(f"{self.shard.name}/{name}", name, problem=f"{name} {_ELSEWHERE}")
                    continue
                yield from self._add(_Half(name, member.offset_data, member.size))
            if self._is_broken(end, None):
                yield damaged(self.shard, f"{self.shard.source} is damaged or cut at byte {end:,}; copy it again")

    def alone(self) -> Iterator[Record]:
        """What had no twin, once all was read."""
        for (stem, is_json), half in self._waiting.items():
            missing = f"no image {stem}.* is in the tar for this JSON" if is_json else f"no {stem}.json is in the tar"
            yield Record(f"{self.shard.name}/{half.name}", half.name, problem=missing)

    def _counts(self, name: str) -> bool:
        """Whether it is an image, or masks that are needed; dot files are none (macOS puts `._` twins into tars)."""
        if os.path.basename(name).startswith("."):  # noqa: PTH119 - many times faster, for millions of names
            return False
        return name.lower().endswith(EXTENSIONS) or (self.needs_masks and name.lower().endswith(".json"))

    def _add(self, half: _Half) -> Iterator[Record]:
        stem, ending = os.path.splitext(half.name)  # noqa: PTH122
        is_json = ending.lower() == ".json"
        if not self.needs_masks:
            yield self._record(half, None)
        elif (twin := self._waiting.pop((stem, not is_json), None)) is not None:
            self._held -= 0 if twin.data is None else twin.size
            yield self._record(twin, half) if is_json else self._record(half, twin)
        elif (same := self._waiting.get((stem, is_json))) is not None:
            name = f"{self.shard.name}/{half.name}"
            yield Record(name, half.name, problem=f"it and {same.name} would have the same JSON; rename one")
        else:
            if self._held + half.size <= HELD_BYTES:
                half.data = self._read(half)
                self._held += half.size
            self._waiting[stem, is_json] = half

    def _record(self, image: _Half, masks: _Half | None) -> Record:
        offset = image.offset if self._tar.fileobj is self.file else None  # none in what is compressed
        name = f"{self.shard.name}/{image.name}"
        if masks is not None and masks.size > MAX_BYTES:
            return Record(name, image.name, problem=f"{masks.name} has {masks.size:,} bytes, at most {MAX_BYTES:,}")
        return Record(name, image.name, self._read(image), None if masks is None else self._read(masks), offset)

    def _read(self, half: _Half) -> bytes:
        if half.data is not None:
            return half.data
        self._tar.fileobj.seek(half.offset)
        data = self._tar.fileobj.read(half.size)
        if len(data) < half.size:
            raise EOFError(f"{half.name} ends early")
        return data

    def _is_broken(self, start: int, end: int | None) -> bool:
        """Whether there are neither zeros nor a header between two members, or no zeros behind the last one."""
        if start == end:
            return False
        self._tar.fileobj.seek(start)
        block = self._tar.fileobj.read(tarfile.BLOCKSIZE)
        if block and not block.strip(b"\0"):
            return False
        try:
            tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")  # of the archive itself, as git's
        except tarfile.HeaderError:
            return True
        return end is None
