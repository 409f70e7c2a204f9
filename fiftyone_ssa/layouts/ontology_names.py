"""Names as people say them, brought to a form in which they can be compared: case, number, articles, colours, sizes.

What two names are the same thing in stands in `known_names.txt`, one thing a line; two lines are two things.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from fiftyone_ssa.layouts.class_names import fold

FILE = Path(__file__).parent / "known_names.txt"
STUFF = "~"
"""What begins the line of a thing that has no number: sky, grass, water."""
# fmt: off
COLOURS = frozenset({
    "black", "blue", "brown", "gold", "gray", "green", "grey", "orange", "pink", "purple", "red", "silver", "white",
    "yellow",
})
"""Words that describe where they stand before a noun, though a parser may see a compound ("an orange cat")."""
PLURALS = frozenset({
    "binoculars", "clothes", "eye glasses", "eyeglasses", "glasses", "goggles", "jeans", "leggings", "overalls",
    "pajamas", "pants", "pliers", "reading glasses", "scissors", "shorts", "sun glasses", "sunglasses", "tights",
    "trousers", "tweezers",
})
"""Names that have no singular."""
_WORDS_BEFORE = frozenset({
    "a", "an", "the", "some", "several", "many", "few", "another", "other", "this", "that", "these", "those", "his",
    "her", "its", "their", "two", "three", "four", "five", "big", "large", "small", "little", "tiny", "huge", "tall",
    "old", "new", "beautiful", "colorful", "colourful", "parked",
})
"""Words before a noun that say which or how many, not what."""
_SHADES = frozenset({"light", "dark", "bright", "pale"})
"""Words that say more of a colour behind them: "light blue car", but not "light bulb"."""
_IRREGULAR = MappingProxyType({
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "oxen": "ox", "leaves": "leaf", "loaves": "loaf", "wolves": "wolf",
    "knives": "knife", "wives": "wife", "lives": "life", "shelves": "shelf", "halves": "half", "calves": "calf",
    "scarves": "scarf", "thieves": "thief", "elves": "elf", "hooves": "hoof", "cacti": "cactus", "dice": "die",
    "shoes": "shoe", "toes": "toe", "canoes": "canoe", "horseshoes": "horseshoe", "movies": "movie",
    "cookies": "cookie", "buses": "bus", "lenses": "lens", "axes": "axe", "houses": "house", "horses": "horse",
    "vases": "vase", "noses": "nose", "roses": "rose", "cases": "case", "hoses": "hose", "bases": "base",
    "skis": "ski", "tvs": "tv", "taxis": "taxi", "woods": "woods", "goods": "goods", "arms": "arms",
})
# fmt: on


@lru_cache(1 << 16)
def plain_name(name: str) -> str:
    """A name in lower case and singular, without articles, colours and sizes before it: "The red cars" is "car".

    A name that the table knows stays whole: "hot dog", "green bean", "stairs". It is for comparing only, and no name
    to show: what it makes of a plural that it does not know may be no word.
    """
    text = fold(name)
    if text in known_things() or text in PLURALS:
        return text
    words = text.split()
    while len(words) > 1 and _is_before(words):
        words = words[1:]
        if (rest := " ".join(words)) in known_things() or rest in PLURALS:
            return rest
    words[-1:] = [_singular(words[-1])] if words else []
    return " ".join(words)


def known_thing(name: str) -> str | None:
    """The first name of the thing that a name stands for by our table, or None where it does not know the name."""
    table = known_things()
    return table.get(fold(name)) or table.get(plain_name(name))


def known_synonyms(name: str) -> tuple[str, ...]:
    """The table's other names of what a name stands for, in its order."""
    thing = known_thing(name)
    table = known_things()
    return tuple(other for other in _lines_of().get(thing or "", ()) if other != fold(name) and table[other] == thing)


def is_known_stuff(name: str) -> bool:
    """Whether our table says that a name is of something that has no number: sky, grass, water."""
    return known_thing(name) in _stuff()


@lru_cache(1)
def known_things() -> Mapping[str, str]:
    """Each name of our table to the first of its line. Raises ValueError where a name stands in two lines."""
    things: dict[str, str] = {}
    for first, names in _lines_of().items():
        for name in names:
            if things.setdefault(name, first) != first:
                raise ValueError(f"{FILE.name} has {name!r} in the lines of {things[name]!r} and {first!r}")
    return MappingProxyType(things)


@lru_cache(1)
def _lines_of() -> Mapping[str, tuple[str, ...]]:
    found = {}
    for line in _lines():
        names = tuple(fold(name) for name in line.removeprefix(STUFF).split(","))
        found[names[0]] = names
    return found


@lru_cache(1)
def _stuff() -> frozenset[str]:
    return frozenset(fold(line[1:].split(",")[0]) for line in _lines() if line.startswith(STUFF))


def _lines() -> list[str]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _is_before(words: list[str]) -> bool:
    first, second = words[:2]
    return first in _WORDS_BEFORE or first in COLOURS or (first in _SHADES and second in COLOURS)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zzes", "oes")):
        return word[:-2]
    return word[:-1]
