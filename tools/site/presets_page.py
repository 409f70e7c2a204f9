"""The reference of presets: every setting with its default, range and meaning, and every preset as it stands."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Iterator
from typing import Any

from fiftyone_ssa.presets import FOLDER, preset_names, preset_purpose
from fiftyone_ssa.presets.settings import SECTIONS

INTRODUCTION = """# Presets

A preset is a TOML file with `pipeline` (`"ssa"` or `"engine"`) and the tables below; what it leaves out has its
default. [Presets and models](../models.md) tells which to take, and what the numbers mean. One setting is changed by
`--set section.key=value` on the command line, `overrides={"section.key": value}` in Python, or in a file of your own.
"""


def presets_page() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION, "## Settings\n"]
    for section, kind in SECTIONS.items():
        parts += [f"### [{section}]\n", f"{inspect.getdoc(kind)}\n", "| key | default | |", "|---|---|---|"]
        parts += [*_rows(kind), ""]
    parts.append("## Those that come with the package\n")
    for name in preset_names():
        text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8").strip()
        parts.append(f"### {name}\n\n{preset_purpose(name)}.\n\n```toml\n{text}\n```\n")
    return "\n".join(parts)


def _rows(kind: type[Any]) -> Iterator[str]:
    hints, meanings = typing.get_type_hints(kind), field_docstrings(kind)
    for entry in dataclasses.fields(kind):
        more = []
        if typing.get_origin(hints[entry.name]) is typing.Literal:
            more.append("one of " + ", ".join(f"`{value}`" for value in typing.get_args(hints[entry.name])))
        if limits := entry.metadata.get("range"):
            more.append(_range(*limits))
        if source := entry.metadata.get("applies"):
            more.append(f'read where `source = "{source}"`')
        meaning = re.sub(r"docs/([\w-]+\.md)", r"[\1](../\1)", meanings[entry.name])
        told = f" *({'; '.join(more)})*" if more else ""
        yield f"| `{entry.name}` | `{_toml(entry.default)}` | {meaning}{told} |"


def _range(low: float, high: float) -> str:
    """In words; a bound that nobody meets is none."""
    if abs(low) >= 1e9:
        return f"at most {high:g}"
    return f"from {low:g} on" if abs(high) >= 1e9 else f"from {low:g} to {high:g}"


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def field_docstrings(kind: type[Any]) -> dict[str, str]:
    """What the string under each field of a class says, on one line; Python itself forgets it."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = " ".join(ast.literal_eval(below.value).split())
    return found
