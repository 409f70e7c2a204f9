"""SSA, the closed-set pipeline: SAM's exact masks, a segmenter's classes, one vote per mask."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from typing import Literal

import numpy as np
import PIL.Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.models import MaskGenerator, Segmenter, find_masks
from fiftyone_ssa.models.concept_masks import ConceptMasks
from fiftyone_ssa.models.open_segmenters import BACKGROUND
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.models.segmenters import ScoringSegmenter
from fiftyone_ssa.naming.auto_vote import auto_vote, temper
from fiftyone_ssa.naming.given_names import given_shares, with_given
from fiftyone_ssa.naming.soft_voting import mean_probabilities
from fiftyone_ssa.naming.under_ontology import classes_under
from fiftyone_ssa.naming.voting import best_classes, count_classes, refine, votes_from_shares
from fiftyone_ssa.types import Annotation, Floats, Image, Inputs, MaskSet, Proposals, SemanticMap, Votes

logger = logging.getLogger(__name__)

Answer = SemanticMap | ClassScores
GPU_VOTERS = 4
"""Threads that count votes while a GPU makes maps: on an H200 a map took 20 ms, votes and painting 50 of one core."""
CHECKED = 5
"""Classes, at most, that are kept of the look without colours."""
MOST_DOUBT = 0.75
"""The contradiction that counts at most: of a picture of one mask little is known."""


class SSA:
    """Names every mask of an image by a vote over a closed-set segmenter's answer, and sharpens that answer.

    `segmenter` may be None where every image comes with its class map, `generator` where it comes with its masks.
    A name that a mask came with counts beside the segmenter's vote where it is one of its classes; with `concepts`, a
    SAM 3 that is asked for the classes names masks likewise, and adds those that only it found. With `ontology` its
    classes are what is voted for.
    With `check="colourless"` the segmenter looks at each image once more, without its colours, and votes say what share
    each name has there.
    `rule`: docs/models.md; "auto" is "hard" where there is no segmenter, or one that gives only class ids.
    Votes are counted on the CPU, beside the models: in a second thread, or in several where these are on a GPU.
    """

    def __init__(
        self,
        segmenter: Segmenter | None,
        generator: MaskGenerator | None = None,
        *,
        rule: Literal["hard", "soft", "core", "auto"] = "hard",
        check: Literal["none", "colourless"] = "none",
        keep_branch: bool = False,
        concepts: ConceptMasks | None = None,
        ontology: Ontology | None = None,
    ) -> None:
        scoring = isinstance(segmenter, ScoringSegmenter)
        if rule == "auto" and not scoring:
            logger.warning('vote = "auto" is "hard" here: class maps without probabilities leave nothing to weigh')
            rule = "hard"
        if rule != "hard" and not scoring:
            raise InputError(
                f'vote = "{rule}" needs class probabilities, and this segmenter gives only class ids; '
                'use vote = "hard", or give it probabilities(images) -> list of (C, h, w) arrays'
            )
        self.segmenter, self.generator, self.concepts = segmenter, generator, concepts
        self.rule, self.check, self.keep_branch, self.ontology = rule, check, keep_branch, ontology
        self._on_gpu = getattr(getattr(segmenter, "device", None), "type", "cpu") == "cuda"
        self._voters = ThreadPoolExecutor(GPU_VOTERS if self._on_gpu else 1, thread_name_prefix="vote")

    def for_given_masks(self) -> SSA:
        """The same models and rules for images that come with their masks."""
        return SSA(
            self.segmenter,
            rule=self.rule,
            check=self.check,
            keep_branch=self.keep_branch,
            concepts=self.concepts,
            ontology=self.ontology,
        )

    def __call__(self, batch: list[Inputs]) -> list[Annotation]:
        """Annotations of a batch, in order."""
        votes = []
        for inputs, (found, again) in zip(batch, self._branch(batch), strict=True):
            answer = classes_under(found, self.ontology)
            colourless = None if again is None else classes_under(again, self.ontology)
            masks = find_masks(inputs, self.generator)
            heard: tuple[Proposals, ...] = ()
            if self.concepts is not None:
                names = [name for name in dict.fromkeys(answer.names) if name != BACKGROUND]
                masks, heard = self.concepts(inputs.image, masks, names)
            votes.append(self._voters.submit(self._vote, masks, answer, colourless, heard))
        return [vote.result() for vote in votes]

    def _branch(self, batch: list[Inputs]) -> Iterator[tuple[Answer, Answer | None]]:
        """The segmenter's answers, and those without colours; on a GPU one by one, each as it is wanted."""
        if self.segmenter is None:
            missing = [inputs for inputs in batch if inputs.semantic is None]
            if missing:
                raise InputError("this image has no class map, and the preset names no segmenter to make one")
            yield from [(inputs.semantic, None) for inputs in batch if inputs.semantic is not None]
            return
        images = [inputs.image for inputs in batch]
        for some in [[image] for image in images] if self._on_gpu else [images]:
            checks = self.check == "colourless"
            again = self._answers(list(map(without_colours, some))) if checks else repeat(None, len(some))
            yield from zip(self._answers(some), again, strict=True)

    def _answers(self, images: list[Image]) -> list[SemanticMap] | list[ClassScores]:
        assert self.segmenter is not None
        if self.rule == "hard":
            return self.segmenter(images)
        assert isinstance(self.segmenter, ScoringSegmenter)  # checked when built
        return self.segmenter.scores(images)

    def _vote(
        self, masks: MaskSet, answer: Answer, colourless: Answer | None = None, heard: tuple[Proposals, ...] = ()
    ) -> Annotation:
        given = given_shares(masks, answer.names, heard)
        if self.rule == "auto":
            assert not isinstance(answer, SemanticMap)  # without scores the rule is hard
            weights, refined, contradiction = auto_vote(masks, answer, given)
            votes = votes_from_shares(weights)
            branch = answer.semantic_map() if self.keep_branch else None
        else:
            branch = answer if isinstance(answer, SemanticMap) else answer.semantic_map()
            weights = self._weights(masks, answer)
            weights = weights if given is None else with_given(weights, given)
            votes = votes_from_shares(weights)
            refined = refine(masks, votes.class_ids, branch)
            contradiction = _contradiction(masks, votes.shares, branch)
        if colourless is not None:
            votes = self._checked(votes, masks, colourless)
        return Annotation(
            masks=masks,
            labels=tuple(answer.names[i] if i >= 0 else None for i in votes.class_ids),
            # a segmenter is as sure of pictures that it cannot know, but there masks and classes do not go together
            confidences=votes.shares * (1 - min(contradiction, MOST_DOUBT)),
            proposals=best_classes(weights, answer.names),
            votes=votes,
            semantic=refined,
            branch=branch if self.keep_branch else None,
        )

    def _checked(self, votes: Votes, masks: MaskSet, answer: Answer) -> Votes:
        """Votes with what an answer without colours says of their masks."""
        if self.rule == "auto":
            assert isinstance(answer, ClassScores)
            weights = mean_probabilities(masks, temper(answer)[0], align_corners=answer.align_corners)
        else:
            weights = self._weights(masks, answer)
        total, chosen = weights.sum(1), weights[np.arange(len(masks)), votes.class_ids]
        shares = np.divide(chosen, total, out=np.zeros(len(masks)), where=total > 0)
        shares = np.where(votes.class_ids >= 0, shares, np.nan)
        return replace(votes, colourless=shares, colourless_classes=best_classes(weights, answer.names, CHECKED))

    def _weights(self, masks: MaskSet, answer: Answer) -> Floats:
        """(N, C) pixels of each class under each mask, or their mean probabilities."""
        if isinstance(answer, SemanticMap):
            return count_classes(masks, answer)
        return mean_probabilities(
            masks, answer.probabilities(), align_corners=answer.align_corners, core=self.rule == "core"
        )


def without_colours(image: Image) -> Image:
    """(H, W, 3) uint8 whose channels are the image's luma (ITU-R BT.601)."""
    return np.array(PIL.Image.fromarray(image).convert("L").convert("RGB"))


def _contradiction(masks: MaskSet, shares: Floats, branch: SemanticMap) -> float:
    """What the masks' classes leave of their pixels, over what one class leaves of the image: 0 to about 1."""
    counts = np.bincount(branch.ids[::4, ::4].ravel(), minlength=branch.ignore_id + 1)[: branch.ignore_id]
    worst = 1 - counts.max() / max(counts.sum(), 1)
    named = np.where(shares > 0, masks.areas_px, 0)
    return float(named @ (1 - shares) / max(named.sum(), 1) / worst) if worst > 0 else 0.0
