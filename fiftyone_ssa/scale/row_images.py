"""Images in rows, as Hugging Face's `datasets` and Lance have them: which columns hold what, and a row as a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from fiftyone_ssa.scale.shards import Record, Shard

IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "picture", "bytes", "content")
"""Where an image's bytes are looked for, `{"bytes": ..., "path": ...}` or binary; else in the first such column."""
MASK_COLUMNS = ("json", "annotations", "masks")
"""Where SA-1B's JSON is looked for, as text or bytes."""
ID_COLUMNS = ("image_id", "id", "key", "__key__", "file_name")
ROWS = 8
"""Read at a time: their images are in memory."""
Batches = Callable[[list[str]], Iterator[tuple[int, pa.RecordBatch]]]
"""Rows with these columns, each batch with the number of its first row."""


def read_rows(shard: Shard, schema: pa.Schema, batches: Batches, *, needs_masks: bool) -> Iterator[Record]:
    """The images of rows with this schema; where a column is missing, one record with that problem."""
    images = _column(schema, IMAGE_COLUMNS, _holds_bytes)
    masks = _column(schema, MASK_COLUMNS, lambda kind: _is_text(kind) or _is_bytes(kind))
    if images is None or (needs_masks and masks is None):
        needed = ("image bytes", IMAGE_COLUMNS) if images is None else ("SA-1B's JSON", MASK_COLUMNS)
        wanted = f"no column holds {needed[0]} ({', '.join(needed[1])})"
        yield Record(shard.name, "", problem=f"{wanted}, got {', '.join(schema.names)}")
        return
    masks = masks if needs_masks else None
    key = next((name for name in ID_COLUMNS if name in schema.names), None)
    for start, batch in batches([name for name in (images, key, masks) if name]):
        for first in range(0, len(batch), ROWS):
            for place, row in enumerate(batch.slice(first, ROWS).to_pylist(), start + first):
                yield _record(shard, row, place, images, key, masks)


def _column(schema: pa.Schema, names: tuple[str, ...], fits: Callable[[pa.DataType], bool]) -> str | None:
    found = [field.name for field in schema if fits(field.type)]
    return next((name for name in names if name in found), found[0] if names is IMAGE_COLUMNS and found else None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


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
