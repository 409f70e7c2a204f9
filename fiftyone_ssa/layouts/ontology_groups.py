"""Names put together that are surely the same thing, and pairs that may be: what an ontology is suggested from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fiftyone_ssa.layouts.class_names import fold, is_one_line
from fiftyone_ssa.layouts.ontology import LONGEST
from fiftyone_ssa.layouts.ontology_names import known_thing, plain_name
from fiftyone_ssa.layouts.wordnet import first_senses

Lemma = Callable[[Sequence[str]], Sequence[str]]
"""Names to their singulars."""


@dataclass(frozen=True)
class Group:
    """Names of one thing."""

    name: str
    """What the class is called."""
    names: tuple[str, ...]
    """All of them, most masks first."""
    key: str


def group_names(
    counts: Mapping[str, int], *, lemma: Lemma | None = None, wordnet: Path | None = None
) -> tuple[Group, ...]:
    """Groups of names that mean the same, most masks first; what is not sure stays apart.

    The same are names of one line of our table; names that differ in case, number, articles, colours and sizes; and
    names that WordNet has the same most frequent sense of, where our table does not tell them apart.

    Args:
        counts: name to how many masks have it; 0 for one that was only proposed, which makes no group of its own
        lemma (None): what makes singulars of names that the table does not know; None: rules of English
        wordnet (None): the folder of WordNet's files; None: without
    """
    usable = [name for name in counts if name.strip() and len(name) <= LONGEST and is_one_line(name)]
    keys = _keys(usable, lemma)
    if wordnet is not None:
        keys = _with_senses(keys, wordnet)
    members: dict[str, list[str]] = {}
    for name in usable:
        members.setdefault(keys[name], []).append(name)
    groups = []
    for key, names in members.items():
        ordered = sorted(names, key=lambda name: (-counts[name], name))
        if any(counts[name] for name in names):
            groups.append(Group(_best_name(ordered, counts), tuple(ordered), key))
    return tuple(sorted(groups, key=lambda group: (-sum(counts[name] for name in group.names), group.name)))


def unsure_pairs(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Pairs of groups that may be one, by their words alone: "wooden chair" may be "chair".

    Each is (the class it may be, the name that may be it). What our table tells apart is none.
    """
    by_key = {group.key: group for group in groups}
    found = []
    for group in groups:
        words = group.key.split()
        for start in range(1, len(words)):
            other = by_key.get(" ".join(words[start:]))
            if other is not None and not are_told_apart(group, other):
                found.append((other.name, group.name))
                break
    return found


def are_told_apart(group: Group, other: Group) -> bool:
    """Whether our table knows both, as two things."""
    return None not in (known_thing(group.name), known_thing(other.name))


def _keys(names: Iterable[str], lemma: Lemma | None) -> dict[str, str]:
    """What is equal for names that are surely the same."""
    keys = {name: known_thing(name) or plain_name(name) for name in names}
    unknown = sorted({key for key in keys.values() if known_thing(key) is None})
    if lemma is not None and unknown:
        singular = dict(zip(unknown, lemma(unknown), strict=True))
        keys = {name: _known(singular.get(key, key)) for name, key in keys.items()}
    return keys


def _known(name: str) -> str:
    return known_thing(name) or name


def _with_senses(keys: Mapping[str, str], wordnet: Path) -> dict[str, str]:
    """Keys of one sense become one; two that our table knows stay two, and so does what would join them."""
    senses = first_senses(sorted(set(keys.values())), wordnet)
    joined: dict[str, list[str]] = {}
    for key in sorted(senses):
        joined.setdefault(senses[key], []).append(key)
    same: dict[str, str] = {}
    for alike in joined.values():
        known = [key for key in alike if known_thing(key) is not None]
        if len(alike) > 1 and len(known) < 2:
            same |= dict.fromkeys(alike, (known or alike)[0])
    return {name: same.get(key, key) for name, key in keys.items()}


def _best_name(names: Sequence[str], counts: Mapping[str, int]) -> str:
    """The one that most masks have among those in plain form, or else of all."""
    plain = [name for name in names if fold(name) == plain_name(name) and counts[name]]
    return (plain or names)[0]
