"""The published rule: every mask takes the most frequent class under it, and small masks are painted over large ones.

Both work on runs: a mask's run-length code is intersected with the map's own runs of equal class, so a vote costs
what the outlines cost and no mask is ever made dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Floats, Ints, MaskSet, Proposals, SemanticMap, Votes

Canvas = TypeVar("Canvas", bound=npt.NDArray[Any])

PIECES = 1 << 20
"""How many run intersections are looked at in one go; bounds memory on maps made of noise."""
PROPOSALS = 3
"""Classes of a mask that are kept beside each other, as the engine's three."""


def vote(masks: MaskSet, semantic: SemanticMap) -> Votes:
    """The most frequent class of `semantic` under each mask, ties to the lowest id; ignored pixels have no vote."""
    return votes_from_shares(count_classes(masks, semantic))


def count_classes(masks: MaskSet, semantic: SemanticMap) -> Floats:
    """(N, C) pixels of each class under each mask, ignored pixels left out."""
    class_count = len(semantic.names)
    starts, ends, classes = rle.class_runs(semantic.ids)
    columns = np.where(classes == semantic.ignore_id, class_count, classes).astype(np.int64)
    counts = np.zeros((len(masks), class_count + 1))
    for index, code in enumerate(masks.rles):
        counts[index] = _count(rle.intervals(rle.runs(code, masks.size_hw)), starts, ends, columns, class_count + 1)
    return counts[:, :class_count]


def _count(mask: tuple[Ints, Ints], starts: Ints, ends: Ints, columns: Ints, width: int) -> Floats:
    first = np.searchsorted(starts, mask[0], "right") - 1
    last = np.searchsorted(starts, mask[1] - 1, "right") - 1
    before = np.concatenate([[0], np.cumsum(last - first + 1)])
    counts = np.zeros(width)
    for offset in range(0, int(before[-1]), PIECES):
        piece = np.arange(offset, min(offset + PIECES, int(before[-1])))
        run = np.searchsorted(before, piece, "right") - 1
        part = first[run] + piece - before[run]
        length = np.minimum(ends[part], mask[1][run]) - np.maximum(starts[part], mask[0][run])
        counts += np.bincount(columns[part], length, width)
    return counts


def votes_from_shares(weights: Floats) -> Votes:
    """Votes from (N, C) non-negative class weights a mask, in any unit; a row of zeros has no winner."""
    total = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    count, class_count = shares.shape
    if count == 0 or class_count == 0:
        return Votes(np.full(count, -1), np.zeros(count), np.zeros(count), np.zeros(count))
    winners = weights.argmax(axis=1)
    best = shares[np.arange(count), winners]
    second = np.partition(shares, -2, axis=1)[:, -2] if class_count > 1 else np.zeros(count)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return Votes(
        class_ids=np.where(total[:, 0] > 0, winners, -1),
        shares=best,
        margins=best - second,
        entropies=np.abs((shares * logs).sum(axis=1)),
    )


def best_classes(weights: Floats, names: Sequence[str]) -> tuple[Proposals, ...]:
    """Each mask's classes with the largest of its (N, C) weights, the winner first, with their shares.

    At most `PROPOSALS`, and none that got nothing, so that whoever corrects a name is offered what nearly won.
    """
    found = []
    for row, order in zip(weights, np.argsort(-weights, axis=1, kind="stable")[:, :PROPOSALS].tolist(), strict=True):
        some = [index for index in order if row[index] > 0]
        found.append(Proposals(tuple(names[i] for i in some), tuple((row[some] / row.sum()).tolist())))
    return tuple(found)


def paint(masks: MaskSet, values: Ints, canvas: Canvas) -> Canvas:
    """A copy of `canvas` (H, W) with `values` (N,) painted under the masks in descending area; -1 paints nothing."""
    flat = canvas.T.flatten()
    for index in masks.order_by_area():
        value = values[index]
        if value >= 0:
            starts, ends = rle.intervals(rle.runs(masks.rles[index], masks.size_hw))
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                flat[start:end] = value
    return cast(Canvas, np.ascontiguousarray(flat.reshape(canvas.shape[1], canvas.shape[0]).T))


def refine(masks: MaskSet, class_ids: Ints, semantic: SemanticMap) -> SemanticMap:
    """The segmenter's map with every mask painted in its class, largest first, so that small masks win."""
    return SemanticMap(paint(masks, class_ids, semantic.ids), semantic.names)
