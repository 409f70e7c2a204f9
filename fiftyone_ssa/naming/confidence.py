"""How likely the name of a mask is right, by what was said of it: a logistic of a few reasons that truth fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.naming.fusing import CAPTION
from fiftyone_ssa.naming.run import Pipeline
from fiftyone_ssa.types import Annotation, Floats, Inputs, MaskSet, Proposals

REASONS = ("score", "lead", "area", "quality", "caption")
"""Log-odds of the name's score, its score less the best other's, log10 of its box's share of the image, predicted IoU
times stability (1 where unknown), and whether a caption proposed it."""
SURE = 0.999
"""A score counts as no more than this: it is no probability."""
SHRINK = 1.0
"""How far weights are drawn to 0, in squared nats: few masks say little about a reason."""


def reasons(
    masks: MaskSet, names: Sequence[str | None], proposals: Sequence[Proposals], sources: Sequence[str | None] = ()
) -> Floats:
    """(N, 5) the `REASONS` of each of N masks and the name it got; a name that was not proposed has a score of 0."""
    scores, others = np.zeros(len(masks)), np.zeros(len(masks))
    for index, (name, proposed) in enumerate(zip(names, proposals, strict=True)):
        ranked = dict(zip(proposed.names, proposed.scores, strict=True))
        scores[index] = ranked.pop(name, 0.0) if name is not None else 0.0
        others[index] = max(ranked.values(), default=0.0)
    odds = np.clip(scores, 1 - SURE, SURE)
    box = np.prod(masks.boxes_xywh[:, 2:], axis=1) / max(np.prod(masks.size_hw), 1)
    quality = np.nan_to_num(masks.predicted_iou, nan=1.0) * np.nan_to_num(masks.stability_score, nan=1.0)
    said = np.array([source == CAPTION for source in sources] or [False] * len(masks), np.float64)
    return np.column_stack([np.log(odds / (1 - odds)), scores - others, np.log10(np.maximum(box, 1e-5)), quality, said])


@dataclass(frozen=True)
class Calibration:
    """A logistic of the reasons; `weights` begins with the constant."""

    weights: tuple[float, ...]

    def __call__(self, found: Floats) -> Floats:
        """(N,) how likely each name is right, of (N, 5) reasons."""
        odds = self.weights[0] + found @ np.array(self.weights[1:])
        probabilities: Floats = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        return probabilities


def fit(found: Floats, right: npt.NDArray[np.bool_]) -> Calibration:
    """The logistic under which truth is likeliest, by Newton's method on reasons brought to one scale."""
    mean, spread = found.mean(0), found.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    table = np.column_stack([np.ones(len(found)), (found - mean) / spread])
    shrink = np.full(table.shape[1], SHRINK)
    shrink[0] = 1e-6
    weights = np.zeros(table.shape[1])
    for _ in range(50):
        likely = 1 / (1 + np.exp(-np.clip(table @ weights, -30, 30)))
        slope = table.T @ (right - likely) - shrink * weights
        curve = (table * (likely * (1 - likely))[:, None]).T @ table + np.diag(shrink)
        step = np.linalg.solve(curve, slope)
        weights += step / max(1.0, np.abs(step).max() / 2)
        if np.abs(step).max() < 1e-8:
            break
    each = weights[1:] / spread
    return Calibration((float(weights[0] - each @ mean), *each.tolist()))


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
        found = reasons(annotation.masks, annotation.labels, annotation.proposals, annotation.label_sources)
        named = np.array([label is not None for label in annotation.labels], np.bool_)
        return replace(annotation, confidences=np.where(named, self._calibration(found), annotation.confidences))
