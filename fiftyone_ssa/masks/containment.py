"""Which masks lie in which, from their runs alone: wholes, parts and subparts, and the same thing seen twice.

Masks nest as SA-1B's do, where SAM answers a point with a whole, a part of it and a part of that. Its masks leak over
their borders, and often it answers twice with the same thing, more or less of it: two masks are taken for the same if
they are as alike as masks so unstable can be, or, with less, if both have one name. Where it is known which names are
parts of which (`Lore`), a balloon's envelope is no balloon, however alike their masks are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.overlaps import shared_px
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.types import Floats, Ints, MaskSet

INSIDE = 0.8
"""Share of a mask's pixels that its parent has to hold."""
ALIKE, LEAST_ALIKE, MOST_ALIKE = 0.95, 0.5, 0.95
"""Two masks show the same from an IoU of `ALIKE` times both stability scores on, within these bounds."""
USUAL_INSIDE = 0.5
"""The same of a parent of which its name is a usual part: a wheel under a truck whose mask ends where wheels begin."""
NAMESAKES = 0.4
"""IoU from which two masks of one name show the same."""
STABLE = 0.9
"""Stability from which a mask lacks a part because it shows less, and not by chance."""
FILLS = 0.5
"""Share of what a stable mask lacks of a larger one of its name that the part has to fill."""
DUPLICATE = 0.7
"""IoU from which one of two masks that show the same repeats the other, as in SAM's suppression of boxes."""
WHOLE, PART, SUBPART = "whole", "part", "subpart"
LEVELS = (WHOLE, PART, SUBPART)
"""By depth; what lies deeper is a subpart, too."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lore:
    """What is known of names."""

    is_part: Callable[[str, str], bool]
    """Whether the first names a usual part of what the second names."""
    is_only_whole: Callable[[str], bool]
    """Whether a name is of things that are no part of anything."""
    is_only_part: Callable[[str], bool]
    """Whether a name is of parts only: nothing that stands alone has it."""


@dataclass(frozen=True, eq=False)
class Containment:
    """How N masks of one image lie in each other."""

    parents: Ints
    """(N,) the smallest mask that holds each one, and repeats none; -1 where there is none.

    With `Lore`, one between a part and its usual whole that is no other part of that is passed over."""
    duplicates: Ints
    """(N,) the mask that each one repeats, which repeats none; -1 where it is the best, or the only one."""
    depths: Ints
    """(N,) how many things lie around each, one within the other; -1 for an empty mask. A mask that shows less of the
    same thing than its parent has the parent's. With `Lore`, what only parts are called is 1 deep at least, though
    no mask shows its whole, and a usual part is one deeper than its whole, not than a piece of that."""

    def level(self, index: int) -> str | None:
        """Of one mask: "whole", "part" or "subpart"; None where it is empty."""
        depth = int(self.depths[index])
        return None if depth < 0 else LEVELS[min(depth, 2)]

    def told(self, ids: Sequence[Any]) -> list[dict[str, Any]]:
        """`level`, `parent` and `duplicate_of` of each mask, as far as it has them; (N,) `ids` name the masks."""
        rows: list[dict[str, Any]] = []
        for index in range(len(ids)):
            level, parent, duplicate = self.level(index), int(self.parents[index]), int(self.duplicates[index])
            rows.append({} if level is None else {"level": level})
            rows[-1] |= {"parent": ids[parent]} if parent >= 0 else {}
            rows[-1] |= {"duplicate_of": ids[duplicate]} if duplicate >= 0 else {}
        return rows


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of masks that share much of the smaller one."""

    smaller: Ints
    larger: Ints
    shared_px: Ints


def contain(masks: MaskSet, *, names: Sequence[str | None] | None = None, lore: Lore | None = None) -> Containment:
    """Whole, part and subpart among N masks of one image, which may overlap as they like.

    Without a known stability score a mask counts as exact. Of two that show the same, the one of higher predicted IoU
    times stability score is kept, then the larger, then the first.

    Args:
        masks: of one image
        names (None): (N,) what they are called, None where that is not known
        lore (None): what is known of these names (`naming.part_names.nested` knows a table)
    """
    areas = masks.areas_px
    called = list(names) if names is not None else [None] * len(masks)
    pairs = overlapping_pairs(masks, min(INSIDE, USUAL_INSIDE, 2 * NAMESAKES / (1 + NAMESAKES)))
    iou = pairs.shared_px / (areas[pairs.smaller] + areas[pairs.larger] - pairs.shared_px)
    usual = _usual_parts(pairs, called, lore)
    same = (iou >= _alike_from(masks, pairs, names)) & ~usual
    holds = (pairs.shared_px >= INSIDE * areas[pairs.smaller]) | usual
    same &= ~(_lacking(masks, pairs, called, usual) | _surer(masks, pairs, called, lore))
    duplicates = _duplicates(masks, pairs, same & (iou >= DUPLICATE))
    nesting = _Nesting(masks, pairs, np.where(same, iou, -1.0), holds, usual, called, lore)
    return _nest(masks, nesting, duplicates)


def overlapping_pairs(masks: MaskSet, share: float) -> Pairs:
    """All pairs of which at least `share` of the smaller mask lies in the larger; of two of one size the first is it.

    Boxes tell most pairs apart.
    """
    runs, areas = runs_of(masks), masks.areas_px
    x0, y0, w, h = masks.boxes_xywh.T
    x1, y1 = x0 + w, y0 + h
    ranks = np.empty(len(masks), np.int64)
    ranks[masks.order_by_area()] = np.arange(len(masks))
    smaller, larger, of_both = ([np.zeros(0, np.int64)] for _ in range(3))
    for index in np.flatnonzero(areas).tolist():
        across = np.minimum(x1, x1[index]) - np.maximum(x0, x0[index])
        down = np.minimum(y1, y1[index]) - np.maximum(y0, y0[index])
        may = (ranks > ranks[index]) & (areas > 0) & (across > 0) & (down > 0) & (across * down >= share * areas)
        near = np.flatnonzero(may)
        if len(near):
            shared = shared_px(runs, index, near)
            kept = shared >= share * areas[near]
            smaller.append(near[kept])
            larger.append(np.full(int(kept.sum()), index))
            of_both.append(shared[kept])
    return Pairs(np.concatenate(smaller), np.concatenate(larger), np.concatenate(of_both))


def _alike_from(masks: MaskSet, pairs: Pairs, names: Sequence[str | None] | None) -> Floats:
    """(P,) the IoU from which the masks of each pair show the same."""
    stability = np.nan_to_num(masks.stability_score, nan=1.0)
    alike = np.clip(ALIKE * stability[pairs.smaller] * stability[pairs.larger], LEAST_ALIKE, MOST_ALIKE)
    if names is None:
        return alike
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names)) if name is not None}
    called = np.array([numbers.get(name, -1) if name is not None else -1 for name in names], np.int64)
    namesakes = (called[pairs.smaller] == called[pairs.larger]) & (called[pairs.smaller] >= 0)
    return np.where(namesakes, NAMESAKES, alike)


def _usual_parts(pairs: Pairs, names: Sequence[str | None], lore: Lore | None) -> Flags:
    """(P,) whether the smaller mask of each pair has the name of a usual part of the larger."""
    if lore is None:
        return np.zeros(len(pairs.smaller), bool)
    both = ((names[one], names[other]) for one, other in zip(pairs.smaller, pairs.larger, strict=True))
    return np.array([bool(part and whole and lore.is_part(part, whole)) for part, whole in both], bool)


def _surer(masks: MaskSet, pairs: Pairs, names: Sequence[str | None], lore: Lore | None) -> Flags:
    """(P,) whether the smaller mask of each pair has another name, of things that are no parts, and wavers less.

    The other is no other view of it then, but took it for something else, and does not tell where it stands.
    """
    alone = np.array([bool(name and lore and lore.is_only_whole(name)) for name in names], bool)
    both = zip(pairs.smaller.tolist(), pairs.larger.tolist(), strict=True)
    others = np.array([names[one] != names[other] for one, other in both], bool)
    stability = masks.stability_score
    found: Flags = alone[pairs.smaller] & others & (stability[pairs.smaller] > stability[pairs.larger])
    return found


def _lacking(masks: MaskSet, pairs: Pairs, names: Sequence[str | None], usual: Flags) -> Flags:
    """(P,) whether the smaller of two masks of one name lacks a usual part that the larger holds.

    It is the rest of it then: a tree's crown that is named "tree". Both masks have to be exact; or stable, and the part
    most of what the smaller one lacks. Masks that waver lack parts by chance.
    """
    areas = masks.areas_px
    exact = np.isnan(masks.stability_score).tolist()
    stable = (np.isnan(masks.stability_score) | (masks.stability_score >= STABLE)).tolist()
    both = list(zip(pairs.smaller.tolist(), pairs.larger.tolist(), strict=True))
    shared = pairs.shared_px.tolist()
    near = {index: {index} for index in {index for pair in both for index in pair}}
    parts: dict[int, list[tuple[int, int]]] = {}
    held = usual & (pairs.shared_px >= INSIDE * areas[pairs.smaller])
    for (one, other), pixels, is_held in zip(both, shared, held.tolist(), strict=True):
        near[one].add(other)
        near[other].add(one)
        if is_held:
            parts.setdefault(other, []).append((-pixels, one))
    for rows in parts.values():
        rows.sort()
    found = np.zeros(len(both), np.bool_)
    for place, (one, other) in enumerate(both):
        if (
            other not in parts
            or names[one] is None
            or names[one] != names[other]
            or not (stable[one] and stable[other])
        ):
            continue
        least = 0 if exact[one] and exact[other] else FILLS * (areas[other] - shared[place])
        large = bisect_right(parts[other], -least, key=itemgetter(0))
        found[place] = not near[one].issuperset(part for _, part in parts[other][:large])
    return found


def _duplicates(masks: MaskSet, pairs: Pairs, alike: Flags) -> Ints:
    """The mask that each one repeats: from the best to the worst, each takes those like it that are still free."""
    near: dict[int, list[int]] = {}
    for one, other in zip(pairs.smaller[alike].tolist(), pairs.larger[alike].tolist(), strict=True):
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    scores = np.nan_to_num(masks.predicted_iou, nan=1.0) * np.nan_to_num(masks.stability_score, nan=1.0)
    found, kept = np.full(len(masks), -1, np.int64), set[int]()
    for index in np.lexsort((-masks.areas_px, -scores)).tolist():
        if found[index] < 0 and index in near:
            kept.add(index)
            found[[other for other in near[index] if found[other] < 0 and other not in kept]] = index
    return found


Near = tuple[int, float, bool, bool]
"""A larger mask that shares much of another, and the pair's `same_iou`, `holds` and `usual`."""


@dataclass(frozen=True, eq=False)
class _Nesting:
    """What is known of P pairs, and of N masks."""

    masks: MaskSet
    pairs: Pairs
    same_iou: Floats
    """(P,) -1 for pairs that do not show the same."""
    holds: Flags
    """(P,) whether the larger mask may be the smaller one's parent."""
    usual: Flags
    """(P,) whether the smaller has the name of a usual part of the larger."""
    names: Sequence[str | None]
    """(N,) what each mask is called."""
    lore: Lore | None

    @cached_property
    def with_parts(self) -> frozenset[int]:
        """The masks that hold usual parts of theirs."""
        return frozenset(self.pairs.larger[self.usual].tolist())

    def least(self, index: int) -> int:
        """How deep a mask is at least."""
        name = self.names[index]
        return int(bool(name and self.lore and self.lore.is_only_part(name)))

    def is_usual(self, part: int, whole: int) -> bool:
        """Whether a mask has the name of a usual part of another."""
        names = self.names[part], self.names[whole]
        return bool(names[0] and names[1] and self.lore and self.lore.is_part(names[0], names[1]))

    def parent(self, index: int, near: Sequence[Near], ranks: Mapping[int, int]) -> int:
        """The mask that one is a part of, among those around it; -1 where there is none."""
        holders = [other for other, _, inside, _ in near if inside]
        if not holders:
            return -1
        between = max(holders, key=lambda other: ranks[other])
        wholes = [other for other, _, _, is_usual in near if is_usual]
        namesakes = {other for other in holders if self.names[other] == self.names[index]}
        if not wholes:
            return -1 if not namesakes and self._stands_before(index, between) else between
        whole = max(wholes, key=lambda other: ranks[other])
        if between in wholes:
            return between
        wavers = not np.isnan(self.masks.stability_score[index])
        if wavers or between in namesakes or not self.is_usual(between, whole):
            return whole  # what lies between is not its whole, and at most leaks over it
        return between

    def _stands_before(self, index: int, other: int) -> bool:
        """Whether one mask is of a thing that no thing has for a part, and the other, which wavers, swallowed it.

        The other wavers more, or the thing has parts of its own.
        """
        name, stability = self.names[index], self.masks.stability_score
        alone = bool(name and self.lore and self.lore.is_only_whole(name))
        if not alone or np.isnan(stability[other]):
            return False
        return bool(stability[index] > stability[other]) or index in self.with_parts

    def around(self) -> dict[int, list[Near]]:
        """Each mask to the larger ones that share much of it."""
        found: dict[int, list[Near]] = {}
        rows = (self.pairs.smaller, self.pairs.larger, self.same_iou, self.holds, self.usual)
        for one, *facts in zip(*(row.tolist() for row in rows), strict=True):
            found.setdefault(one, []).append((facts[0], facts[1], facts[2], facts[3]))
        return found


def _nest(masks: MaskSet, nesting: _Nesting, duplicates: Ints) -> Containment:
    """Parents and depths, from the largest mask to the smallest: what is around a mask is larger."""
    around, order, names = nesting.around(), masks.order_by_area(), nesting.names
    ranks = dict(zip(order.tolist(), range(len(order)), strict=True))
    parents, depths = np.full(len(masks), -1, np.int64), np.full(len(masks), -1, np.int64)
    for index in order[masks.areas_px[order] > 0].tolist():
        near = around.get(index, [])
        depths[index] = 0
        like, iou, inside, _ = max(near, key=lambda row: (row[1], ranks[row[0]]), default=(-1, -1.0, False, False))
        if iou >= 0:
            depths[index] = depths[like]
            parents[index] = like if inside and iou < DUPLICATE else parents[like]
        elif (parent := nesting.parent(index, near, ranks)) >= 0:
            parents[index] = whole = parent
            while nesting.is_usual(index, whole) and parents[whole] >= 0 and names[parents[whole]] == names[whole]:
                whole = int(parents[whole])  # from a piece that is called as all of it
            depths[index] = depths[whole] + 1
        depths[index] = max(depths[index], nesting.least(index))
    return Containment(_kept(parents, duplicates, ranks), duplicates, depths)


def _kept(parents: Ints, duplicates: Ints, ranks: Mapping[int, int]) -> Ints:
    """The parents; for one that repeats a mask that mask, where it is larger than the child, else what is around it.

    No mask is a part of what it repeats, or of itself.
    """
    found = parents.copy()
    for index, (above, own) in enumerate(zip(parents.tolist(), duplicates.tolist(), strict=True)):
        while above >= 0 and (above == own or duplicates[above] >= 0):
            kept = int(duplicates[above])
            above = kept if 0 <= kept != own and ranks[kept] < ranks[index] else int(parents[above])
        found[index] = above
    return found
