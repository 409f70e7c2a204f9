"""Errors a user can mend: each message says what was expected, what came, and what to do."""

from __future__ import annotations

from typing import Any


class InputError(ValueError):
    """Bad input: one image, mask file, preset, path or argument that cannot be used as it is."""


class MissingDependencyError(ImportError):
    """A package, model folder or mongod is not installed; the message holds the command that mends it."""


def shown(value: Any, most: int = 80) -> str:
    """A wrong value for an error message: on one line, and not longer than `most` characters."""
    if isinstance(value, int) and abs(value) >= 10**most:
        return f"a number of {value.bit_length()} bits"  # Python refuses to print thousands of digits
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # such a number inside
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= most else f"{text[: most - 3]}..."
