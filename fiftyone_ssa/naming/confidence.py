"""How likely the name of a mask is right, by what was said of it: a logistic of a few reasons that truth fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.masks.overlaps import intersections, parents, twins
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
MOST_NAMES = 200
"""The most frequent ones are told apart."""
TWIN_IOU = 0.5
"""Masks that overlap by more show nearly the same."""


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

    @classmethod
    def of(cls, annotation: Annotation) -> Named:
        """What an annotation says."""
        said = annotation.labels, annotation.proposals, annotation.label_sources, annotation.similarities
        return cls(annotation.masks, *said, annotation.votes.colourless if annotation.votes is not None else None)


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

    @property
    def needs_check(self) -> bool:
        """Whether it was fitted on what names keep without colours, so that runs must ask, too."""
        return self.weights[1 + REASONS.index("colourless")] != 0

    def __call__(self, found: Floats, names: Sequence[str | None]) -> Floats:
        """(N,) how likely each name is right, of (N, 12) reasons; one that is not known adds nothing."""
        odds = self.weights[0] + np.nan_to_num(found) @ np.array(self.weights[1:])
        odds += np.array([self.names.get(name, 0.0) if name is not None else 0.0 for name in names], np.float64)
        probabilities: Floats = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        return probabilities


def fit(
    found: Floats, names: Sequence[str | None], right: npt.NDArray[np.bool_], pipeline: str = "engine"
) -> Calibration:
    """The logistic under which truth is likeliest, by Newton's method on reasons brought to one scale.

    Args:
        found: (N, reasons), `complete`
        names: N names
        right: (N,) whether each is right
        pipeline ("engine"): "engine" or "ssa", by which what a name adds is drawn to 0
    """
    found = complete(found)
    mean, spread = found.mean(0), found.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    every = [name for name, _ in Counter(name for name in names if name is not None).most_common(MOST_NAMES)]
    called = np.array([[name == one for one in every] for name in names], np.float64).reshape(len(found), -1)
    table = np.column_stack([np.ones(len(found)), (found - mean) / spread, called])
    shrink = np.repeat([1e-6, SHRINK, SHRINK_NAMES[pipeline]], [1, found.shape[1], len(every)])
    weights = np.zeros(table.shape[1])
    for _ in range(50):
        likely = 1 / (1 + np.exp(-np.clip(table @ weights, -30, 30)))
        slope = table.T @ (right - likely) - shrink * weights
        curve = (table * (likely * (1 - likely))[:, None]).T @ table + np.diag(shrink)
        step = np.linalg.solve(curve, slope)
        weights += step / max(1.0, np.abs(step).max() / 2)
        if np.abs(step).max() < 1e-8:
            break
    each = weights[1 : 1 + found.shape[1]] / spread
    adds = dict(zip(every, weights[1 + found.shape[1] :].tolist(), strict=True))
    return Calibration((float(weights[0] - each @ mean), *each.tolist()), adds)


def complete(found: Floats) -> Floats:
    """(N, reasons): 0 in place of a reason that is not known (NaN) of all masks, so that it gets no weight."""
    return np.where(np.isnan(found).any(0), 0.0, found)


def calibration_error(confidences: Floats, right: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """The expected calibration error: how far confidence and truth are apart in equal bins, weighted by their size."""
    places = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    apart = np.bincount(places, confidences - right, bins)
    return float(np.abs(apart).sum() / max(len(right), 1))


def auroc(confidences: Floats, right: npt.NDArray[np.bool_]) -> float:
    """How often a right name has more confidence than a wrong one; .5 is chance, NaN without one of the two."""
    yes, no = confidences[right], np.sort(confidences[~right])
    if not len(yes) or not len(no):
        return float("nan")
    below, upto = np.searchsorted(no, yes, "left"), np.searchsorted(no, yes, "right")
    return float((below + upto).mean() / 2 / len(no))


class Calibrated:
    """A pipeline whose confidences are a calibration's; names and proposals stay."""

    def __init__(self, pipeline: Pipeline, calibration: Calibration) -> None:
        self._pipeline, self._calibration = pipeline, calibration

    def __call__(self, batch: list[Inputs]) -> list[Annotation]:
        """Annotations of a batch, in order."""
        return [self._judged(annotation) for annotation in self._pipeline(batch)]

    def _judged(self, annotation: Annotation) -> Annotation:
        likely = self._calibration(reasons(Named.of(annotation)), annotation.labels)
        named = np.array([label is not None for label in annotation.labels], np.bool_)
        return replace(annotation, confidences=np.where(named, likely, annotation.confidences))
