"""The one place that builds what forms share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.errors import InputError, MissingDependencyError


def problem(check: Callable[[], object]) -> dict[str, Any]:
    """The `invalid` and `error_message` of a form's field, by what `check` raises."""
    try:
        check()
    except (InputError, MissingDependencyError) as error:
        return {"invalid": True, "error_message": str(error)}
    return {}


def choice(inputs: types.Object, name: str, values: Sequence[str], *, default: str | None = None, **about: Any) -> None:
    """A drop-down of `values`."""
    dropdown = types.DropdownView()
    for value in values:
        dropdown.add_choice(value, label=value)
    inputs.enum(name, dropdown.values(), default=default, view=dropdown, **about)


def check_new_name(text: str, what: str) -> None:
    """Raise InputError unless `text` can name a field or a run in FiftyOne."""
    if not text.isidentifier():
        raise InputError(f"{what} must be letters, digits and underscores, not starting with a digit; got {text!r}")
