"""An ontology: the classes that are wanted, and which of the names that were said mean them. One TOML file.

others = "other"                   # what maps to no class; left out: it keeps its name

[[classes]]
name = "car"
id = 1                             # of the class in files; left out: the next that is free
synonyms = ["sedan", "automobile"]
prompts = ["a car", "a parked car"]  # what models are asked for in a run; left out: the name
segmenter_classes = ["car", "van"] # what segmenters call it
parent = "vehicle"                 # a class, or a heading of its own
colour = "#0000ff"
is_thing = true                    # false: stuff, which has no number
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.layouts.class_names import fold, is_one_line
from fiftyone_ssa.layouts.colours import colour_of
from fiftyone_ssa.layouts.ontology_names import is_known_stuff, known_synonyms, plain_name
from fiftyone_ssa.layouts.ontology_toml import read_toml, toml_text

LONGEST = 100
"""Characters of a name."""
MOST_ID = 65_534
"""The highest id that class maps hold; 0 is what has no class."""
_LISTS = ("synonyms", "prompts", "segmenter_classes", "maybe", "examples")


@dataclass(frozen=True)
class OntologyClass:
    """One class that is wanted."""

    name: str
    id: int
    synonyms: tuple[str, ...] = ()
    """Other names that mean it."""
    prompts: tuple[str, ...] = ()
    """What models are asked for in a run; none: the name."""
    segmenter_classes: tuple[str, ...] = ()
    """What segmenters call it."""
    parent: str | None = None
    """The class, or the heading, that it belongs to."""
    colour: str = ""
    """`#rrggbb`; empty: by its name."""
    is_thing: bool = True
    """Whether one can count it; False: stuff."""
    maybe: tuple[str, ...] = ()
    """Names that may mean it, which nobody has decided: they do not count."""
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)
    """How many masks had each of its names when it was suggested."""
    examples: tuple[str, ...] = ()
    """Ids of some masks of it."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that means it, its name first."""
        return tuple(dict.fromkeys((self.name, *self.synonyms, *self.segmenter_classes, *self.prompts)))


@dataclass(frozen=True)
class Ontology:
    """Classes, and what becomes of names that mean none of them; `load`, `of` or `suggest` makes one.

    Args:
        classes: one at least, their names and ids distinct, and no name of two classes
        others (None): the name of what maps to no class; None: it keeps its own
        name ("ontology"): its own, as FiftyOne's taxonomy is called

    Raises InputError for anything else.
    """

    classes: tuple[OntologyClass, ...]
    others: str | None = None
    name: str = "ontology"

    def __post_init__(self) -> None:
        if not self.classes:
            raise InputError("an ontology has no class; give it one at least")
        _check_distinct("name", [fold(entry.name) for entry in self.classes])
        _check_distinct("id", [entry.id for entry in self.classes])
        _ = self._by_spelling
        _check_parents(self.classes)

    @classmethod
    def load(cls, path: str | Path) -> Ontology:
        """Read a TOML file (docs/ontology.md).

        Raises InputError if it cannot be read, or holds no ontology: the class and the key that is wrong are named.
        """
        return ontology_of(read_toml(Path(path)), Path(path).stem, f"ontology {path}")

    @classmethod
    def of(cls, names: Iterable[str], *, others: str | None = None, name: str = "ontology") -> Ontology:
        """An ontology of class names, in this order, each with the synonyms that are known for it.

        Args:
            names: the classes
            others (None): the name of what maps to none of them; None: it keeps its own
            name ("ontology"): its own

        Raises InputError if they are no list of names, or one of them is none.
        """
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise InputError(f'the classes must be a list of names, ["...", "..."], got {shown(names)}')
        wanted = [_name(each, "the name of a class") for each in names]
        taken, rows = {fold(other) for other in wanted}, []
        for each in wanted:
            rows.append({"name": each, "synonyms": [other for other in known_synonyms(each) if other not in taken]})
            taken.update(rows[-1]["synonyms"])
        return ontology_of({"others": others or "", "classes": rows}, name, "an ontology of these names")

    def save(self, path: str | Path) -> None:
        """Write it as a TOML file, whole or not at all. Raises InputError if that is not possible."""
        write_whole(Path(path), self.text().encode())

    def text(self) -> str:
        """The TOML file's text."""
        head = {"name": self.name, "others": self.others}
        return toml_text({key: value for key, value in head.items() if value}, "classes", map(_row_of, self.classes))

    def class_of(self, name: str) -> OntologyClass | None:
        """The class that a name means, None where it means none.

        Case, spaces, dashes and underscores make no difference; else number, articles, colours and sizes before it
        make none: "the red cars" is "car" where no class has that very name.
        """
        return self._by_spelling.get(fold(name)) or self._by_form.get(plain_name(name))

    def with_names(self, names: Iterable[str]) -> Ontology:
        """The same classes, and each of `names` that means none of them as a class of its own."""
        new: dict[str, str] = {}
        for name in names:
            if self.class_of(name) is None:
                new.setdefault(fold(name), name)
        first = max(entry.id for entry in self.classes) + 1
        added = [OntologyClass(name, number) for number, name in enumerate(new.values(), first)]
        return replace(self, classes=(*self.classes, *added)) if added else self

    def with_others(self, name: str | None) -> Ontology:
        """The same classes, and another name of what maps to none of them; None: it keeps its own.

        A name of a class is that class. Raises InputError if it is no name.
        """
        meant = None if name is None else self._by_spelling.get(fold(_name(name, "others")))
        return replace(self, others=meant.name if meant else name and name.strip())

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """What models are asked for in a run: every class's prompts, or its name."""
        return tuple(dict.fromkeys(prompt for entry in self.classes for prompt in entry.prompts or (entry.name,)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, and of `others`."""
        known = tuple(entry.name for entry in self.classes)
        return known if self.others is None or self.others in known else (*known, self.others)

    @cached_property
    def _by_spelling(self) -> Mapping[str, OntologyClass]:
        found: dict[str, OntologyClass] = {fold(entry.name): entry for entry in self.classes}
        for entry in self.classes:
            for name in entry.names:
                other = found.setdefault(fold(name), entry)
                if other is not entry:
                    raise InputError(f"{name!r} means both {other.name!r} and {entry.name!r}; leave it to one of them")
        return found

    @cached_property
    def _by_form(self) -> Mapping[str, OntologyClass]:
        """What number and colours make no difference to; a form that two classes share is neither's."""
        found: dict[str, OntologyClass | None] = {}
        for spelling, entry in self._by_spelling.items():
            form = plain_name(spelling)
            found[form] = entry if found.get(form, entry) is entry else None
        return {form: entry for form, entry in found.items() if entry is not None}

    @classmethod
    def suggest(cls, samples: Any, label_field: str = "ssa", **options: Any) -> Ontology:
        """An ontology of the names that a view's masks have: `curation.ontology_suggest.suggest`."""
        found: Ontology = _curation("ontology_suggest").suggest(samples, label_field, **options)
        return found

    def apply(self, samples: Any, label_field: str = "ssa", *, to: str, **options: Any) -> Any:
        """Decide every mask of a view again under these classes: `curation.ontology_apply.apply`."""
        return _curation("ontology_apply").apply(self, samples, label_field, to=to, **options)


def _curation(module: str) -> Any:
    """What works on FiftyOne's datasets, which this wing knows nothing of; loaded when it is asked for."""
    return importlib.import_module(f"fiftyone_ssa.curation.{module}")


def ontology_of(table: Mapping[str, Any], name: str, where: str) -> Ontology:
    """An ontology from what a TOML file holds. Raises InputError, with `where` and the class, for anything else."""
    _check_keys(table, ("name", "others", "classes"), where)
    rows = table.get("classes")
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise InputError(f"{where} has no classes; write [[classes]] and below it name = ..., for each")
    if not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"{where}: classes must be tables; write [[classes]] and below it name = ...")
    others = table.get("others", "")
    others = None if others == "" else _name(others, f"{where}: others")
    given = [row["id"] for row in rows if type(row.get("id")) is int]
    free = iter(sorted(set(range(1, len(rows) + len(given) + 1)) - set(given)))
    try:
        classes = tuple(_class_of(row, free, where) for row in rows)
        known = {fold(entry.name): entry.name for entry in classes}
        classes = tuple(replace(entry, parent=_as_known(entry.parent, known)) for entry in classes)
        return Ontology(classes, None, _name(table.get("name", name), f"{where}: name")).with_others(others)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None


def _as_known(name: str | None, known: Mapping[str, str]) -> str | None:
    """A class's name as the class writes it, any other as it is."""
    return None if name is None else known.get(fold(name), name)


def _class_of(row: Mapping[str, Any], free: Any, where: str) -> OntologyClass:
    name = _name(row.get("name"), f"{where}: the name of a class")
    here = f"{where}: class {name!r}"
    _check_keys(row, tuple(entry.name for entry in fields(OntologyClass)), here)
    lists = {key: _names(row.get(key, ()), f"{here}: {key}") for key in _LISTS}
    identity = row["id"] if "id" in row else next(free)
    if type(identity) is not int or not 1 <= identity <= MOST_ID:
        raise InputError(f"{here}: id must be a whole number from 1 to {MOST_ID}, got {shown(identity)}")
    colour = row.get("colour") or colour_of(name)
    if not isinstance(colour, str) or not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        raise InputError(f'{here}: colour must read "#rrggbb", got {shown(colour)}')
    is_thing = row.get("is_thing", not is_known_stuff(name))
    if not isinstance(is_thing, bool):
        raise InputError(f"{here}: is_thing must be true or false, got {shown(is_thing)}")
    counts = row.get("counts", {})
    if not isinstance(counts, Mapping) or not all(type(value) is int and value >= 0 for value in counts.values()):
        raise InputError(f"{here}: counts must hold numbers of masks, got {shown(counts)}")
    parent = row.get("parent") or None
    parent = None if parent is None else _name(parent, f"{here}: parent")
    about = OntologyClass(name, identity, parent=parent, colour=colour.lower(), is_thing=is_thing, counts=dict(counts))
    return replace(about, **lists)  # type: ignore[arg-type]


def _row_of(entry: OntologyClass) -> dict[str, Any]:
    """What of a class a file has to say."""
    every = {each.name: getattr(entry, each.name) for each in fields(entry)}
    return {key: value for key, value in every.items() if key in ("name", "id", "colour", "is_thing") or value}


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what} must be text that is not empty, got {shown(value)}")
    text = value.strip()
    if len(text) > LONGEST or not is_one_line(text):
        raise InputError(f"{what} must be one line of at most {LONGEST} characters, got {shown(text, 60)}")
    return text


def _names(value: Any, what: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(f'{what} must be a list of names, ["...", "..."], got {shown(value)}')
    return tuple(dict.fromkeys(_name(entry, f"each of {what}") for entry in value))


def _check_keys(table: Mapping[str, Any], legal: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in legal:
            raise InputError(f"{where}: unknown key {shown(key)}; legal are {', '.join(legal)}")


def _check_distinct(what: str, values: Sequence[Any]) -> None:
    value, times = Counter(values).most_common(1)[0]
    if times > 1:
        raise InputError(f"{times} classes have the {what} {value!r}; each needs its own")


def _check_parents(classes: Sequence[OntologyClass]) -> None:
    parents = {entry.name: entry.parent for entry in classes}
    for name in parents:
        seen, above = [name], parents[name]
        while above is not None:
            if above in seen:
                raise InputError(f"class {name!r} is above itself: {' < '.join((*seen, above))}; mend a parent")
            seen.append(above)
            above = parents.get(above)
