"""SSA-engine, the open-vocabulary pipeline: closed-set votes and captions propose names, CLIP filters, CLIPSeg decides.

Every stage works on all masks of a batch of images at once, in batches of one fixed size, so that a mask's name does
not depend on what else is in the batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.models import (
    CaptionerSlot,
    ClassFilterSlot,
    DeciderSlot,
    MaskGenerator,
    Question,
    Segmenter,
    find_masks,
)
from fiftyone_ssa.models.captioner import load_captioner
from fiftyone_ssa.models.class_filter import load_class_filter
from fiftyone_ssa.models.concept_masks import ConceptMasks
from fiftyone_ssa.models.deciders import load_decider
from fiftyone_ssa.models.images import images_on
from fiftyone_ssa.models.open_segmenters import needs_vocabulary
from fiftyone_ssa.models.segmenters import load_segmenter
from fiftyone_ssa.models.two_towers import TwoTowers
from fiftyone_ssa.naming.candidates import Candidate, embeddings_of
from fiftyone_ssa.naming.evidence import Fusion
from fiftyone_ssa.naming.fusing import CAPTION, VOCABULARY, weights_of
from fiftyone_ssa.naming.given_names import given_names
from fiftyone_ssa.naming.known_names import recall_names
from fiftyone_ssa.naming.phrase_worker import PhraseWorker
from fiftyone_ssa.naming.phrases import NounPhrases
from fiftyone_ssa.naming.ranking import Ranking
from fiftyone_ssa.naming.second_look import SecondLook
from fiftyone_ssa.naming.support import Support, known_names
from fiftyone_ssa.naming.under_ontology import load_ontology, names_under, with_prompts
from fiftyone_ssa.naming.vocabulary import read_vocabulary
from fiftyone_ssa.naming.voting import count_classes, votes_from_shares
from fiftyone_ssa.presets import OpenVocabulary, Preset
from fiftyone_ssa.presets.settings import FILTER
from fiftyone_ssa.types import Annotation, Inputs, MaskSet, Proposals, SemanticMap, one_class_a_name


class Engine:
    """Names the masks of a batch of images from an open vocabulary.

    `segmenters` are (source name, segmenter) pairs. Without `captioner` no caption is made and `phrases` is not used;
    without `decider` the class filter's first proposal is the name. `known`: what confidence compares names with.
    `part_phrases` reads captions for a second look.
    With `keep_embeddings` an annotation holds what the class filter saw in each crop; it looks but once all the same.
    With `ontology` names are its classes.
    `timings` sums the seconds spent in each stage, by its name, over all batches; clear it as you like.
    """

    def __init__(
        self,
        settings: OpenVocabulary,
        device: torch.device,
        *,
        segmenters: Sequence[tuple[str, Segmenter]],
        class_filter: ClassFilterSlot,
        decider: DeciderSlot | None = None,
        captioner: CaptionerSlot | None = None,
        phrases: NounPhrases | PhraseWorker | None = None,
        part_phrases: NounPhrases | PhraseWorker | None = None,
        vocabulary: Sequence[str] = (),
        known: Sequence[str] = (),
        generator: MaskGenerator | None = None,
        concepts: ConceptMasks | None = None,
        keep_embeddings: bool = False,
        ontology: Ontology | None = None,
    ) -> None:
        self.ontology = ontology
        self.concepts, self.vocabulary = concepts, tuple(vocabulary)
        self.settings, self.device, self.keep_embeddings = settings, device, keep_embeddings
        self.segmenters, self.captioner = segmenters, captioner
        self.phrases, self.part_phrases = phrases, part_phrases
        self.class_filter, self.decider, self.generator = class_filter, decider, generator
        self.ranking = Ranking(class_filter, vocabulary, settings.top_k)
        weights = weights_of(settings.weights)
        fused = settings.decision == "fused"
        self.fusion = Fusion(class_filter, vocabulary, settings.top_k, weights) if fused else None
        self.support = Support(class_filter, known)
        self.second_look = None
        if settings.parts == "context":
            read = partial(_names_said, phrases=part_phrases)
            self.second_look = SecondLook(class_filter, captioner, read, settings.filter_scale, settings.top_k)
        self.timings: dict[str, float] = {}
        self._background = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def asked_for(self, names: Sequence[str] = (), *, only: bool = False, given_masks: bool = False) -> Engine:
        """The same models and rules, asked otherwise.

        Args:
            names (()): offered for every mask, too; under an ontology those that mean no class are classes of their own
            only (False): whether nothing else proposes names
            given_masks (False): whether images come with their masks
        """
        vocabulary = tuple(names) if only else tuple(dict.fromkeys((*self.vocabulary, *names)))
        common = isinstance(self.class_filter, TwoTowers)
        return Engine(
            self.settings,
            self.device,
            segmenters=() if only else self.segmenters,
            class_filter=self.class_filter,
            decider=self.decider,
            captioner=None if only else self.captioner,
            phrases=self.phrases,
            part_phrases=self.part_phrases,
            vocabulary=vocabulary,
            known=known_names((segmenter.classes for _, segmenter in self.segmenters), vocabulary, common=common),
            generator=None if given_masks else self.generator,
            concepts=self.concepts,
            keep_embeddings=self.keep_embeddings,
            ontology=None if self.ontology is None else self.ontology.with_names(names),
        )

    def __call__(self, batch: list[Inputs]) -> list[Annotation]:
        """Annotations of a batch, in order."""
        with self._stage("masks"):
            images_on([inputs.image for inputs in batch], self.device)  # all in one piece
            mask_sets, per_image = [], []
            for inputs in batch:
                masks = find_masks(inputs, self.generator)
                heard: tuple[Proposals, ...] = ()
                if self.concepts is not None:
                    masks, heard = self.concepts(inputs.image, masks, self.vocabulary)
                mask_sets.append(masks)
                per_image.append(self._candidates(inputs, masks, heard))
        self._propose_classes(batch, per_image)
        # on the CPU an image's masks have batches of their own: there a row's last bits depend on its place in a batch
        groups = [list(chain.from_iterable(per_image))] if self.device.type == "cuda" else per_image
        self._propose_phrases_and_filter(groups, per_image)
        with self._stage("decide"):
            self._decide(groups)
            if self.second_look is not None:
                self.second_look(per_image)
            for group in per_image:
                self._limit([candidate for candidate in group if candidate.label is not None], group)
        return [
            names_under(_annotation(masks, group, self.keep_embeddings), self.ontology)
            for masks, group in zip(mask_sets, per_image, strict=True)
        ]

    def _candidates(self, inputs: Inputs, masks: MaskSet, heard: Sequence[Proposals]) -> list[Candidate]:
        (image,) = images_on([inputs.image], self.device)
        candidates = [Candidate(image, masks, int(index)) for index in np.flatnonzero(masks.areas_px)]
        for candidate in candidates:
            candidate.sources |= given_names(masks, heard, candidate.index)
        return candidates

    def _propose_classes(self, batch: list[Inputs], per_image: list[list[Candidate]]) -> None:
        """Each segmenter's most frequent class under each mask; votes are counted beside the next segmenter's work."""
        images = [inputs.image for inputs in batch]
        votes = []
        with self._stage("segment"):
            for source, segmenter in self.segmenters:
                maps = segmenter(images)
                votes.append((source, self._background.submit(_winners, maps, per_image, self.fusion is not None)))
        with self._stage("vote"):
            for source, future in votes:
                for candidate, name, shares in future.result():
                    candidate.propose([name], source)
                    for each, share in shares:
                        candidate.votes[each] = candidate.votes.get(each, 0.0) + share

    def _propose_phrases_and_filter(self, groups: list[list[Candidate]], per_image: list[list[Candidate]]) -> None:
        """Captions, their noun phrases, and CLIP's choice; spaCy reads captions while CLIP looks at crops."""
        candidates = list(chain.from_iterable(groups))
        reading = None
        if self.captioner is not None:
            scale = self.settings.caption_scale
            with self._stage("caption"):
                captions = self.captioner([[c.crop(scale) for c in group] for group in groups])
            answers = list(chain.from_iterable(captions))
            for candidate, answer in zip(candidates, answers, strict=True):
                candidate.caption = answer if isinstance(answer, str) else ", ".join(answer)
            reading = self._background.submit(_names_said, answers, self.phrases)
        scale = self.settings.filter_scale
        with self._stage("filter"):
            found = self.class_filter.images([[c.crop(scale) for c in group] for group in groups])
            looks = list(chain.from_iterable(found))
            for candidate, look in zip(candidates, looks, strict=True):
                candidate.look = look
        if reading is not None:
            with self._stage("phrases"):
                phrases = reading.result()
            for candidate, names in zip(candidates, phrases, strict=True):
                candidate.propose(names, CAPTION)
                candidate.subject = next(iter(names), None)
        with self._stage("rank"):
            if self.fusion is not None:
                rows = iter(looks)
                for group in per_image:
                    self.fusion.propose(group, [next(rows) for _ in group])
                return
            ranked = self.ranking(looks, [list(candidate.sources) for candidate in candidates])
            for candidate, proposals in zip(candidates, ranked, strict=True):
                candidate.proposals = proposals

    def _decide(self, groups: list[list[Candidate]]) -> None:
        scale = self.settings.filter_scale if self.decider is None else self.settings.decide_scale
        asked = [[c for c in group if c.proposals.names and c.is_in_crop(scale)] for group in groups]
        if self.decider is None:
            for candidate in chain.from_iterable(asked):
                candidate.label, candidate.confidence = candidate.proposals.names[0], candidate.proposals.scores[0]
            return
        answers = self.decider([[self._question(candidate) for candidate in group] for group in asked])
        for candidate, answer in zip(chain.from_iterable(asked), chain.from_iterable(answers), strict=True):
            counts = answer if answer.ndim == 1 else answer[:, 0]
            if counts.sum() > 0 and self.fusion is not None:
                self.fusion.decide(candidate, answer)
            elif counts.sum() > 0:
                winner = int(counts.argmax())
                candidate.label = candidate.proposals.names[winner]
                candidate.confidence = float(counts[winner] / counts.sum())

    def _limit(self, named: list[Candidate], group: list[Candidate]) -> None:
        """Confidences are no higher than how well the names fit the crops at all."""
        if named:
            others = chain.from_iterable(candidate.sources for candidate in group)
            looks = [candidate.look for candidate in named if candidate.look is not None]
            found = self.support(looks, [str(candidate.label) for candidate in named], others)
            for candidate, similarity, share in zip(named, *found, strict=True):
                candidate.similarity = float(similarity)
                candidate.confidence *= float(share)

    def _question(self, candidate: Candidate) -> Question:
        masks, scale = candidate.masks, self.settings.decide_scale
        return Question(
            crop=candidate.crop(scale),
            crop_xyxy=candidate.crop_xyxy(scale),
            box_xyxy=candidate.box_xyxy(scale),
            rle=masks.rles[candidate.index],
            size_hw=masks.size_hw,
            names=candidate.proposals.names,
            image=candidate.image,
            runs=runs_of(masks)[candidate.index],
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - started


def build_engine(
    preset: Preset,
    device: torch.device,
    dtype: torch.dtype,
    *,
    generator: MaskGenerator | None = None,
    concepts: ConceptMasks | None = None,
    trust_remote_code: bool = False,
    keep_embeddings: bool = False,
) -> Engine:
    """The engine that a preset's `open_vocabulary` describes, its models on `device`.

    Raises InputError if a model or the vocabulary cannot be loaded, MissingDependencyError if a package is missing;
    either says how to get it.
    """
    settings = preset.open_vocabulary
    weights_of(settings.weights)  # what is wrong is told before models are loaded
    captioner = phrases = part_phrases = None
    if settings.captioner:
        captioner = load_captioner(
            settings.captioner,
            device,
            dtype,
            max_new_tokens=settings.max_new_tokens,
            prompt=settings.prompt,
            trust_remote_code=trust_remote_code,
        )
        mode = "parts" if settings.decision == "fused" and settings.phrases == "head" else settings.phrases
        # on the CPU the models hold the cores, and the interpreter is not waited for
        reader = PhraseWorker if device.type == "cuda" else NounPhrases
        phrases = None if captioner.only_names else reader(mode)
        if settings.parts == "context" and phrases is not None:
            part_phrases = phrases if mode == "parts" else reader("parts")
    class_filter = load_class_filter(settings.class_filter, device, dtype, template=settings.template)
    ontology = load_ontology(settings.ontology)
    vocabulary = with_prompts(read_vocabulary(settings.vocabulary) if settings.vocabulary else (), ontology)
    segmenters = [
        (source_name(model), _load_segmenter(model, device, dtype, vocabulary, trust_remote_code))
        for model in settings.segmenters
    ]
    # a user's own filter may know no others than what is proposed
    common = isinstance(class_filter, TwoTowers)
    known = known_names((segmenter.classes for _, segmenter in segmenters), vocabulary, common=common)
    recall_names(class_filter, settings.class_filter, known, settings.template, str(dtype), device.type)
    return Engine(
        settings,
        device,
        segmenters=segmenters,
        class_filter=class_filter,
        decider=None
        if settings.decider == FILTER
        else load_decider(settings.decider, device, dtype, top_k=settings.top_k),
        captioner=captioner,
        phrases=phrases,
        part_phrases=part_phrases,
        vocabulary=vocabulary,
        known=known,
        generator=generator,
        concepts=concepts,
        keep_embeddings=keep_embeddings,
        ontology=ontology,
    )


def _load_segmenter(
    model: str, device: torch.device, dtype: torch.dtype, vocabulary: Sequence[str], trust_remote_code: bool
) -> Segmenter:
    names = vocabulary if needs_vocabulary(model, trust_remote_code=trust_remote_code) else ()
    return load_segmenter(model, device, dtype, trust_remote_code=trust_remote_code, vocabulary=names)


def source_name(model: str) -> str:
    """What a segmenter's names are said to come from: coco, ade20k or cityscapes where its id tells, else its name."""
    name = Path(model).name
    for word, source in (("coco", "coco"), ("ade", "ade20k"), ("cityscapes", "cityscapes")):
        if word in name.lower():
            return source
    return name


def _names_said(
    answers: Sequence[str | tuple[str, ...]], phrases: NounPhrases | PhraseWorker | None
) -> list[tuple[str, ...]]:
    """The noun phrases of sentences; names, which come as a tuple, as they are."""
    sentences = [answer for answer in answers if isinstance(answer, str)]
    read = iter(phrases(sentences) if phrases and sentences else [()] * len(sentences))
    return [next(read) if isinstance(answer, str) else answer for answer in answers]


def _winners(
    maps: list[SemanticMap], per_image: list[list[Candidate]], with_shares: bool
) -> list[tuple[Candidate, str, list[tuple[str, float]]]]:
    """Of each mask the most frequent class under it, and, `with_shares`, the share of every class that is there."""
    found = []
    for semantic, group in zip(maps, per_image, strict=True):
        if group:
            names, places = one_class_a_name(semantic.names)
            counts = count_classes(group[0].masks, semantic) @ np.eye(len(names))[places]
            class_ids = votes_from_shares(counts).class_ids
            for candidate in group:
                row = counts[candidate.index]
                if class_ids[candidate.index] >= 0:
                    there = np.flatnonzero(row) if with_shares else ()
                    shares = [(names[i], float(row[i] / row.sum())) for i in there]
                    found.append((candidate, names[class_ids[candidate.index]], shares))
    return found


def _annotation(masks: MaskSet, candidates: list[Candidate], keep_embeddings: bool) -> Annotation:
    count = len(masks)
    labels: list[str | None] = [None] * count
    sources: list[str | None] = [None] * count
    captions, proposals, confidences = [""] * count, [Proposals()] * count, np.zeros(count)
    similarities = np.full(count, np.nan)
    for candidate in candidates:
        index = candidate.index
        labels[index], confidences[index] = candidate.label, candidate.confidence
        similarities[index] = candidate.similarity
        captions[index], proposals[index] = candidate.caption, candidate.proposals
        if candidate.label is not None:
            sources[index] = candidate.sources.get(candidate.label, VOCABULARY)
    return Annotation(
        masks=masks,
        labels=tuple(labels),
        confidences=confidences,
        proposals=tuple(proposals),
        captions=tuple(captions),
        label_sources=tuple(sources),
        similarities=similarities,
        embeddings=embeddings_of(count, candidates) if keep_embeddings else None,
    )
