"""What is wrong with the values of a form, kind by kind; which of them count as none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.naming.arguments import check_path

EMPTY = (None, "")


def check_text(name: str, value: Any) -> None:
    """Raise InputError unless `value` is a text."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, got {shown(value)}")


def check_choice(name: str, value: Any, values: Sequence[str]) -> None:
    """Raise InputError unless `value` is none (None, or an empty text) or one of `values`."""
    if value not in EMPTY and not (isinstance(value, str) and value in values):
        raise InputError(f"{name} must be one of {', '.join(values) or 'none'}, got {shown(value)}")


def check_number(name: str, value: Any, high: int | None = None) -> None:
    """Raise InputError unless `value` is None or a whole number from 1 to `high`; the App sends 4 as 4.0 at times."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if value is not None and (
        isinstance(whole, bool) or not isinstance(whole, int) or not 1 <= whole <= (high or whole)
    ):
        raise InputError(f"{name} must be a whole number from 1 {f'to {high}' if high else 'on'}, got {shown(value)}")


def check_switch(name: str, value: Any) -> None:
    """Raise InputError unless `value` is true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {shown(value)}")


def absolute_path(what: str, text: str) -> Path:
    """The path that a text names. Raises InputError unless it is absolute: a job begins in a folder of the server's."""
    path = check_path(what, text)
    if not path.is_absolute():
        raise InputError(f"{what} must be an absolute path, got {shown(text)}")
    return path


def check_new_name(text: str, what: str) -> None:
    """Raise InputError unless `text` can name a field or a run in FiftyOne."""
    if not text.isidentifier():
        raise InputError(f"{what} must be letters, digits and underscores, not starting with a digit; got {text!r}")
