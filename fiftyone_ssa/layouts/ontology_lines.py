"""An ontology as lines that one edits in a form: `sofa = couch, settee`, one class a line."""

from __future__ import annotations

import csv
import io
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.layouts.class_names import fold
from fiftyone_ssa.layouts.ontology import Ontology, ontology_of

EQUALS = " = "


def lines_of(ontology: Ontology) -> str:
    """The classes with their synonyms, a line each; a name with a comma stands in quotes."""
    return "".join(f"{entry.name}{_names(entry.names[1:])}\n" for entry in ontology.classes)


def ontology_of_lines(
    text: str, *, base: Ontology | None = None, others: str | None = None, name: str = "ontology"
) -> Ontology:
    """The ontology that such lines say.

    Args:
        text: the lines
        base (None): where classes of the same names have parents, colours and what segmenters call them
        others (None): the ontology's
        name ("ontology"): its own

    Raises InputError, naming the line, for what is none.
    """
    known = {entry.name: entry for entry in base.classes} if base is not None else {}
    rows: list[dict[str, Any]] = []
    for line in filter(str.strip, text.splitlines()):
        each, equals, rest = (line.strip() if EQUALS in line else f"{line.rstrip(' =')}").partition(EQUALS)
        synonyms = next(csv.reader(io.StringIO(rest), skipinitialspace=True), []) if equals else []
        row: dict[str, Any] = {"name": each.strip(), "synonyms": [part for part in map(str.strip, synonyms) if part]}
        if not row["name"]:
            raise InputError(f"a line must be: class = synonym, synonym; got {shown(line.strip())}")
        if (entry := known.get(row["name"])) is not None:
            said = {fold(other) for other in (entry.name, *row["synonyms"])}
            row |= {"parent": entry.parent or "", "colour": entry.colour, "is_thing": entry.is_thing}
            row |= {"segmenter_classes": [other for other in entry.segmenter_classes if fold(other) in said]}
        rows.append(row)
    if not rows:
        raise InputError("name a class at least; a line is: class = synonym, synonym")
    return ontology_of({"classes": rows, "others": others or ""}, name, "these lines")


def _names(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return EQUALS + line.getvalue().replace(",", ", ") if '"' not in line.getvalue() else EQUALS + line.getvalue()
