"""From names that were said to the ontology that is suggested of them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fiftyone_ssa.layouts.ontology import Ontology, OntologyClass, ontology_of
from fiftyone_ssa.layouts.ontology_groups import Group

EXAMPLES = 3
"""Masks that a class names as examples."""


@dataclass
class SaidNames:
    """What masks are called, and were proposed to be."""

    masks: Counter[str] = field(default_factory=Counter)
    """Masks by name, 0 for names that were only proposed."""
    segmenters: set[str] = field(default_factory=set)
    """Names that a segmenter gave."""
    examples: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """The surest masks of each name."""

    def add(self, name: str, identity: str, confidence: float) -> None:
        """Count a mask."""
        self.masks[name] += 1
        surest = self.examples.setdefault(name, [])
        heapq.heappush(surest, (confidence, identity))
        if len(surest) > EXAMPLES:
            heapq.heappop(surest)


def suggested_ontology(
    groups: Sequence[Group],
    names: SaidNames,
    pairs: Sequence[tuple[str, str]] = (),
    *,
    others: str | None = None,
    name: str = "ontology",
) -> Ontology:
    """An ontology with a class for each group, with counts and examples.

    Args:
        groups: of `group_names`
        names: what they were made of
        pairs (()): of `unsure_pairs`: (the class it may be, the class that may be it)
        others (None): the ontology's
        name ("ontology"): its own
    """
    maybe: dict[str, list[str]] = {}
    for whole, other in pairs:
        maybe.setdefault(whole, []).append(other)
    rows: list[Mapping[str, Any]] = [
        {
            "name": group.name,
            "synonyms": [other for other in group.names if other != group.name],
            "segmenter_classes": [other for other in group.names if other in names.segmenters],
            "maybe": list(dict.fromkeys(maybe.get(group.name, ()))),
            "counts": {other: names.masks[other] for other in group.names if names.masks[other]},
            "examples": [
                identity for _, identity in heapq.nlargest(EXAMPLES, _examples(group, names), key=lambda pair: pair)
            ],
        }
        for group in groups
    ]
    table = {"classes": rows, **({"others": others} if others is not None else {})}
    return ontology_of(table, name, "the names of these masks")


def _examples(group: Group, names: SaidNames) -> list[tuple[float, str]]:
    return [pair for name in group.names for pair in names.examples.get(name, ())]


def with_joined(ontology: Ontology) -> Ontology:
    """An ontology in which each class has taken in what it lists as `maybe`, as synonyms."""
    by_name = {entry.name: entry for entry in ontology.classes}
    into = {name: entry.name for entry in ontology.classes for name in entry.maybe if name in by_name}
    roots = {name: _root(name, into) for name in by_name}
    members: dict[str, list[OntologyClass]] = {}
    for name, entry in by_name.items():
        members.setdefault(roots[name], []).append(entry)
    return replace(ontology, classes=tuple(_joined(by_name[root], members[root]) for root in members))


def _root(name: str, into: Mapping[str, str]) -> str:
    seen = [name]
    while (above := into.get(seen[-1])) is not None and above not in seen:
        seen.append(above)
    return seen[-1]


def _joined(whole: OntologyClass, members: Sequence[OntologyClass]) -> OntologyClass:
    names = dict.fromkeys(name for entry in (whole, *members) for name in entry.names if name != whole.name)
    counts: Counter[str] = Counter()
    for entry in members:
        counts.update(entry.counts)
    return replace(
        whole,
        synonyms=tuple(names),
        segmenter_classes=tuple(dict.fromkeys(name for entry in members for name in entry.segmenter_classes)),
        maybe=(),
        counts=dict(counts),
    )
