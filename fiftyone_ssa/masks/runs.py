"""The runs of all masks of an image at once: compressed COCO codes read together, and but once for each mask set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.types import Ints, MaskSet

_KNOWN: WeakKeyDictionary[MaskSet, Runs] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of 1 of N masks, one mask after the other, as offsets into the column-major image."""

    starts: Ints
    """(R,) ascending within a mask."""
    ends: Ints
    """(R,) exclusive; no run is empty."""
    bounds: Ints
    """(N + 1,) where each mask's runs begin, and the last one's end."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> tuple[Ints, Ints]:
        """Starts and ends of one mask."""
        part = slice(int(self.bounds[index]), int(self.bounds[index + 1]))
        return self.starts[part], self.ends[part]


def runs_of(masks: MaskSet) -> Runs:
    """The runs of a mask set, kept as long as the set is. Raises InputError if a code is damaged."""
    known = _KNOWN.get(masks)
    if known is None:
        known = _KNOWN[masks] = read_runs(masks.rles, masks.size_hw)
    return known


def keep(masks: MaskSet, runs: Runs) -> MaskSet:
    """The mask set, its runs known."""
    _KNOWN[masks] = runs
    return masks


def read_runs(codes: Sequence[bytes], size_hw: tuple[int, int]) -> Runs:
    """The runs of N codes. Raises InputError if one is damaged or not of an image of `size_hw` (height, width)."""
    pairs, bounds, _ = _pairs(codes, size_hw)
    there = pairs[:, 1] > 0
    pairs[bounds[1:-1], 0] -= size_hw[0] * size_hw[1]  # each code's offsets begin anew
    edges = np.cumsum(pairs).reshape(-1, 2)
    return Runs(edges[:, 0][there], edges[:, 1][there], np.append(0, np.cumsum(there))[bounds])


def run_lengths(codes: Sequence[bytes], size_hw: tuple[int, int]) -> tuple[Ints, Ints]:
    """Lengths of all runs of N codes, one code after the other, (R,), and where each code's begin, (N + 1,).

    Runs of 0 and 1 in turn, starting with 0. Raises InputError if a code is damaged or does not describe an image of
    `size_hw` (height, width).
    """
    pairs, bounds, counts = _pairs(codes, size_hw)
    return np.delete(pairs, _lone(bounds, counts)), np.append(0, np.cumsum(counts))


def _pairs(codes: Sequence[bytes], size_hw: tuple[int, int]) -> tuple[Ints, Ints, Ints]:
    """Lengths of runs of 0 and of the runs of 1 behind them, (P, 2), one code after the other.

    Also where each code's pairs begin, (N + 1,), and how many lengths it has, (N,): of an odd number the last has a 0
    beside it.
    """
    values, counts = _numbers(codes)
    bounds = np.append(0, np.cumsum((counts + 1) // 2))
    lone = _lone(bounds, counts)
    given = np.ones(2 * bounds[-1], np.bool_)
    given[lone] = False
    pairs = np.zeros((bounds[-1], 2), np.int64)
    flat = pairs.reshape(-1)
    flat[given] = values
    # all but a code's first three are written as what they are more than the length two before
    begin = bounds[:-1][counts > 0]
    first = pairs[begin, 0]
    pairs[begin, 0] = 0
    if len(begin) > 1:  # each code's sums begin anew
        pairs[begin[1:]] -= np.add.reduceat(pairs, begin)[:-1]
    np.cumsum(pairs[:, 0], out=pairs[:, 0])
    np.cumsum(pairs[:, 1], out=pairs[:, 1])
    flat[lone] = 0
    pairs[begin, 0] = first
    _check(pairs, bounds, size_hw)
    return pairs, bounds, counts


def _lone(bounds: Ints, counts: Ints) -> Ints:
    """Where among the lengths of pairs those are that are no code's."""
    return np.asarray(2 * bounds[1:][counts % 2 == 1] - 1)


def _numbers(codes: Sequence[bytes]) -> tuple[Ints, Ints]:
    """The numbers of N codes, one code after the other, and how many each has, (N,).

    Five bits a digit, the lowest first; a digit says whether more follow, the last one's highest bit is the sign.
    """
    digits = np.frombuffer(b"".join(codes), np.uint8)
    stops = np.cumsum([0, *map(len, codes)])
    goes_on = ((digits - 48) & 0x20) != 0
    ends_early = goes_on[stops[1:][np.diff(stops) > 0] - 1]
    if len(digits) and (digits.min() < 48 or digits.max() > 111 or ends_early.any()):
        raise InputError("a mask's RLE counts are damaged: not a compressed COCO code")
    first = np.flatnonzero(np.append(True, ~goes_on[:-1])[: len(digits)])
    counts = np.diff(np.searchsorted(first, stops))
    bits = (digits - 48) & 0x1F
    values = ((bits ^ 0x10).view(np.int8) - 0x10)[first].astype(np.int64)  # of one digit
    longer = np.flatnonzero(goes_on[first])
    begin, digit = first[longer], 0
    values[longer] = bits[begin]
    while len(longer):
        digit += 1
        if digit > 6:
            raise InputError("a mask's RLE counts are damaged: a run is longer than any image")
        values[longer] += bits[begin + digit].astype(np.int64) << (5 * digit)
        ended = ~goes_on[begin + digit]
        values[longer[ended]] -= (bits[begin[ended] + digit] & 0x10).astype(np.int64) << (5 * digit + 1)
        longer, begin = longer[~ended], begin[~ended]
    return values, counts


def digits(values: Ints) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Numbers below 2**31 as the digits of a compressed code, and where each number's end (exclusive).

    Five bits a digit, the lowest first; a digit says whether more follow, the last one's highest bit is the sign.
    """
    rest = values.astype(np.int32)
    positive = rest ^ (rest >> 31)
    used = 1 + (positive >= 1 << 4).view(np.int8) + (positive >= 1 << 9).view(np.int8)
    long = (positive >= 1 << 14).nonzero()[0]
    used[long] += 1 + sum((positive[long] >= 1 << bits).view(np.int8) for bits in (19, 24, 29))
    stops = np.cumsum(used, dtype=np.int64)
    places, more = stops - used, used > 1
    text = np.empty(stops[-1] if len(stops) else 0, np.uint8)
    text[places] = (rest & 0x1F) + 48 + (more.view(np.int8) << 5)
    while len(longer := more.nonzero()[0]):
        places, rest, used = places[longer] + 1, rest[longer] >> 5, used[longer] - 1
        more = used > 1
        text[places] = (rest & 0x1F) + 48 + (more.view(np.int8) << 5)
    return text, stops


def _check(pairs: Ints, bounds: Ints, size_hw: tuple[int, int]) -> None:
    sums = np.append(0, np.cumsum(pairs[:, 0] + pairs[:, 1]))
    pixels = sums[bounds[1:]] - sums[bounds[:-1]]
    wrong = np.flatnonzero(pixels != size_hw[0] * size_hw[1])
    if len(wrong) or pairs.min(initial=0) < 0:
        index = wrong[0] if len(wrong) else np.searchsorted(bounds, np.flatnonzero(pairs < 0)[0] // 2, "right") - 1
        raise InputError(
            f"a mask's RLE counts hold {int(pixels[index])} pixels but the image is {size_hw[1]}x{size_hw[0]} "
            f"(width x height), {size_hw[0] * size_hw[1]} pixels; the mask file is not of this image"
        )
