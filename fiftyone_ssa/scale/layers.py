"""Corrections over an output folder: what people changed lies beside the parts, which nobody rewrites.

Each file of `OUT/corrections` is one return of a dataset; the latest row of a mask holds, all of it. A row whose
`review` is null and whose label is the model's takes an earlier correction back.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fiftyone_ssa.scale.rows import MASKS
from fiftyone_ssa.scale.store import Store

LAYERS = "corrections"
"""Their folder."""
SHAPE = ("x", "y", "w", "h", "area", "rle")
"""What a mask's pixels say."""
CORRECTIONS = pa.schema(
    [
        *(MASKS.field(name) for name in ("image_id", "shard", "member", "mask_id", "height", "width")),
        *(MASKS.field(name).with_nullable(True) for name in SHAPE),
        MASKS.field("label"),
        pa.field("review", pa.string()),
        pa.field("reviewed_at", pa.timestamp("us")),
        pa.field("reviewed_by", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("dataset", pa.string(), nullable=False),
    ]
)
"""A mask as a person left it. `mask_id` below 0 is one that a person drew; x to `rle` are null where its pixels are the
model's; `review` is accepted, corrected, rejected or null, `reviewed_at` UTC; `dataset` the id of the FiftyOne dataset
that it came from.
"""
WORDS = ("label", "review", "reviewed_at", "reviewed_by", "tags")
"""What a person says of it."""


def layer_files(store: Store) -> list[Path | str]:
    """The files of corrections, the oldest first."""
    return [store.place(f"{LAYERS}/{name}") for name in store.names(LAYERS) if name.endswith(".parquet")]


def write_layer(out: Path | str, rows: Sequence[dict[str, Any]]) -> Path | str:
    """Lay corrections over all that is there, in one file, whole or not at all. Answers its path or URL.

    Raises InputError if it cannot be written.
    """
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: (row["image_id"], row["mask_id"])), CORRECTIONS)
    store, name = Store(out), f"{LAYERS}/{time.time_ns():020d}-{secrets.token_hex(4)}.parquet"
    with store.whole(name) as file:
        pq.write_table(table, file, compression="zstd")
    return store.local / name if store.local else f"{store.url}/{name}"
