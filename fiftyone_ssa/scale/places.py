"""Where images lie, so that none stands in the results twice: under two names, or in a shard that is no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import EXTENSIONS
from fiftyone_ssa.files.printable import in_utf8
from fiftyone_ssa.scale.inputs import kind_of
from fiftyone_ssa.scale.manifest import Entry
from fiftyone_ssa.scale.shards import Shard
from fiftyone_ssa.scale.store import Store

EMPTIED = ""
"""The stamp of a shard whose images others have now: it was committed again, with none."""
FILE, CHUNK, IMAGE = "file", "chunk", "image"
"""A tar or file of rows; some images of a folder, or rows of a Lance data set; an image that was named itself."""


@dataclass(frozen=True)
class _Place:
    kind: str
    path: str
    """Equal for equal images, whichever folder above them was named."""

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


def check_places(shards: Sequence[Shard], committed: Mapping[str, Entry], store: Store) -> None:
    """Raise InputError if other images have a shard's name in the results, or its images another name."""
    there = {_place(each): each for each in committed.values() if each.stamp != EMPTIED}
    folders = {place.folder for place in there if place.kind == CHUNK}
    for shard in shards:
        place, entry = _place(shard), committed.get(shard.name)
        if entry is not None and entry.stamp not in (shard.stamp, EMPTIED) and _place(entry) != place:
            raise InputError(
                f"{store} holds rows of {entry.source} as {shard.name}, which {shard.source} would be, too; rename it, "
                "or name another folder for the results"
            )
        known = there.get(place)
        if (known is not None and known.shard != shard.name) or (place.kind == IMAGE and place.folder in folders):
            raise InputError(
                f"{store} holds rows of {place.path} already, named by a folder; name the same one again, or another "
                "folder for the results"
            )


def emptied(shards: Sequence[Shard], committed: Mapping[str, Entry]) -> Iterator[Shard]:
    """Shards to commit again with no images, before all others: some of `shards` hold theirs.

    Such are the last of a folder that has become smaller, and an image that was named itself before its folder.
    """
    here = {shard.name for shard in shards}
    left = {_place(each): each for each in committed.values() if each.stamp != EMPTIED and each.shard not in here}
    if not left:
        return
    searched = {place.folder for place in map(_place, shards) if place.kind == CHUNK}
    alone = any(place.kind == IMAGE for place in left)
    images = {f"{shard.source}/{member.image}" for shard in shards for member in shard.members if alone}
    for place, entry in left.items():
        if place.path in images if place.kind == IMAGE else place.kind == CHUNK and place.folder in searched:
            yield Shard(entry.shard, "folder", entry.source, EMPTIED)


def _place(shard: Shard | Entry) -> _Place:
    name = shard.name if isinstance(shard, Shard) else shard.shard
    last, source = name.rpartition("/")[2], shard.source
    kind, ending = kind_of(source)
    if kind == "lance":
        return _Place(CHUNK, f"{source}/{last}")
    if kind and in_utf8(source.rpartition("/")[2][: -len(ending)]) == last:
        return _Place(FILE, source)
    below = f"{source}/{name.partition('/')[2]}"
    return _Place(IMAGE if last.lower().endswith(EXTENSIONS) else CHUNK, below)
