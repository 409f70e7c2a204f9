"""Parquet in, as Hugging Face's `datasets` has it: a row an image, its bytes in a column."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fiftyone_ssa.scale.shards import Record, Shard
from fiftyone_ssa.scale.store import opened

IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "picture", "bytes", "content")
"""Where an image's bytes are looked for, `{"bytes": ..., "path": ...}` or binary; else in the first such column."""
MASK_COLUMNS = ("json", "annotations", "masks")
"""Where SA-1B's JSON is looked for, as text or bytes."""
ID_COLUMNS = ("image_id", "id", "key", "__key__", "file_name")
ROWS = 8
"""Read at a time: their images are in memory."""


def read_parquet(shard: Shard, *, needs_masks: bool, rows: Collection[int] | None = None) -> Iterator[Record]:
    """The images of a Parquet file; with `rows` of those row groups only that hold one of them, by number.

    Raises OSError if it cannot be read.
    """
    with opened(shard.source) as file:
        try:
            table = pq.ParquetFile(file)
            schema = table.schema_arrow
            images = _column(schema, IMAGE_COLUMNS, _holds_bytes)
            masks = _column(schema, MASK_COLUMNS, lambda kind: pa.types.is_string(kind) or pa.types.is_binary(kind))
            if images is None or (needs_masks and masks is None):
                needed = ("image bytes", IMAGE_COLUMNS) if images is None else ("SA-1B's JSON", MASK_COLUMNS)
                wanted = f"no column holds {needed[0]} ({', '.join(needed[1])})"
                yield Record(shard.name, "", problem=f"{wanted}, got {', '.join(schema.names)}")
                return
            key = next((name for name in ID_COLUMNS if name in schema.names), None)
            columns = [name for name in (images, key, masks if needs_masks else None) if name]
            for group, start in enumerate(_starts(table.metadata)):
                count = table.metadata.row_group(group).num_rows
                if rows is not None and not any(start <= row < start + count for row in rows):
                    continue
                place = start
                for batch in table.iter_batches(batch_size=ROWS, row_groups=[group], columns=columns):
                    for row in batch.to_pylist():
                        yield _record(shard, row, place, images, key, masks if needs_masks else None)
                        place += 1
        except pa.ArrowException as error:
            yield Record(shard.name, "", problem=f"{shard.source} is damaged: {error}; copy or download it again")


def _starts(metadata: Any) -> list[int]:
    """The number of each row group's first row."""
    counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    return list(accumulate(counts, initial=0))[:-1]


def _column(schema: pa.Schema, names: tuple[str, ...], fits: Any) -> str | None:
    found = [field.name for field in schema if fits(field.type)]
    return next((name for name in names if name in found), found[0] if names is IMAGE_COLUMNS and found else None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _record(
    shard: Shard, row: Mapping[str, Any], place: int, images: str, key: str | None, masks: str | None
) -> Record:
    """A row's image; its row number begins its name where the file's ids might not be unique."""
    image = row[images]
    data, path = (image.get("bytes"), image.get("path")) if isinstance(image, Mapping) else (image, None)
    named = str(row[key]) if key and row[key] is not None else str(path or "")
    name = f"{shard.name}/{place:06d}" + (f"-{named}" if named else "")
    text = row[masks] if masks else None
    problem = "this row holds no image" if not data else "this row holds no masks" if masks and not text else ""
    return Record(name, str(place), data or b"", text.encode() if isinstance(text, str) else text, problem=problem)
