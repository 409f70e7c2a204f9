"""`vote = "auto"`: mask and segmenter decide each pixel together, masks the more, the better they end where classes do.

A mask owns the pixels over which no smaller one lies. What masks say is measured on the segmenter's own grid, and the
map is made once, tile by tile: the class of a pixel is the one with the highest log p + f (log M - log pi / 4), p being
its class probabilities, M the mean of those of all pixels that its mask owns, and pi of those of the image. Under bad
masks the firmness f falls to nothing and what is left is the segmenter's own map; under good ones a mask decides nearly
alone. docs/models.md says what each term gains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter

from fiftyone_ssa.masks.grids import Grid, middles
from fiftyone_ssa.masks.overlaps import intersections, parents
from fiftyone_ssa.masks.rle import class_runs
from fiftyone_ssa.masks.runs import Runs, runs_of
from fiftyone_ssa.models.scores import ClassScores, Owners
from fiftyone_ssa.naming.disputes import disputed
from fiftyone_ssa.naming.given_names import with_given
from fiftyone_ssa.naming.soft_voting import CORE_MARGIN_PX, CORE_MIN_PX, Probabilities, cells_first
from fiftyone_ssa.naming.voting import paint
from fiftyone_ssa.types import Floats, Ints, MaskSet, SemanticMap

DOUBT = 0.25
"""1 - mean of the highest probability, to which each image's probabilities are brought: so f means the same for all."""
FIRMEST = 8.0
"""The firmness of masks whose borders are undisputed."""
HALF_FIRM_AT = 0.14
"""The dispute at which half of it is left: along borders cells speak for their own side seven times as much."""
STEEPNESS = 4
"""How fast firmness falls beyond."""
NO_SAY = 0.03
"""Masks of less firmness, whose borders are all but as much disputed as not, or unknown, leave the segmenter's map."""
PRIOR = 0.25
"""The power of the image's mean probability by which a mask's is divided: rare classes are not outvoted by borders.

None counts as rarer than if all were as frequent."""
PARENT_CELLS = 4.0
"""A mask of so many cells of the grid takes half of its evidence from the mask that it lies in: fewer tell little.

So do the pixels that a mask owns from the whole mask.
"""
INSIDE = 0.8
"""A mask lies in another that is larger and holds at least this share of it."""
SAMPLED_CELLS = 2048
"""Cells, at most, by which the temperature is found."""
LEAST = 1e-12
"""Probabilities are at least this before their logarithm is taken."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the segmenter's grid says of each of N masks."""

    means: Floats
    """(N, C) mean tempered probability, cells counted by the square of how much of them the mask covers."""
    own: Floats
    """(N, C) the same of the pixels that it owns, away from their border; of all where it owns none."""
    contradiction: float
    """0 where each mask holds one class only, about 1 for one mask that holds all of the image."""
    dispute: float
    """How much cells along borders between masks speak for the other side, by how much for their own; 1 if unknown."""


def auto_vote(masks: MaskSet, scores: ClassScores, given: Floats | None = None) -> tuple[Floats, SemanticMap, float]:
    """(N, C) how much each class is a mask's, zeros where it is empty; the class map that masks and pixels give; and
    how much the masks contradict the segmenter.

    Pixels under no mask keep the segmenter's class. `given` (N, C) are the names that masks came with
    (`given_names.given_shares`).
    """
    tempered, temperature = temper(scores)
    seldom = tempered.mean((1, 2), dtype=np.float64)
    # what lifts rare classes would find one that is the likeliest nowhere in the image along borders
    tempered[~(tempered == tempered.max(0)).any((1, 2))] = 0
    owners = paint(masks, np.arange(len(masks)), np.full(masks.size_hw, -1, np.int32))
    owned_px = np.bincount(owners.ravel() + 1, minlength=len(masks) + 1)[1:]
    evidence = weigh(masks, owners, owned_px, tempered, align_corners=scores.align_corners)
    around = parents(intersections(masks), inside=INSIDE, smaller=1.0)
    px_of_cell = owners.size / tempered[0].size
    named = lean_on_parents(evidence.means, masks.areas_px / px_of_cell, around, masks.order_by_area())
    means = lean(evidence.own, named, owned_px[:, None] / px_of_cell)
    prior = np.maximum(seldom, 1 / len(seldom)) ** PRIOR
    weights = (named if given is None else with_given(named, given)) / prior
    firm = firmness(evidence.dispute)
    if firm < NO_SAY:
        return weights, scores.semantic_map(), evidence.contradiction
    if given is not None:
        means = with_given(means, given)
    priors = np.log(np.maximum(means, LEAST) / prior)
    return weights, scores.semantic_map(owners, temperature * firm * priors), evidence.contradiction


def temper(scores: ClassScores) -> tuple[Probabilities, float]:
    """(C, h, w) float32 probabilities whose doubt is a quarter, and the temperature T that p^(1/T) needed for it.

    The best class of no cell changes, and a segmenter that is surer or less sure of all it says gives the same.
    """
    logs = scores.values.float() if scores.logits else torch.log(torch.from_numpy(scores.probabilities()) + LEAST)
    logs = logs.cpu()
    flat = logs.flatten(1)
    sample = flat[:, :: -(-flat.shape[1] // SAMPLED_CELLS)].double()
    low, high = -8.0, 8.0
    for _ in range(24):
        middle = (low + high) / 2
        doubt = 1 - float((sample * np.exp(-middle)).softmax(0).amax(0).mean())
        low, high = (middle, high) if doubt < DOUBT else (low, middle)
    temperature = float(np.exp(low))
    return (logs / temperature).softmax(0).numpy(), temperature


def weigh(
    masks: MaskSet, owners: Owners, owned_px: Ints, probabilities: Probabilities, *, align_corners: bool
) -> Evidence:
    """Each mask's mean class probabilities, away from its border, and how much all masks contradict the segmenter.

    A cell that lies half in a mask is half as much its own: it counts by the square. A mask contradicts a cell by how
    much more likely the cell's own best class is there than the mask's. That is averaged over the cells of each class,
    a mask counting by the pixels it owns, then over classes by the root of their size, and divided by what one mask
    over the whole image would have.
    """
    grid = Grid.over(masks.size_hw, probabilities.shape[1:], align_corners)
    full, by_cell = grid.full.ravel(), cells_first(probabilities)
    best, highest = by_cell.argmax(1), by_cell.max(1)
    count, classes = len(masks), by_cell.shape[1]
    means, own = np.zeros((count, classes)), np.zeros((count, classes))
    lost, seen = np.zeros(classes), np.zeros(classes)
    runs, owned = runs_of(masks), inner_runs(owners, count)
    for index in np.flatnonzero(masks.areas_px).tolist():
        cells, inside = grid.served(*runs[index])
        there = by_cell[cells]
        means[index] = class_means(there, inside, full[cells])
        against = inside * (highest[cells] - there[:, means[index].argmax()])
        share = owned_px[index] / masks.areas_px[index]
        lost += share * np.bincount(best[cells], against, classes)
        seen += share * np.bincount(best[cells], inside, classes)
        own[index] = means[index]
        if share:
            cells, inside = grid.served(*owned[index])
            own[index] = class_means(by_cell[cells], inside, full[cells])
    surplus = highest - by_cell[:, by_cell.mean(0).argmax()]
    at_worst, whole = np.bincount(best, full * surplus, classes), np.bincount(best, full, classes)
    met = seen > 0
    part = np.sqrt(seen[met]) @ (lost[met] / seen[met])
    worst = np.sqrt(seen[met]) @ (at_worst[met] / whole[met])
    if worst <= 0:
        return Evidence(means, own, 0.0, 0.0)
    shape = probabilities.shape[1:]
    at = np.ix_(*(middles(*sides, align_corners) for sides in zip(shape, masks.size_hw, strict=True)))
    dispute = disputed(owners[at], own.argmax(1), best.reshape(shape), by_cell)
    return Evidence(means, own, float(part / worst), dispute)


def inner_runs(owners: Owners, count: int) -> Runs:
    """The runs of the pixels that each of so many masks owns, without a margin of 2 px where 30 px or more remain."""
    side = 2 * CORE_MARGIN_PX + 1
    inside = minimum_filter(owners, side) == maximum_filter(owners, side)
    large = np.bincount(owners[inside] + 1, minlength=count + 1) >= CORE_MIN_PX
    starts, ends, ids = class_runs(np.where(inside | ~large[owners + 1], owners, -1))
    order = np.argsort(ids, kind="stable")
    return Runs(starts[order], ends[order], np.searchsorted(ids[order], np.arange(count + 1)))


def class_means(probabilities: Probabilities, inside: Floats, full: Floats) -> Floats:
    """(C,) mean of (K, C) over cells that serve so many pixels of a mask (K,) out of so many (K,)."""
    inner = inside**2 / full
    return np.asarray(inner.astype(np.float32) @ probabilities / inner.sum(), np.float64)


def firmness(dispute: float) -> float:
    """How much masks outweigh pixels, from 8 where their borders are undisputed to nearly 0."""
    return FIRMEST / (1 + (dispute / HALF_FIRM_AT) ** STEEPNESS)


def lean_on_parents(means: Floats, cells: Floats, parent: Ints, order: Ints) -> Floats:
    """(N, C) means, each leaning on its parent's; `order` has parents first."""
    leant = means.copy()
    for index in order:
        if parent[index] >= 0:
            leant[index] = lean(means[index], leant[parent[index]], cells[index])
    return leant


def lean(means: Floats, around: Floats, cells: Floats) -> Floats:
    """Means of so many cells mixed with those of what lies around, as if that were four cells more."""
    share = cells / (cells + PARENT_CELLS)
    return share * means + (1 - share) * around
