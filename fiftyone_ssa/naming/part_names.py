"""What common things have for parts: `presets/part-names.txt`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from fiftyone_ssa.layouts.ontology_names import is_known_stuff
from fiftyone_ssa.masks.containment import Containment, Lore, contain
from fiftyone_ssa.types import MaskSet

BUILT_IN = frozenset({"door", "roof"})
"""Always of something, though data sets take the first for a thing, which has parts, and the second for stuff."""
_NO_WHOLE = "> "
"""Before a part that has parts."""
FILE = Path(__file__).parents[1] / "presets/part-names.txt"


def part_names(whole: str) -> tuple[str, ...]:
    """The usual names of the parts of a thing, in their order; none where it is not known.

    A name of several words is known by its last ones, too: "sports car" has the parts of "car".
    """
    words, table = whole.lower().split(), _table()
    known = (table.get(sign + " ".join(words[start:])) for start in range(len(words)) for sign in ("", _NO_WHOLE))
    return next((parts for parts in known if parts is not None), ())


def is_usual_part(part: str, whole: str) -> bool:
    """Whether a thing of the second name usually has a part of the first."""
    return part.lower() != whole.lower() and part.lower() in part_names(whole)


def is_only_part(name: str) -> bool:
    """Whether a name is known of parts only: no whole that has parts, no stuff ("wall"), but doors and roofs."""
    known = name.lower()
    alone = known in known_wholes() or is_known_stuff(known)
    return known in BUILT_IN or (known in _all_parts() and not alone)


def is_only_whole(name: str) -> bool:
    """Whether a name is known of things that have parts, and of no part."""
    words = name.lower().split()
    known = any(" ".join(words[start:]) in known_wholes() for start in range(len(words)))
    return known and name.lower() not in _all_parts()


LORE = Lore(is_usual_part, is_only_whole, is_only_part)


def nested(masks: MaskSet, names: Sequence[str | None]) -> Containment:
    """Wholes, parts and subparts among the masks of one image with these (N,) names, and what is known of names."""
    return contain(masks, names=names, lore=LORE)


@cache
def _all_parts() -> frozenset[str]:
    return frozenset(part for parts in _table().values() for part in parts)


@cache
def known_wholes() -> frozenset[str]:
    """The things whose parts are known."""
    return frozenset(name for name in _table() if not name.startswith(_NO_WHOLE))


@cache
def _table() -> Mapping[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        wholes, colon, parts = line.partition(":")
        if colon and not line.startswith("#"):
            names = tuple(name.strip() for name in parts.split(","))
            table |= {whole.strip(): names for whole in wholes.split("|")}
    return table
