"""Label Studio's brush code: a mask as runs of equal values of an RGBA picture, row by row, packed to bits.

The code begins with the number of values (32 bits), the bits of a value less 1 (5) and the bits of four lengths less 1
(4 each). Then blocks: a bit that says whether one value repeats, two bits that choose a length, the number of values
less 1 in so many bits, and the value, or as many values as that number. `encode` writes, byte for byte, what
`label_studio_sdk.converter.brush.mask2rle` writes of the mask times 255; `decode` also reads what Label Studio's page
writes. A pixel belongs to the mask where its fourth value, the opacity, is above 0, as that converter has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Ints

VALUE_BITS = 8
LENGTH_BITS = (3, 4, 8, 16)
_CHANNELS = 4
_HEADER_BITS = 32 + 5 + 4 * len(LENGTH_BITS)
_LONGEST = 1 << LENGTH_BITS[-1]
_OPAQUE = 255


def encode(crop: npt.NDArray[np.bool_], corner_xy: tuple[int, int], size_hw: tuple[int, int]) -> list[int]:
    """The brush code, a list of bytes, of a mask that is `crop` (h, w) bool at `corner_xy` and 0 elsewhere.

    The image is of `size_hw` (height, width).
    """
    starts, ends = rle.row_intervals(crop, corner_xy, size_hw)
    edges = np.empty(2 * len(starts) + 2, np.int64)
    edges[0], edges[-1] = 0, size_hw[0] * size_hw[1]
    edges[1:-1:2], edges[2:-1:2] = starts, ends
    lengths, values = np.diff(edges) * _CHANNELS, np.zeros(len(edges) - 1, np.int64)
    values[1::2] = _OPAQUE
    lengths, values = lengths[lengths > 0], values[lengths > 0]
    pieces = -(-lengths // _LONGEST)  # a run too long for a block becomes several, all full but the last
    rest = lengths - (pieces - 1) * _LONGEST
    last = np.cumsum(pieces) - 1
    values, split = np.repeat(values, pieces), np.repeat(pieces > 1, pieces)
    lengths = np.full(len(values), _LONGEST)
    lengths[last] = rest
    choice = np.where(split, len(LENGTH_BITS) - 1, np.searchsorted([1 << bits for bits in LENGTH_BITS], lengths))
    length_bits = np.array(LENGTH_BITS)[choice]
    blocks = ((4 + choice) << length_bits) + lengths - 1
    header = 4 * size_hw[0] * size_hw[1]
    for bits, value in ((5, VALUE_BITS - 1), *((4, bits - 1) for bits in LENGTH_BITS)):
        header = (header << bits) + value
    fields = np.concatenate([[header >> 32, header & 0xFFFFFFFF], (blocks << VALUE_BITS) + values])
    widths = np.concatenate([[_HEADER_BITS - 32, 32], 3 + length_bits + VALUE_BITS])
    return _packed(fields, widths)


def decode(code: Sequence[int], size_hw: tuple[int, int]) -> bytes:
    """The compressed COCO code of a brush code of an image of `size_hw` (height, width).

    Raises InputError if it is damaged, or of an image of another size.
    """
    starts, ends = _opaque(_Bits.of(code), size_hw)
    # a value that begins within a pixel's four begins before its opacity, which is the last of them
    starts, ends = starts // _CHANNELS, ends // _CHANNELS
    starts, ends = starts[starts < ends], ends[starts < ends]
    apart = starts[1:] > ends[:-1]
    starts, ends = starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
    return rle.counts_from_row_intervals(starts, ends, size_hw)


def _packed(fields: Ints, widths: Ints) -> list[int]:
    """Whole numbers of so many bits each, highest bit first, as bytes; 1 to 8 zeros fill the last one."""
    widest = int(widths.max())
    places = widest - 1 - np.arange(widest)
    bits = ((fields[:, None] >> places) & 1).astype(np.uint8)
    used = places < widths[:, None]
    flat = bits[used]
    return np.packbits(np.pad(flat, (0, 8 - len(flat) % 8))).tolist()


@dataclass(frozen=True, eq=False)
class _Bits:
    """Bits to read numbers of up to 32 bits from, at any place."""

    words: Ints
    """The five bytes from each byte on, as one number."""
    count: int

    @classmethod
    def of(cls, code: Sequence[int]) -> _Bits:
        try:
            array = np.array(code, np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"a brush code must be a list of bytes, got {shown(code)}") from error
        if array.ndim != 1 or array.min(initial=0) < 0 or array.max(initial=0) > 255 or 8 * len(array) < _HEADER_BITS:
            raise InputError(f"a brush code must be a list of at least 7 bytes from 0 to 255, got {shown(code)}")
        padded, words = np.append(array, np.zeros(4, np.int64)), np.zeros(len(array), np.int64)
        for place in range(5):
            words = (words << 8) | padded[place : place + len(array)]
        return cls(words, 8 * len(array))


def _opaque(bits: _Bits, size_hw: tuple[int, int]) -> tuple[Ints, Ints]:
    """Where values above 0 begin and end, run by run, of all values in order."""
    words: list[int] = bits.words.tolist()

    def number(place: int, width: int) -> int:
        return (words[place >> 3] >> (40 - (place & 7) - width)) & ((1 << width) - 1)

    total, value_bits = number(0, 32), number(32, 5) + 1
    if total != _CHANNELS * size_hw[0] * size_hw[1]:
        raise InputError(
            f"a brush code holds {total:,} values but the image is {size_hw[1]}x{size_hw[0]} (width x height), "
            f"{_CHANNELS * size_hw[0] * size_hw[1]:,} values; it is not of this image"
        )
    length_bits = [number(37 + 4 * index, 4) + 1 for index in range(4)]
    starts: list[int] = []
    ends: list[int] = []
    place, at = _HEADER_BITS, 0
    while at < total:
        repeats, choice = divmod(number(place, 3), 4) if place + 3 <= bits.count else (1, 0)
        first = place + 3 + length_bits[choice]
        count = number(place + 3, length_bits[choice]) + 1 if first <= bits.count else 0
        place = first + value_bits * (1 if repeats else count)
        if not count or place > bits.count or at + count > total:
            raise InputError("a brush code is damaged: it ends before its picture does, or goes on after it")
        if not repeats:
            places = first + value_bits * np.arange(count)
            values = (bits.words[places >> 3] >> (40 - (places & 7) - value_bits)) & ((1 << value_bits) - 1)
            opaque = (np.flatnonzero(values) + at).tolist()
            starts += opaque
            ends += [value + 1 for value in opaque]
        elif number(first, value_bits):
            starts.append(at)
            ends.append(at + count)
        at += count
    return np.array(starts, np.int64), np.array(ends, np.int64)
