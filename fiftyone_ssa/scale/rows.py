"""The rows of an output folder, as Parquet holds them: one a mask, one an image, one a failed image."""

from __future__ import annotations

import pyarrow as pa

MASKS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("mask_id", pa.int64(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in ("x", "y", "w", "h")),
        pa.field("area", pa.int64(), nullable=False),
        pa.field("rle", pa.binary(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("proposals", pa.list_(pa.string())),
        pa.field("proposal_scores", pa.list_(pa.float32())),
        pa.field("confidence", pa.float32()),
        pa.field("margin", pa.float32()),
        pa.field("source", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("level", pa.string()),
        pa.field("parent", pa.int64()),
        pa.field("preset", pa.string(), nullable=False),
        pa.field("revisions", pa.string(), nullable=False),
    ]
)
"""A mask: `mask_id` is its source's id, or its place in the image; x, y, w, h the tight box in pixels, w = xmax - xmin
+ 1; `rle` COCO's compressed counts, column-major; `revisions` the fingerprint of preset and models (`settings.json`).

Rows are sorted by (image_id, mask_id). Null is what a pipeline does not say: SSA has no captions, a mask no name ...
"""

IMAGES = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("masks", pa.int32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
    ]
)
"""An image, sorted by `image_id`: `member` is its path below the shard's folder, its name in the shard's tar, or its
row in the shard's Parquet file; `offset` and `size` are where its bytes lie in a tar without compression, else null;
`status` is "done" or "failed", and a failed one's size may be null.
"""

FAILED = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""An image that failed; a shard that could not be read to its end has a row with its own name as `image_id`."""


def mask_schema(embedding_size: int | None = None) -> pa.Schema:
    """`MASKS`, with the column `embedding`, `embedding_size` float16 a mask, where there is one."""
    if embedding_size is None:
        return MASKS
    return MASKS.append(pa.field("embedding", pa.list_(pa.float16(), embedding_size)))
