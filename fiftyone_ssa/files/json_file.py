"""JSON files in, and values as JSON's own types."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.regular import regular_size

MAX_BYTES = 256_000_000
"""More than any image's masks take; as Python objects it may be twenty times as much."""
MAX_DEPTH = 100
"""Levels of lists and objects in each other; Python's own limit depends on where a call stands, this one does not."""
_PLAIN = frozenset((str, int, bool, type(None)))
"""What JSON takes as it is."""


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON file that holds an object. Raises InputError as `read_json_value` does, or if it holds something else."""
    content = read_json_value(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object, got a {type(content).__name__}")
    return content


def read_json_value(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises InputError if it is missing, no file, damaged, ambiguous (a key twice in one object), larger than
    `MAX_BYTES`, or nested deeper than `MAX_DEPTH`.
    """
    path = Path(path)
    size = regular_size(path)
    if size > MAX_BYTES:
        raise InputError(
            f"{path} is too large: {size:,} bytes, at most {MAX_BYTES:,} are read; split it, one file an image"
        )
    try:
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def parse_json(data: bytes, name: str) -> Any:
    """What the bytes of a JSON file hold, whose `name` errors tell.

    Raises InputError if it is damaged, ambiguous (a key twice in one object), or nested deeper than `MAX_DEPTH`.
    """
    try:
        content = json.loads(data, object_pairs_hook=_object)
    except MemoryError as error:
        raise InputError(
            f"{name} does not fit the memory ({len(data):,} bytes); split it, one file an image"
        ) from error
    except RecursionError as error:
        raise InputError(f"{name} is not a JSON file of ours: it is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise InputError(f"{name} is not a JSON file: {error}") from error
    if type(content) in (dict, list) and _deeper_than(content, MAX_DEPTH):
        raise InputError(f"{name} is not a JSON file of ours: it is nested deeper than {MAX_DEPTH} levels")
    return content


def plain(value: Any) -> Any:
    """JSON's own types: arrays as lists, what is not finite as null, what JSON does not know as text."""
    if type(value) is dict or isinstance(value, Mapping):
        return {str(key): entry if type(entry) in _PLAIN else plain(entry) for key, entry in value.items()}
    if type(value) is list or isinstance(value, list | tuple):
        return [entry if type(entry) in _PLAIN else plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has two values for the key {twice[:40]!r}")
    return content


def _deeper_than(content: Any, levels: int) -> bool:
    containers = [content]
    for _ in range(levels):
        containers = [
            entry
            for container in containers
            for entry in (container.values() if type(container) is dict else container)
            if type(entry) in (dict, list)
        ]
        if not containers:
            return False
    return True
