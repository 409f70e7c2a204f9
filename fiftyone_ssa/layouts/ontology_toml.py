"""TOML out, as Python has only its reader: texts, whole numbers, switches, lists of texts, tables of numbers."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.files.regular import regular_size

MAX_BYTES = 10_000_000
"""Of a file; ten thousand classes have two million."""


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises InputError if it cannot be read."""
    if regular_size(path) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes; an ontology has some thousand lines")
    try:
        return parse_toml(path.read_bytes().decode("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}; give a TOML file in UTF-8") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """What a TOML text holds. Raises InputError, with `where`, if it is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: no TOML, or a number of thousands of digits
        raise InputError(f"{where} is not TOML: {said_by(error)}") from error


def toml_text(head: Mapping[str, Any], key: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """`head`, and below it a table `[[key]]` for each of the rows."""
    parts = ["".join(f"{name} = {_value(value)}\n" for name, value in head.items())]
    for row in rows:
        parts.append(f"[[{key}]]\n" + "".join(f"{name} = {_value(value)}\n" for name, value in row.items()))
    return "\n".join(filter(None, parts))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(name)} = {_value(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
