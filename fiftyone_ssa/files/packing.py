"""Arrays of long runs as files and the database hold them: deflated by run lengths, and class maps as PNG."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    from zlib_ng import zlib_ng as zlib
except ImportError:
    import zlib  # type: ignore[no-redef]  # what it writes is the same, in three times as long

Buffer = bytes | npt.NDArray[Any]
PackingError: type[Exception] = zlib.error  # type: ignore[assignment]  # as zlib_ng declares it


def deflate(parts: Iterable[Buffer]) -> bytes:
    """Bytes and contiguous arrays, one after the other, in zlib's format.

    Matches of the byte before (Z_RLE) suit masks and class maps: smaller than by zlib's default, and much faster.
    """
    packer = zlib.compressobj(strategy=zlib.Z_RLE)
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def inflate(packed: bytes, most: int) -> bytes:
    """What `deflate`, or another of zlib's, packed; only its first `most` bytes. Raises PackingError if damaged."""
    content: bytes = zlib.decompressobj().decompress(packed, most)
    return content


def png(values: npt.NDArray[Any], said: Mapping[str, str] | None = None) -> bytes:
    """A (H, W) bool, uint8 or uint16 or (H, W, 3) uint8 array as a PNG file of 1, 8 or 16 bits a channel.

    `said` are texts by keyword that the file carries along.

    Each row is stored as what it is more than the row above, mostly zeros in a class map. Pillow tries every filter on
    every row, which takes six times as long.
    """
    height, width = values.shape[:2]
    bits = 1 if values.dtype == np.bool_ else 8 * values.itemsize
    big_endian = np.packbits(values, axis=1) if bits == 1 else values.astype(values.dtype.newbyteorder(">"), copy=False)
    stored = np.ascontiguousarray(big_endian).view(np.uint8).reshape(height, -1)
    rows = np.empty((height, 1 + stored.shape[1]), np.uint8)
    rows[:, 0] = 2  # the filter "up"
    rows[0, 1:] = stored[0]
    np.subtract(stored[1:], stored[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, bits, 2 if values.ndim == 3 else 0, 0, 0, 0)
    texts = [(b"iTXt", key.encode("latin-1") + b"\0" * 5 + text.encode()) for key, text in (said or {}).items()]
    chunks = (b"IHDR", header), *texts, (b"IDAT", deflate([rows])), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
