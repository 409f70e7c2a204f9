"""Runs of many codes at once, against a plain reading of each alone."""

from __future__ import annotations

import gc
import pickle
import weakref

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.runs import read_runs, run_lengths, runs_of


def _plain_lengths(code: bytes) -> list[int]:
    """pycocotools' rleFrString, digit by digit."""
    lengths: list[int] = []
    at = 0
    while at < len(code):
        value = place = 0
        more = True
        while more:
            digit = code[at] - 48
            value |= (digit & 0x1F) << (5 * place)
            more = bool(digit & 0x20)
            at, place = at + 1, place + 1
            if not more and digit & 0x10:
                value |= -1 << (5 * place)
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    return lengths


def _codes(size_hw: tuple[int, int], count: int, rng: np.random.Generator) -> list[bytes]:
    dense = [rng.random(size_hw) < rng.choice([0, 0.02, 0.5, 1]) for _ in range(count)]
    return [rle.encode(mask) for mask in dense]


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 30), (30, 1), (17, 23), (200, 301)])
def test_many_codes_read_as_each_alone(size_hw: tuple[int, int]) -> None:
    codes = _codes(size_hw, 20, np.random.default_rng(0))
    lengths, bounds = run_lengths(codes, size_hw)
    runs = read_runs(codes, size_hw)
    assert len(runs) == 20
    for index, code in enumerate(codes):
        plain = np.array(_plain_lengths(code))
        np.testing.assert_array_equal(lengths[bounds[index] : bounds[index + 1]], plain)
        for found, expected in zip(runs[index], rle.intervals(plain), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_no_codes_have_no_runs() -> None:
    assert len(read_runs([], (4, 5))) == 0


@pytest.mark.parametrize("bad", [b"d1", b"", b" ", b"\xc3\xa9", b"d", b"oooooooooo1", b"E?"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_code_is_found_among_others(bad: bytes, place: int) -> None:
    good = _codes((4, 5), 2, np.random.default_rng(1))
    with pytest.raises(InputError) as alone:
        rle.runs(bad, (4, 5))
    with pytest.raises(InputError) as among:
        read_runs([*good[:place], bad, *good[place:]], (4, 5))
    assert str(among.value) == str(alone.value) or bad == b"d"  # which goes on into the next code


def test_runs_are_read_once_and_go_with_their_masks() -> None:
    masks = rle.mask_set((17, 23), _codes((17, 23), 5, np.random.default_rng(2)))
    runs = runs_of(masks)
    assert runs_of(masks) is runs
    some = masks[[3, 1]]
    np.testing.assert_array_equal(runs_of(some)[1], runs[1])
    np.testing.assert_array_equal(runs_of(pickle.loads(pickle.dumps(masks)))[4], runs[4])
    kept = weakref.ref(runs)
    del masks, some, runs
    gc.collect()
    assert kept() is None
