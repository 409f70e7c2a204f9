"""Names that a person types: checked, and taken for a known name where they differ from it in their spelling only."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from typing import Any

import fiftyone as fo

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.layouts.class_names import fold

LONGEST = 100
"""Characters of a class name."""


def check_name(name: Any, *, strip: bool = True) -> str:
    """A class name, without spaces around it. Raises InputError if it is empty, too long or more than one line."""
    if not isinstance(name, str):
        raise InputError(f"a class name must be text, got {shown(name)}")
    text = unicodedata.normalize("NFC", name).strip() if strip else name
    if not text.strip():
        raise InputError("a class name must not be empty; to say that a mask is wrong, reject it")
    if len(text) > LONGEST:
        raise InputError(f"a class name has at most {LONGEST} characters, got {len(text)}: {shown(text, 40)}")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise InputError(f"a class name is one line of plain text, got {shown(text)}")
    return text


def settled(dataset: fo.Dataset, label_field: str, name: Any, *, besides: Collection[str] = ()) -> tuple[str, str]:
    """The name to store for a typed one, and a sentence where it is another: the field's class that differs from it in
    case, spaces, dashes or underscores only.

    Classes are those of the field's maps, as `repaint` knows them, else the names that its masks have; `besides` are
    none of them.
    """
    typed = check_name(name)
    targets = dataset.mask_targets.get(Fields(label_field).semantic) or dataset.default_mask_targets or {}
    for names_of in (targets.values, lambda: samples_of(dataset).distinct(f"{label_field}.detections.label")):
        known = {other for other in names_of() if isinstance(other, str)}
        if typed in known:
            return typed, ""
        alike = [other for other in known - set(besides) if fold(other) == fold(typed)]
        if len(alike) == 1:
            return alike[0], f"{typed!r} is taken for {alike[0]!r}"
    return typed, ""
