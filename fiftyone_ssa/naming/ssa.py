"""SSA, the closed-set pipeline: SAM's exact masks, a segmenter's classes, one vote per mask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models import MaskGenerator, Segmenter, find_masks
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.models.segmenters import ScoringSegmenter
from fiftyone_ssa.naming.soft_voting import blend, firmness, mean_probabilities
from fiftyone_ssa.naming.voting import best_classes, count_classes, refine, votes_from_shares
from fiftyone_ssa.types import Annotation, Floats, Inputs, MaskSet, SemanticMap, Votes


class SSA:
    """Names every mask of an image by a vote over a closed-set segmenter's answer, and sharpens that answer.

    `segmenter` may be None where every image comes with its class map, `generator` where it comes with its masks.
    Votes are counted on the CPU in a second thread, while the models go on with the next image.
    """

    def __init__(
        self,
        segmenter: Segmenter | None,
        generator: MaskGenerator | None = None,
        *,
        rule: Literal["hard", "soft", "core", "blend"] = "hard",
        keep_branch: bool = False,
    ) -> None:
        if rule != "hard" and not isinstance(segmenter, ScoringSegmenter):
            raise InputError(
                f'vote = "{rule}" needs class probabilities, and this segmenter gives only class ids; '
                'use vote = "hard", or give it probabilities(images) -> list of (C, h, w) arrays'
            )
        self.segmenter, self.generator = segmenter, generator
        self.rule, self.keep_branch = rule, keep_branch
        self._voters = ThreadPoolExecutor(1, thread_name_prefix="vote")

    def __call__(self, batch: list[Inputs]) -> list[Annotation]:
        """Annotations of a batch, in order."""
        maps = self._branch(batch)
        votes = []
        for inputs, (semantic, scores) in zip(batch, maps, strict=True):
            masks = find_masks(inputs, self.generator)
            votes.append(self._voters.submit(self._vote, masks, semantic, scores))
        return [vote.result() for vote in votes]

    def _branch(self, batch: list[Inputs]) -> list[tuple[SemanticMap, ClassScores | None]]:
        if self.segmenter is None:
            missing = [inputs for inputs in batch if inputs.semantic is None]
            if missing:
                raise InputError("this image has no class map, and the preset names no segmenter to make one")
            return [(inputs.semantic, None) for inputs in batch if inputs.semantic is not None]
        images = [inputs.image for inputs in batch]
        if self.rule == "hard":
            return [(semantic, None) for semantic in self.segmenter(images)]
        assert isinstance(self.segmenter, ScoringSegmenter)  # checked when built
        return [(scores.semantic_map(), scores) for scores in self.segmenter.scores(images)]

    def _vote(self, masks: MaskSet, semantic: SemanticMap, scores: ClassScores | None) -> Annotation:
        weights, votes, refined = self._decide(masks, semantic, scores)
        labels = tuple(semantic.names[i] if i >= 0 else None for i in votes.class_ids)
        return Annotation(
            masks=masks,
            labels=labels,
            confidences=votes.shares,
            proposals=best_classes(weights, semantic.names),
            votes=votes,
            semantic=refined,
            branch=semantic if self.keep_branch else None,
        )

    def _decide(
        self, masks: MaskSet, semantic: SemanticMap, scores: ClassScores | None
    ) -> tuple[Floats, Votes, SemanticMap]:
        if scores is None:
            counts = count_classes(masks, semantic)
            votes = votes_from_shares(counts)
            return counts, votes, refine(masks, votes.class_ids, semantic)
        probabilities, align_corners = scores.probabilities(), scores.align_corners
        means = mean_probabilities(masks, probabilities, align_corners=align_corners, core=self.rule == "core")
        votes = votes_from_shares(means)
        if self.rule != "blend":
            return means, votes, refine(masks, votes.class_ids, semantic)
        firm = firmness(masks, votes)
        return means, votes, blend(masks, probabilities, means, firm, semantic, align_corners=align_corners)
