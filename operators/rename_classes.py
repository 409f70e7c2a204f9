"""`rename_classes`: other names for whole classes of a view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiftyone.operators import types

from fiftyone_ssa.curation import decisions
from fiftyone_ssa.curation.deciding import Decision
from fiftyone_ssa.errors import InputError, shown

from ._decide import Decide, Masks


class RenameClasses(Decide):
    """Rename or merge classes."""

    job = "rename_classes"
    label = "SSA: rename classes"
    description = "Give all masks of some classes that the view shows another name; two with one name are merged"
    icon = "drive_file_rename_outline"
    asks = ("mapping",)

    def form(self, ctx: Any, inputs: types.Object, masks: Masks) -> None:
        """One line a class."""
        inputs.str(
            "mapping",
            label="Names",
            description="One class a line: old name = new name",
            view=types.TextFieldView(multiline=True),
        )

    def decide(self, ctx: Any, masks: Masks, dry_run: bool) -> Decision:
        """Rename."""
        mapping = read_mapping(ctx.params.get("mapping"))
        return decisions.rename_classes(masks.samples, mapping, masks.field, dry_run=dry_run)


def read_mapping(text: Any) -> Mapping[str, str]:
    """Old name to new one, from lines `old = new`. Raises InputError, naming the line that is none."""
    if isinstance(text, Mapping):
        return text
    if not isinstance(text, str | None):
        raise InputError(f"mapping must be lines of old name = new name, got {shown(text)}")
    found: dict[str, str] = {}
    for line in filter(str.strip, (text or "").splitlines()):
        old, equals, new = (part.strip() for part in line.partition("="))
        if not (old and equals and new):
            raise InputError(f"a line must be: old name = new name; got {shown(line.strip())}")
        if found.setdefault(old, new) != new:
            raise InputError(f"{old!r} is to become both {found[old]!r} and {new!r}; leave one out")
    if not found:
        raise InputError("name a class to rename; a line is: old name = new name")
    return found
