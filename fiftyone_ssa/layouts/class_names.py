"""Class names of two lists put together: by name, never by place, and what is written differently is told."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TOLD = 5
"""Names that a sentence lists before it only counts."""
_NO_NAMES = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of what no name has: control characters, halves of characters, line breaks."""


@dataclass(frozen=True)
class NameMatch:
    """How the names of a prediction meet those of the ground truth."""

    ids: tuple[int | None, ...]
    """Of each predicted name its place in the ground truth's list; None for a class that the ground truth lacks."""
    alike: tuple[tuple[str, str], ...] = ()
    """Predicted and true name, where they differ only in case, spaces, dashes or further synonyms."""
    unknown: tuple[tuple[str, str | None], ...] = ()
    """Predicted names that the ground truth lacks, with its nearest name."""
    missing: tuple[str, ...] = ()
    """The ground truth's names that no prediction can have."""

    @property
    def none_in_common(self) -> bool:
        """Whether no name meets any other."""
        return all(place is None for place in self.ids)

    def sentences(self) -> list[str]:
        """What a reader of the scores must know; nothing where the lists hold the same names."""
        told = []
        if self.alike:
            pairs = _listed([f"{ours!r} for {theirs!r}" for ours, theirs in self.alike])
            told.append(f"class names that are written differently are taken for the same: {pairs}")
        if self.unknown:
            names = _listed([repr(name) + (f" (nearest: {near!r})" if near else "") for name, near in self.unknown])
            told.append(f"the ground truth lacks classes of the prediction, whose pixels count as no class: {names}")
        if self.missing:
            names = _listed([repr(name) for name in self.missing])
            told.append(f"the prediction lacks classes of the ground truth, whose pixels are all misses: {names}")
        return told


def match_names(predicted: Sequence[str], truth: Sequence[str]) -> NameMatch:
    """Each predicted name with the true name that is equal, or else the only one that is alike (see `fold`)."""
    places = {name: place for place, name in enumerate(truth)}
    folded, first = _spellings(truth, fold), _spellings(truth, _first_synonym)
    ids: list[int | None] = []
    alike = []
    for name in predicted:
        found = name if name in places else folded.get(fold(name)) or first.get(_first_synonym(name))
        ids.append(None if found is None else places[found])
        if found is not None and found != name:
            alike.append((name, found))
    met = set(ids)
    lacking = dict.fromkeys(name for name, i in zip(predicted, ids, strict=True) if i is None)
    return NameMatch(
        ids=tuple(ids),
        alike=tuple(dict.fromkeys(alike)),
        unknown=tuple((name, nearest(name, truth)) for name in lacking),
        missing=tuple(name for place, name in enumerate(truth) if place not in met),
    )


def fold(name: str) -> str:
    """A name in the form in which case, spaces, dashes and underscores make no difference."""
    return re.sub(r"[\s_\-]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()


def is_one_line(text: str) -> bool:
    """Whether a text has no line break, control character or half a character, which no name has.

    Joiners and marks of direction, which names of many languages have, are none of these.
    """
    return not any(unicodedata.category(character) in _NO_NAMES for character in text)


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The name that looks most like another, or None if none looks like it."""
    by_fold = {fold(other): other for other in names}
    found = difflib.get_close_matches(fold(name), by_fold, 1)
    return by_fold[found[0]] if found else None


def first_names(names: Sequence[str]) -> str:
    """The first three names of a list, for a sentence."""
    return ", ".join(map(repr, names[:3])) + (" ..." if len(names) > 3 else "")


def _first_synonym(name: str) -> str:
    """ADE20K's own lists name a class "building, edifice"; the published models, by the first word."""
    return fold(re.split("[,;]", name)[0])


def _spellings(names: Sequence[str], spell: Callable[[str], str]) -> dict[str, str]:
    """Spelling to name, spellings that several names share left out."""
    counts = Counter(map(spell, names))
    return {spell(name): name for name in names if counts[spell(name)] == 1}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(names[:TOLD]) + more
