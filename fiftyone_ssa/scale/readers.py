"""How the images of each kind of shard are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from fiftyone_ssa.scale.inputs import read_folder
from fiftyone_ssa.scale.lance_images import read_lance
from fiftyone_ssa.scale.parquet_images import read_arrow, read_parquet
from fiftyone_ssa.scale.shards import Record, Shard
from fiftyone_ssa.scale.tars import read_tar


class Reader(Protocol):
    """Reads a shard from front to back. Raises OSError if its store fails."""

    def __call__(self, shard: Shard, *, needs_masks: bool) -> Iterator[Record]:
        """Its images, with the JSON of each where masks are needed."""


READERS: dict[str, Reader] = {
    "folder": read_folder,
    "tar": read_tar,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "lance": read_lance,
}
"""By `Shard.kind`."""
