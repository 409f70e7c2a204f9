"""The published rule: every mask takes the most frequent class under it, and small masks are painted over large ones.

A vote works on runs: those of a mask are intersected with the map's own runs of equal class, so that it costs
what the outlines cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks import rle
from fiftyone_ssa.masks.runs import runs_of
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
    starts, ends, classes = rle.class_runs(semantic.ids)
    width = len(semantic.names) + 1
    columns = np.where(classes == semantic.ignore_id, width - 1, classes).astype(np.int64)
    runs = runs_of(masks)
    rows = np.repeat(np.arange(len(runs)) * width, np.diff(runs.bounds))
    # where a run of a mask begins it meets a run of the map, often up to its own end
    first = np.searchsorted(starts, runs.starts, "right") - 1
    met = np.minimum(runs.ends, ends[first])
    counts = np.zeros(len(runs) * width)
    counts += np.bincount(rows + columns[first], met - runs.starts, len(counts))
    # ... else whole runs behind that, and a part of the last
    more = np.flatnonzero(runs.ends > met)
    rows, behind = rows[more], first[more] + 1
    last = np.searchsorted(starts, runs.ends[more] - 1, "right") - 1
    counts += np.bincount(rows + columns[last], runs.ends[more] - starts[last], len(counts))
    _add_whole_runs(counts, behind, last, rows, columns, ends - starts)
    return counts.reshape(-1, width)[:, :-1]


def _add_whole_runs(counts: Floats, first: Ints, last: Ints, rows: Ints, columns: Ints, lengths: Ints) -> None:
    """Add the lengths of the map's runs `first` to `last` (exclusive), which each run of a mask meets, at its row."""
    before = np.concatenate([[0], np.cumsum(last - first)])
    shift = first - before[:-1]
    for offset in range(0, int(before[-1]), PIECES):
        stop = min(offset + PIECES, int(before[-1]))
        some = slice(np.searchsorted(before, offset, "right") - 1, np.searchsorted(before, stop, "left"))
        met = np.minimum(before[1:][some], stop) - np.maximum(before[:-1][some], offset)
        part = np.arange(offset, stop) + np.repeat(shift[some], met)
        counts += np.bincount(np.repeat(rows[some], met) + columns[part], lengths[part], len(counts))


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


def best_classes(weights: Floats, names: Sequence[str], most: int = PROPOSALS) -> tuple[Proposals, ...]:
    """Each mask's classes with the largest of its (N, C) weights, the winner first, with their shares.

    At most `most`, and none that got nothing, so that whoever corrects a name is offered what nearly won.
    """
    found = []
    for row, order in zip(weights, np.argsort(-weights, axis=1, kind="stable")[:, :most].tolist(), strict=True):
        some = [index for index in order if row[index] > 0]
        found.append(Proposals(tuple(names[i] for i in some), tuple((row[some] / row.sum()).tolist())))
    return tuple(found)


def paint(masks: MaskSet, values: Ints, canvas: Canvas) -> Canvas:
    """A copy of `canvas` (H, W) with `values` (N,) painted under the masks in descending area; -1 paints nothing."""
    runs, painted = runs_of(masks), canvas.copy()
    for index in masks.order_by_area():
        if values[index] >= 0:
            x, y, w, h = masks.boxes_xywh[index].tolist()
            inside = rle.dense_crop(*runs[index], masks.size_hw[0], (x, y, x + w, y + h))
            np.copyto(painted[y : y + h, x : x + w], values[index].astype(canvas.dtype), where=inside)
    return painted


def refine(masks: MaskSet, class_ids: Ints, semantic: SemanticMap) -> SemanticMap:
    """The segmenter's map with every mask painted in its class, largest first, so that small masks win."""
    return SemanticMap(paint(masks, class_ids, semantic.ids), semantic.names)
