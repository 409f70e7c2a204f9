"""Names on a terminal: files and classes may be called anything."""

from __future__ import annotations

import unicodedata

from fiftyone_ssa.errors import InputError

_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows, so that a name reads as another."""


def in_utf8(name: str) -> str:
    """A name as databases and Parquet can hold it: bytes that are no UTF-8, as in old tars, are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_utf8(name: object) -> bool:
    """Whether databases and Parquet can hold a name as it is."""
    return str(name) == in_utf8(str(name))


def check_utf8(name: object, reader: str) -> None:
    """Raise InputError for a file whose name, or a folder's, its `reader` cannot hold: bytes that are no UTF-8."""
    if not is_utf8(name):
        raise InputError(f"its name, or a folder's, is not UTF-8, which {reader} needs; rename it")


def printable(text: object, *, keep: str = "") -> str:
    """Text as a terminal may show it, on one line: what would move its cursor, colour it or turn it is escaped.

    A line break in a name could fake a message, an escape sequence hide one. Characters in `keep` stay.
    """
    return "".join(_escaped(char) if _is_unsafe(char) and char not in keep else char for char in str(text))


def _is_unsafe(char: str) -> bool:
    return char in _TURNS or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _escaped(char: str) -> str:
    return repr(char)[1:-1] if char.isascii() else f"\\u{ord(char):04x}"
