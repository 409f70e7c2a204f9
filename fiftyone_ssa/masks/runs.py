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
    lengths, bounds = run_lengths(codes, size_hw)
    edges = np.cumsum(lengths)
    pixels = size_hw[0] * size_hw[1]
    edges -= np.repeat(np.arange(len(codes)) * pixels, np.diff(bounds))
    odd = np.flatnonzero(_places(bounds) & 1)
    odd = odd[lengths[odd] > 0]
    return Runs(edges[odd - 1], edges[odd], np.searchsorted(odd, bounds))


def run_lengths(codes: Sequence[bytes], size_hw: tuple[int, int]) -> tuple[Ints, Ints]:
    """Lengths of all runs of N codes, one code after the other, (R,), and where each code's begin, (N + 1,).

    Runs of 0 and 1 in turn, starting with 0. Raises InputError if a code is damaged or does not describe an image of
    `size_hw` (height, width).
    """
    digits = np.frombuffer(b"".join(codes), np.uint8)
    stops = np.cumsum([0, *map(len, codes)])
    goes_on = ((digits - 48) & 0x20) != 0
    ends_early = goes_on[stops[1:][np.diff(stops) > 0] - 1]
    if len(digits) and (digits.min() < 48 or digits.max() > 111 or ends_early.any()):
        raise InputError("a mask's RLE counts are damaged: not a compressed COCO code")
    last = np.flatnonzero(~goes_on)
    bounds = np.searchsorted(last, stops)
    values = _values(digits.astype(np.int64) - 48, last)
    lengths = _undo_differences(values, bounds)
    _check(lengths, bounds, size_hw)
    return lengths, bounds


def _values(digits: Ints, last: Ints) -> Ints:
    """The numbers that end at the digits `last`: five bits a digit, the lowest first, with a sign."""
    if not len(last):
        return np.zeros(0, np.int64)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(digits)) - np.repeat(first, last - first + 1)
    if place.max() > 6:
        raise InputError("a mask's RLE counts are damaged: a run is longer than any image")
    values = np.add.reduceat((digits & 0x1F) << (5 * place), first)
    negative = (digits[last] & 0x10) != 0
    return np.asarray(values - np.where(negative, np.int64(1) << (5 * (place[last] + 1)), 0))


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


def _undo_differences(values: Ints, bounds: Ints) -> Ints:
    """Lengths: all but a code's first three are written as what they are more than the length two before."""
    places = _places(bounds)
    begin, counts = bounds[:-1], np.diff(bounds)

    def summed(chosen: np.ndarray) -> Ints:
        sums = np.concatenate([[0], np.cumsum(np.where(chosen, values, 0))])
        return np.asarray(sums[1:] - np.repeat(sums[begin], counts))

    odd = (places & 1) == 1
    return np.where(odd, summed(odd), np.where(places == 0, values, summed(~odd & (places > 0))))


def _check(lengths: Ints, bounds: Ints, size_hw: tuple[int, int]) -> None:
    sums = np.concatenate([[0], np.cumsum(lengths)])
    pixels = sums[bounds[1:]] - sums[bounds[:-1]]
    wrong = np.flatnonzero(pixels != size_hw[0] * size_hw[1])
    negative = np.flatnonzero(lengths < 0)
    if len(wrong) or len(negative):
        index = wrong[0] if len(wrong) else np.searchsorted(bounds, negative[0], "right") - 1
        raise InputError(
            f"a mask's RLE counts hold {int(pixels[index])} pixels but the image is {size_hw[1]}x{size_hw[0]} "
            f"(width x height), {size_hw[0] * size_hw[1]} pixels; the mask file is not of this image"
        )


def _places(bounds: Ints) -> Ints:
    """Each run's number within its code, from 0."""
    return np.arange(bounds[-1]) - np.repeat(bounds[:-1], np.diff(bounds))
