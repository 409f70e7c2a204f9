"""What common things have for parts: `presets/part-names.txt`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).parents[1] / "presets/part-names.txt"


def part_names(whole: str) -> tuple[str, ...]:
    """The usual names of the parts of a thing, in their order; none where it is not known.

    A name of several words is known by its last ones, too: "sports car" has the parts of "car".
    """
    words = whole.lower().split()
    table = _table()
    return next((table[name] for i in range(len(words)) if (name := " ".join(words[i:])) in table), ())


@cache
def known_wholes() -> frozenset[str]:
    """The things whose parts are known."""
    return frozenset(_table())


@cache
def _table() -> Mapping[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        wholes, colon, parts = line.partition(":")
        if colon and not line.startswith("#"):
            names = tuple(name.strip() for name in parts.split(","))
            table |= {whole.strip(): names for whole in wholes.split("|")}
    return table
