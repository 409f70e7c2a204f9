"""How likely the name of a mask is right, by what was said of it: a logistic of a few reasons that truth fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.overlaps import intersections, parents, twins
from fiftyone_ssa.naming.class_confidence import Classes, Look, fit_classes
from fiftyone_ssa.naming.fusing import CAPTION
from fiftyone_ssa.naming.run import Pipeline
from fiftyone_ssa.types import Annotation, Floats, Inputs, MaskSet, Proposals

REASONS = (
    *("score", "lead", "area", "quality", "caption", "similarity", "image"),
    *("inside", "as_parent", "as_twin", "unlike_twin", "colourless"),
)
"""Log-odds of the name's score, its score less the best other's, log10 of its box's share of the image, predicted IoU
times stability (1 where unknown), whether a caption proposed it, the class filter's cosine of crop and name (0 where
unknown), the mean score of the image's names; whether the mask lies in another, is called as that one is, and which
share of the masks of nearly the same pixels is called alike, and which is not; log-odds of the name's share without
colours (NaN where unknown: SSA's `check` alone asks)."""
SURE = 0.999
"""A score counts as no more than this: it is no probability."""
SHRINK = 1.0
"""How far weights are drawn to 0, in squared nats: few masks say little about a reason."""
SHRINK_NAMES = {"engine": 2.0, "ssa": 3.0}
"""The same of what a name adds, by pipeline: one that was right five times of five is not always right. SSA has few
names, each of many masks an image, which are right or wrong together."""
SHRINK_MIX = 10.0
"""The same of what reasons and classes count beside each other, drawn to the reasons alone."""
PARTS = 4
"""Of the masks, each told of by what the others fit, to find that."""
JACKKNIFE = 10
"""Parts of the images, each left out in turn, to find how much an AUROC may differ by chance."""
MOST_NAMES = 200
"""The most frequent ones are told apart."""
TWIN_IOU = 0.5
"""Masks that overlap by more show nearly the same."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Named:
    """N masks of one image and what was said of them."""

    masks: MaskSet
    names: Sequence[str | None]
    proposals: Sequence[Proposals]
    sources: Sequence[str | None] = ()
    """What proposed each name, or nothing."""
    similarities: Floats | None = None
    """(N,) the class filter's cosine of crop and name; NaN or None where unknown."""
    colourless: Floats | None = None
    """(N,) the name's share where the segmenter sees no colours; NaN or None where unknown."""
    colourless_classes: Sequence[Proposals] = ()
    """The classes of the largest shares there, or nothing."""

    @classmethod
    def of(cls, annotation: Annotation) -> Named:
        """What an annotation says."""
        said = annotation.labels, annotation.proposals, annotation.label_sources, annotation.similarities
        votes = annotation.votes
        checked = (votes.colourless, votes.colourless_classes) if votes is not None else (None, ())
        return cls(annotation.masks, *said, *checked)


@dataclass(frozen=True, eq=False)
class NamedMask:
    """What was said of one mask."""

    reasons: Floats
    """(12,) its `REASONS`."""
    name: str | None
    look: Look
    """Its classes as it is, and without colours."""


@dataclass(frozen=True, eq=False)
class JudgedMask:
    """A mask whose name is known to be right or wrong."""

    said: NamedMask
    confidence: float
    """What it has so far, in [0, 1]."""
    right: bool
    true: str
    """Of several right names one, its own if that is right."""
    image: int
    """Which image it is of: any number that others do not have."""


def named_masks(named: Named) -> list[NamedMask]:
    """The masks of an image one by one."""
    grey = named.colourless_classes or [Proposals()] * len(named.masks)
    looks = zip(named.proposals, grey, strict=True)
    return [NamedMask(*said) for said in zip(reasons(named), named.names, looks, strict=True)]


def right_of(masks: Sequence[JudgedMask]) -> Flags:
    """(N,) whether each name is right."""
    return np.array([mask.right for mask in masks], np.bool_)


def reasons(named: Named) -> Floats:
    """(N, 12) the `REASONS` of each of N masks and the name it got; a name that was not proposed has a score of 0."""
    masks, names, count = named.masks, named.names, len(named.masks)
    scores, others = np.zeros(count), np.zeros(count)
    for index, (name, proposed) in enumerate(zip(names, named.proposals, strict=True)):
        ranked = dict(zip(proposed.names, proposed.scores, strict=True))
        scores[index] = ranked.pop(name, 0.0) if name is not None else 0.0
        others[index] = max(ranked.values(), default=0.0)
    box = np.prod(masks.boxes_xywh[:, 2:], axis=1) / max(np.prod(masks.size_hw), 1)
    said = np.array([name is not None for name in names], np.bool_)
    columns = {
        "score": _log_odds(scores),
        "lead": scores - others,
        "area": np.log10(np.maximum(box, 1e-5)),
        "quality": np.nan_to_num(masks.predicted_iou, nan=1.0) * np.nan_to_num(masks.stability_score, nan=1.0),
        "caption": np.array([source == CAPTION for source in named.sources] or [False] * count, np.float64),
        "similarity": np.zeros(count) if named.similarities is None else np.nan_to_num(named.similarities),
        "image": np.full(count, scores[said].mean() if said.any() else 0.0),
        **_among_masks(masks, names),
        "colourless": np.full(count, np.nan) if named.colourless is None else _log_odds(named.colourless),
    }
    return np.column_stack([columns[reason] for reason in REASONS])


def _log_odds(shares: Floats) -> Floats:
    odds = np.clip(shares, 1 - SURE, SURE)
    found: Floats = np.log(odds / (1 - odds))
    return found


def _probabilities(odds: Floats) -> Floats:
    """Of log-odds."""
    found: Floats = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return found


def _among_masks(masks: MaskSet, names: Sequence[str | None]) -> dict[str, Floats]:
    """What the masks around say: whether they are called alike."""
    shared = intersections(masks)
    alike = np.array([[one == other for other in names] for one in names], np.bool_).reshape(shared.shape)
    parent, pairs = parents(shared), twins(shared, TWIN_IOU)
    inside, among = parent >= 0, np.maximum(pairs.sum(1), 1)
    return {
        "inside": inside.astype(np.float64),
        "as_parent": (inside & alike[np.arange(len(names)), parent]).astype(np.float64),
        "as_twin": (pairs & alike).sum(1) / among,
        "unlike_twin": (pairs & ~alike).sum(1) / among,
    }


@dataclass(frozen=True)
class Calibration:
    """A logistic of the reasons; `weights` begins with the constant."""

    weights: tuple[float, ...]
    names: Mapping[str, float] = field(default_factory=dict)
    """What a name adds to the log-odds; one that is not here adds nothing."""
    classes: Classes | None = None
    """What the segmenter takes for what (SSA only)."""
    mix: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """With `classes` what log-odds are made of: a constant, those of the reasons, and those of the classes."""

    @property
    def needs_check(self) -> bool:
        """Whether it was fitted on what names keep without colours, so that runs must ask, too."""
        by_classes = self.classes is not None and self.classes.needs_check
        return by_classes or self.weights[1 + REASONS.index("colourless")] != 0

    def __call__(self, masks: Sequence[NamedMask]) -> Floats:
        """(N,) how likely each name is right; a reason or name that is not known adds nothing."""
        found = np.array([mask.reasons for mask in masks], np.float64).reshape(len(masks), len(self.weights) - 1)
        names = [mask.name for mask in masks]
        odds = self.weights[0] + np.nan_to_num(found) @ np.array(self.weights[1:])
        odds += np.array([self.names.get(name, 0.0) if name is not None else 0.0 for name in names], np.float64)
        if self.classes is None:
            return _probabilities(odds)
        by_classes = self.classes(names, [mask.look for mask in masks])
        return _mixed(_probabilities(odds), by_classes, self.mix)


def fit(masks: Sequence[JudgedMask], pipeline: str = "engine") -> Calibration:
    """The logistic under which truth is likeliest, by Newton's method on reasons brought to one scale.

    Of SSA the one of classes, too, and how much each counts, by what either says of masks that it was not fitted on:
    each of four parts in turn is told of by the others.

    Args:
        masks: N masks, image by image
        pipeline ("engine"): "engine" or "ssa"
    """
    masks = complete(masks)
    of_reasons = _fit_reasons(masks, pipeline)
    return of_reasons if pipeline != "ssa" else replace(of_reasons, classes=_fit_classes(masks), mix=_mix(masks))


def _fit_reasons(masks: Sequence[JudgedMask], pipeline: str) -> Calibration:
    found = np.stack([mask.said.reasons for mask in masks])
    mean, spread = found.mean(0), found.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    names = [mask.said.name for mask in masks]
    every = [name for name, _ in Counter(name for name in names if name is not None).most_common(MOST_NAMES)]
    called = np.array([[name == one for one in every] for name in names], np.float64).reshape(len(found), -1)
    table = np.column_stack([np.ones(len(found)), (found - mean) / spread, called])
    shrink = np.repeat([1e-6, SHRINK, SHRINK_NAMES[pipeline]], [1, found.shape[1], len(every)])
    weights = _likeliest(table, right_of(masks), shrink)
    each = weights[1 : 1 + found.shape[1]] / spread
    adds = dict(zip(every, weights[1 + found.shape[1] :].tolist(), strict=True))
    return Calibration((float(weights[0] - each @ mean), *each.tolist()), adds)


def _fit_classes(masks: Sequence[JudgedMask]) -> Classes:
    return fit_classes([mask.said.look for mask in masks], [mask.true for mask in masks])


def _mix(masks: Sequence[JudgedMask]) -> tuple[float, float, float]:
    """What log-odds of reasons and of classes count in the likeliest mix, drawn to the reasons alone."""
    part = np.arange(len(masks)) * PARTS // len(masks)
    told = np.ones((len(masks), 3))
    for which in range(PARTS):
        others = list(compress(masks, part != which))
        mine = [mask.said for mask in compress(masks, part == which)]
        of_classes = _fit_classes(others)([mask.name for mask in mine], [mask.look for mask in mine])
        told[part == which, 1] = _log_odds(_fit_reasons(others, "ssa")(mine))
        told[part == which, 2] = _log_odds(of_classes)
    weights = _likeliest(told, right_of(masks), np.full(3, SHRINK_MIX), np.array([0.0, 1.0, 0.0]))
    return float(weights[0]), float(weights[1]), float(weights[2])


def _mixed(by_reasons: Floats, by_classes: Floats, mix: tuple[float, float, float]) -> Floats:
    return _probabilities(mix[0] + mix[1] * _log_odds(by_reasons) + mix[2] * _log_odds(by_classes))


def _likeliest(table: Floats, right: Flags, shrink: Floats, to: Floats | None = None) -> Floats:
    """The weights of (N, K) columns under which (N,) truth is likeliest, each drawn to what `to` says, or 0."""
    drawn_to = np.zeros(table.shape[1]) if to is None else to
    weights = drawn_to.copy()
    for _ in range(50):
        likely = _probabilities(table @ weights)
        slope = table.T @ (right - likely) - shrink * (weights - drawn_to)
        curve = (table * (likely * (1 - likely))[:, None]).T @ table + np.diag(shrink)
        step = np.linalg.solve(curve, slope)
        weights += step / max(1.0, np.abs(step).max() / 2)
        if np.abs(step).max() < 1e-8:
            break
    return weights


def complete(masks: Sequence[JudgedMask]) -> list[JudgedMask]:
    """The same without what is not known of all: such a reason is 0, and the look without colours empty, so that it
    gets no weight."""
    unknown = np.isnan([mask.said.reasons for mask in masks]).any(0)
    grey = all(mask.said.look[1].names for mask in masks)

    def known(said: NamedMask) -> NamedMask:
        look = said.look if grey else (said.look[0], Proposals())
        return replace(said, reasons=np.where(unknown, 0.0, said.reasons), look=look)

    return [replace(mask, said=known(mask.said)) for mask in masks]


def calibration_error(confidences: Floats, right: Flags, bins: int = 10) -> float:
    """The expected calibration error: how far confidence and truth are apart in equal bins, weighted by their size."""
    places = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    apart = np.bincount(places, confidences - right, bins)
    return float(np.abs(apart).sum() / max(len(right), 1))


def auroc(confidences: Floats, right: Flags) -> float:
    """How often a right name has more confidence than a wrong one; .5 is chance, NaN without one of the two."""
    yes, no = confidences[right], np.sort(confidences[~right])
    if not len(yes) or not len(no):
        return float("nan")
    below, upto = np.searchsorted(no, yes, "left"), np.searchsorted(no, yes, "right")
    return float((below + upto).mean() / 2 / len(no))


def auroc_noise(before: Floats, after: Floats, right: Flags, images: npt.NDArray[np.int64]) -> float:
    """Two standard errors of what AUROC gains from (N,) confidences `before` to those `after`.

    By a jackknife without a tenth of the images at a time, or of the masks of one; `images` says whose each is.
    """
    place = np.unique(images, return_inverse=True)[1]
    part = (place if place.any() else np.arange(len(place))) % JACKKNIFE
    stays = [part != which for which in np.unique(part)]
    gains = np.array([auroc(after[some], right[some]) - auroc(before[some], right[some]) for some in stays])
    gains = gains[~np.isnan(gains)]
    return 2 * float(np.sqrt((len(gains) - 1) * gains.var())) if len(gains) > 1 else 0.0


class Calibrated:
    """A pipeline whose confidences are a calibration's; names and proposals stay."""

    def __init__(self, pipeline: Pipeline, calibration: Calibration) -> None:
        self._pipeline, self._calibration = pipeline, calibration

    def __call__(self, batch: list[Inputs]) -> list[Annotation]:
        """Annotations of a batch, in order."""
        return [self._judged(annotation) for annotation in self._pipeline(batch)]

    def _judged(self, annotation: Annotation) -> Annotation:
        likely = self._calibration(named_masks(Named.of(annotation)))
        named = np.array([label is not None for label in annotation.labels], np.bool_)
        return replace(annotation, confidences=np.where(named, likely, annotation.confidences))
