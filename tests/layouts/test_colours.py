"""A name's colour depends on the name alone, and names that are often seen together look different."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import numpy as np

from fiftyone_ssa.layouts.ade20k import NAMES
from fiftyone_ssa.layouts.colours import UNNAMED, colour_of


def _rgb(name: str | None) -> np.ndarray:
    return np.array([int(colour_of(name)[i : i + 2], 16) for i in (1, 3, 5)])


def test_a_colour_is_the_same_in_every_process_and_for_every_case() -> None:
    names = ["sky", "Sky", "SKY", "writing on the wall", "\u5199\u771f", "", "\ud800"]
    code = f"from fiftyone_ssa.layouts.colours import colour_of; print([colour_of(n) for n in {names!a}])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str([colour_of(name) for name in names])
    assert colour_of("sky") == colour_of("Sky") == colour_of("SKY")
    assert all(re.fullmatch("#[0-9a-f]{6}", colour_of(name)) for name in names)
    assert colour_of(None) == UNNAMED


def test_the_classes_that_are_seen_most_are_told_apart() -> None:
    for one, other in itertools.combinations(NAMES[:16], 2):
        assert np.abs(_rgb(one) - _rgb(other)).sum() > 50, (one, other)


def test_names_of_no_list_spread_over_many_colours() -> None:
    assert len({colour_of(f"thing {i}") for i in range(1000)}) > 800


def test_white_can_be_read_on_every_colour() -> None:
    for name in (*NAMES, *map(str, range(500)), None):
        assert _rgb(name) @ (0.299, 0.587, 0.114) / 255 < 0.61, name
