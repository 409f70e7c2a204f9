"""Images in rows, as Hugging Face's `datasets` and Lance have them: which columns hold what, and a row as a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from fiftyone_ssa.scale.shards import Record, Shard

IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "picture", "bytes", "content")
"""Where an image's bytes are looked for, `{"bytes": ..., "path": ...}` or binary; else in the first such column."""
MASK_COLUMNS = ("json", "annotations", "masks")
"""Where SA-1B's JSON is looked for: text, bytes, or as `datasets` parses it, a struct or its list of `annotations`."""
ID_COLUMNS = ("image_id", "id", "key", "__key__", "file_name")
ROWS = 8
"""Read at a time: their images are in memory."""
Batches = Callable[[list[str]], Iterator[tuple[int, pa.RecordBatch]]]
"""Rows with these columns, each batch with the number of its first row."""


def read_rows(shard: Shard, schema: pa.Schema, batches: Batches, *, needs_masks: bool) -> Iterator[Record]:
    """The images of rows with this schema; where a column is missing, one record with that problem."""
    images = _column(schema, IMAGE_COLUMNS, _holds_bytes)
    masks = _column(schema, MASK_COLUMNS, _holds_json)
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
    found = [field.name for field in schema if fits(_plain(field.type))]
    others = [name for name in found if names is IMAGE_COLUMNS and name not in MASK_COLUMNS]
    return next((name for name in [*names, *others] if name in found), None)


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, which may be in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return _is_bytes(kind)


def _holds_json(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("annotations") >= 0)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool(pa.types.is_struct(kind.value_type) and kind.value_type.get_field_index("segmentation") >= 0)
    return _is_text(kind) or _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    fixed = types.is_fixed_size_binary(kind)
    return bool(fixed or types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


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
    is_missing = masks is not None and text in (None, "", b"")
    problem = "this row holds no image" if not data else "this row holds no masks" if is_missing else ""
    return Record(name, str(place), data or b"", _json(text), problem=problem)


def _json(found: Any) -> bytes | None:
    """A row's masks as the bytes of SA-1B's JSON."""
    if isinstance(found, list):
        found = {"annotations": found}
    if isinstance(found, dict):
        found = json.dumps(found, default=_text)
    return found.encode() if isinstance(found, str) else found


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
