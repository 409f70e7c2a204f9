"""A mask's name decided again, under an ontology's classes, from what was said of it: no model is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fiftyone_ssa.layouts.ontology import Ontology

MIN_SHARE = 0.2
"""A class whose names together have less than this share of the best name's score says nothing of a mask: the last of
the models' proposals are there by chance."""


@dataclass(frozen=True)
class Decided:
    """What a mask is, and what else it may be."""

    label: str | None
    """A class, `others`, or the name that it had."""
    names: tuple[str, ...]
    """Proposals under the ontology, the label first and then by score."""
    scores: tuple[float, ...]
    share: float
    """How the label's score compares with that of the name that the mask had: above 1 where synonyms add to it."""
    is_class: bool
    """Whether the label is one of the classes."""


def decide_again(
    ontology: Ontology,
    label: str | None,
    names: Sequence[str] = (),
    scores: Sequence[float] = (),
    *,
    min_share: float = MIN_SHARE,
) -> Decided:
    """The class whose names together have the highest score, where that is no small share of the best name's.

    What was decided before counts as much as the best proposal, for a decider had more to go by than these scores;
    so an ontology that puts nothing together changes no name. Names that mean no class stand behind every class
    that has `min_share` of the best name's score: of "sedan" 0.6 and "car" 0.3 it is "car", where only that is a
    class; of "sky" 0.9 and "tree" 0.1 it is no tree. Where no class has as much, the mask is `others`, or keeps its
    name. Equal sums go to the class of the name that it had, then to the earlier one.

    Args:
        ontology: the classes
        label: the name that the mask has; None: none
        names (()): what was proposed
        scores (()): of each of these, 0 to 1
        min_share (0.2): what a class needs of the best name's score, 0 to 1
    """
    said = _said(label, names, scores)
    if not said:
        return Decided(label, (), (), 1.0, False)
    sums: dict[str, float] = {}
    classes: set[str] = set()
    for name, score in said.items():
        found = ontology.class_of(name)
        key = found.name if found else ontology.others or name
        sums[key] = sums.get(key, 0.0) + score
        if found:
            classes.add(key)
    now = _key(ontology, label)
    least = min_share * max(said.values())
    reached = [key for key in sums if key in classes and sums[key] >= least]
    if reached:
        best = max(reached, key=lambda key: (sums[key], key == now))
    elif ontology.others is not None:
        best = ontology.others
        sums.setdefault(best, 0.0)
    else:
        best = label if label is not None else max(said, key=lambda name: said[name])
        sums.setdefault(best, said[best])
    order = sorted(sums, key=lambda key: (key != best, -sums[key]))
    before = said[label] if label is not None else sums[best]
    share = sums[best] / before if before > 0 else 1.0
    return Decided(best, tuple(order), tuple(min(sums[key], 1.0) for key in order), share, bool(reached))


def _key(ontology: Ontology, label: str | None) -> str | None:
    found = ontology.class_of(label) if label is not None else None
    return found.name if found else label


def _said(label: str | None, names: Sequence[str], scores: Sequence[float]) -> Mapping[str, float]:
    """Each name with its score, the mask's own first; without scores all is said of its own."""
    pairs = dict(zip(names, scores, strict=False)) if len(names) == len(scores) else {}
    if label is None:
        return pairs
    return {label: max(pairs.values(), default=1.0), **{name: s for name, s in pairs.items() if name != label}}
