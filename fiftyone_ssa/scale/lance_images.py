"""Lance in: the rows of a data set, a shard a thousand of one of its fragments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from fiftyone_ssa.errors import MissingDependencyError
from fiftyone_ssa.scale.row_images import ROWS, read_rows
from fiftyone_ssa.scale.shards import Record, Shard

LANCE = ".lance"
"""How the name of a data set's folder ends."""
ROWS_A_SHARD = 1000
"""What a killed run loses at most."""


def lance_shards(name: str, source: str) -> Iterator[Shard]:
    """The shards of a data set, in order: `name/FRAGMENT-CHUNK`.

    A shard's stamp is of its fragment alone, so that rows which are added later change none.
    Raises OSError if it cannot be read, MissingDependencyError where Lance is not installed.
    """
    for fragment in _open(source).get_fragments():
        known = json.dumps(fragment.metadata.to_json(), sort_keys=True, default=str)
        stamp = hashlib.sha256(known.encode()).hexdigest()[:16]
        for chunk in range(-(-fragment.count_rows() // ROWS_A_SHARD)):
            yield Shard(f"{name}/{fragment.fragment_id:05d}-{chunk:05d}", "lance", source, stamp)


def read_lance(shard: Shard, *, needs_masks: bool) -> Iterator[Record]:
    """The images of a shard's rows, numbered within their fragment. Raises OSError if they cannot be read."""
    number, chunk = map(int, shard.name.rpartition("/")[2].split("-"))
    fragment = _open(shard.source).get_fragment(number)
    if fragment is None:
        raise OSError(f"{shard.source} has no fragment {number} any more")
    start = chunk * ROWS_A_SHARD

    def batches(columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        place = start
        read = fragment.to_batches(columns=columns, offset=start, limit=ROWS_A_SHARD, batch_size=ROWS)
        for batch in read:
            yield place, batch
            place += len(batch)

    try:
        yield from read_rows(shard, fragment.schema, batches, needs_masks=needs_masks)
    except ValueError as error:
        raise OSError(f"{shard.source} is damaged: {error}") from error


def _open(source: str) -> Any:
    try:
        import lance
    except ImportError as error:
        raise MissingDependencyError(
            f"{source} is a Lance data set; reading it needs the package pylance: pip install 'fiftyone-ssa[lance]'"
        ) from error
    try:
        return lance.dataset(source)
    except ValueError as error:
        raise OSError(f"{source} cannot be opened: {error}") from error
