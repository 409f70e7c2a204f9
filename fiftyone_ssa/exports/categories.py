"""Class names to COCO category ids that stay: from a file, an earlier export, the class ids of a map, or by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.files.json_file import read_json_value
from fiftyone_ssa.naming.arguments import check_path
from fiftyone_ssa.naming.stamp import file_stamp

Ids = dict[str, int]
_FORMS = "an object {name: id} or a list of {id, name}, as in a COCO file"


@dataclass(frozen=True)
class Given:
    """Categories that the caller names, and the file they were read from."""

    ids: Ids
    entries: Mapping[str, Mapping[str, Any]]
    """Name to what else is said of it (`supercategory` ...)."""
    path: Path | None = None
    stamp: str = ""
    """`file_stamp` of the file when it was read; empty where there is none yet."""

    def check_unchanged(self) -> None:
        """Raise InputError if someone else gave out ids in the meantime: two names would get the same one."""
        if self.path is not None and file_stamp(self.path) != self.stamp:
            raise InputError(f"{self.path} changed while the export ran; start it again")

    def extend(self, ids: Ids) -> None:
        """Write the file with the names that it lacks, in the form it has. A whole COCO file is left as it is.

        Raises InputError if it cannot be written.
        """
        new = {name: number for name, number in ids.items() if name not in self.ids}
        if self.path is None or (self.stamp and not new):
            return
        known: Any = read_json_value(self.path) if self.stamp else []
        if isinstance(known, list):
            known += [{"id": number, "name": name} for name, number in new.items()]
        elif _is_coco(known):
            return
        else:
            known |= new
        write_whole(self.path.resolve(), (json.dumps(known, ensure_ascii=False, indent=1) + "\n").encode())


def read_categories(categories: Any) -> Given:
    """Categories as the caller gave them: a path (of a file that may be missing still), a mapping or COCO's list.

    Raises InputError if they are damaged, or one id stands for two names.
    """
    if isinstance(categories, Mapping) or _is_list(categories):
        return _given(categories, "categories")
    path = check_path("categories", categories)
    stamp = file_stamp(path)
    if not stamp:
        return Given({}, {}, path)
    known = read_json_value(path)
    given = _given(known["categories"] if _is_coco(known) else known, str(path))
    return Given(given.ids, given.entries, path, stamp)


def read_classes(classes: Any) -> Given:
    """Names in the order of their ids, from 1. Raises InputError if they are none, or one comes twice."""
    names: list[Any] = (
        list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str | bytes) else [None]
    )
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise InputError(f"classes must be a list of names, each once; got {shown(classes)}")
    return Given({name: number for number, name in enumerate(names, 1)}, {})


def assign(known: Ids, targets: Mapping[Any, Any], names: Iterable[str]) -> Ids:
    """Ids for all names: `known` ones stay, others follow at the end as they come.

    Where none is known, the classes of `targets` (class id to name) are.
    """
    ids = dict(known)
    if not ids:
        for number, name in sorted((number, name) for number, name in targets.items() if isinstance(number, int)):
            ids.setdefault(str(name), number)
    following = max(ids.values(), default=0) + 1
    for name in names:
        if name not in ids:
            ids[name] = following
            following += 1
    return ids


def _given(content: Any, where: str) -> Given:
    entries: list[Mapping[str, Any]]
    if isinstance(content, Mapping):
        entries = [{"id": number, "name": name} for name, number in content.items()]
    elif _is_list(content) and all(isinstance(entry, Mapping) for entry in content):
        entries = list(content)
    else:
        raise InputError(f"{where} must hold {_FORMS}; got {shown(content)}")
    ids: Ids = {}
    taken: set[int] = set()
    for entry in entries:
        name, number = entry.get("name"), entry.get("id")
        if not isinstance(name, str) or isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InputError(f"{where} must hold {_FORMS}, each id a whole number from 0; got {shown(entry)}")
        if name in ids or number in taken:
            raise InputError(f"{where} gives {shown(name)} and id {number} twice or to another; make them unique")
        ids[name] = number
        taken.add(number)
    return Given(ids, {entry["name"]: entry for entry in entries})


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_coco(content: Any) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get("categories"), list)
