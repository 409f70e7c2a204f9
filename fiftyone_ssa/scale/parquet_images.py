"""Parquet and Arrow files in, as Hugging Face's `datasets` writes them: a row an image, its bytes in a column."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fiftyone_ssa.scale.row_images import ROWS, read_rows
from fiftyone_ssa.scale.shards import Record, Shard
from fiftyone_ssa.scale.store import opened


def read_parquet(shard: Shard, *, needs_masks: bool, rows: Collection[int] | None = None) -> Iterator[Record]:
    """The images of a Parquet file; with `rows` of those row groups only that hold one of them, by number.

    Raises OSError if it cannot be read.
    """
    with opened(shard.source) as file:
        try:
            table = pq.ParquetFile(file)

            def batches(columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
                for group, start in enumerate(_starts(table.metadata)):
                    count = table.metadata.row_group(group).num_rows
                    if rows is None or any(start <= row < start + count for row in rows):
                        read = table.iter_batches(batch_size=ROWS, row_groups=[group], columns=columns)
                        yield from _numbered(read, start)

            yield from read_rows(shard, table.schema_arrow, batches, needs_masks=needs_masks)
        except (pa.ArrowException, OSError) as error:
            yield _damaged(shard, error)


def read_arrow(shard: Shard, *, needs_masks: bool) -> Iterator[Record]:
    """The images of an Arrow file, as `Dataset.save_to_disk` writes it. Raises OSError if it cannot be read."""
    with opened(shard.source) as file:
        try:
            whole = file.read(6) == b"ARROW1"
            file.seek(0)
            table = pa.ipc.open_file(file) if whole else pa.ipc.open_stream(file)

            def batches(columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
                read = (table.get_batch(i) for i in range(table.num_record_batches)) if whole else iter(table)
                return _numbered((batch.select(columns) for batch in read), 0)

            yield from read_rows(shard, table.schema, batches, needs_masks=needs_masks)
        except (pa.ArrowException, OSError) as error:
            yield _damaged(shard, error)


def _numbered(batches: Iterator[pa.RecordBatch], start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        yield start, batch
        start += len(batch)


def _damaged(shard: Shard, error: Exception) -> Record:
    """What stands for the rest of the file. Raises an OSError that is of its disk or store, and not Arrow's own."""
    if isinstance(error, OSError) and (error.errno is not None or "://" in shard.source):
        raise error
    return Record(shard.name, "", problem=f"{shard.source} is damaged: {error}; copy or download it again")


def _starts(metadata: Any) -> list[int]:
    """The number of each row group's first row."""
    counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    return list(accumulate(counts, initial=0))[:-1]
