"""The reference of Python's names: each name that `import fiftyone_ssa` offers, with what its docstring says."""

from __future__ import annotations

import fiftyone_ssa

GROUPS = {
    "Load": ("load_", "import_labels"),
    "Name": ("annotate", "build_pipeline", "load_preset", "embed", "find_like", "prepare_app", "clean"),
    "Classes, parts, maps": ("Ontology", "panoptic", "repaint", "levels", "undo_ontology"),
    "Review": ("review", "relabel", "rename_classes", "undo"),
    "Score": ("evaluate", "calibrate"),
    "Export": ("export", "dataset_type", "import_corrections"),
    "Parquet labels": ("stats", "select", "return_corrections"),
}
"""Headings, and the beginnings of the names under each; what begins with none of them comes last."""
REST = "More"
TYPES = ("fiftyone_ssa.types", "fiftyone_ssa.errors")


def api_page() -> str:
    """The page as Markdown, with mkdocstrings' marks; a new name of the package turns up by itself."""
    parts = [
        "# Python\n\n`import fiftyone_ssa as ssa` loads none of the libraries behind it; each name below does when "
        "it is first used. What a user can mend is raised as an `InputError` or a `MissingDependencyError`.\n"
    ]
    for heading, names in grouped(fiftyone_ssa._HOMES).items():
        parts.append(f"## {heading}\n")
        for name in names:
            parts.append(f"::: fiftyone_ssa.{fiftyone_ssa._HOMES[name]}.{name}\n")
    parts.append("## Types and errors\n")
    parts += [f"::: {module}\n    options:\n      show_root_heading: false\n" for module in TYPES]
    return "\n".join(parts)


def grouped(names: dict[str, str]) -> dict[str, list[str]]:
    """Names under their headings; every name is under exactly one."""
    found: dict[str, list[str]] = {heading: [] for heading in [*GROUPS, REST]}
    for name in sorted(names):
        found[_heading(name)].append(name)
    return {heading: under for heading, under in found.items() if under}


def _heading(name: str) -> str:
    fitting = [
        (len(start), heading) for heading, starts in GROUPS.items() for start in starts if name.startswith(start)
    ]
    return max(fitting)[1] if fitting else REST
