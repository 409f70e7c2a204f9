"""An ontology that is given before a run: its prompts are what models are asked for, its classes what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.layouts.ontology_decide import decide_again
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.types import Annotation, Ints, Proposals, SemanticMap, class_ids, one_class_a_name


def load_ontology(path: str) -> Ontology | None:
    """The ontology that a preset names; None where it names none. Raises InputError if it cannot be read."""
    return Ontology.load(path) if path else None


def with_prompts(vocabulary: Sequence[str], ontology: Ontology | None) -> tuple[str, ...]:
    """A vocabulary, and the prompts of an ontology behind it."""
    return tuple(dict.fromkeys((*vocabulary, *(ontology.prompts if ontology is not None else ()))))


def names_under(annotation: Annotation, ontology: Ontology | None) -> Annotation:
    """An annotation whose names are an ontology's classes; what means none is its `others`, or stays."""
    if ontology is None:
        return annotation
    pairs = zip(annotation.labels, annotation.proposals, strict=True)
    found = [decide_again(ontology, label, proposals.names, proposals.scores) for label, proposals in pairs]
    shares = np.array([entry.share for entry in found], np.float64)
    return replace(
        annotation,
        labels=tuple(entry.label for entry in found),
        proposals=tuple(Proposals(entry.names, entry.scores) for entry in found),
        confidences=np.minimum(annotation.confidences * shares, 1.0),
    )


def classes_under(answer: SemanticMap | ClassScores, ontology: Ontology | None) -> SemanticMap | ClassScores:
    """A segmenter's answer whose classes are an ontology's, or its own, each name once, so that votes count for those.

    Classes of the segmenter that mean the same, or have the same name, are one: pixels of any of them, or their
    probabilities summed (at each cell of its own grid). What means none is `others`, or a class of its own.
    """
    if ontology is None and len(set(answer.names)) == len(answer.names):
        return answer
    names, table = one_class_a_name(answer.names) if ontology is None else _table(answer.names, ontology)
    if isinstance(answer, SemanticMap):
        ids = class_ids(table, len(names))
        lookup = np.full(answer.ignore_id + 1, np.iinfo(ids.dtype).max, ids.dtype)
        lookup[: len(table)] = ids
        return SemanticMap(lookup[answer.ids], names)
    groups = [torch.from_numpy(np.flatnonzero(table == place)).to(answer.values.device) for place in range(len(names))]
    parts = [answer.values[group] for group in groups]
    merged = [part.logsumexp(0) if answer.logits else part.sum(0) for part in parts]
    return replace(answer, values=torch.stack(merged), names=names)


def _table(names: Sequence[str], ontology: Ontology) -> tuple[tuple[str, ...], Ints]:
    """The classes that a segmenter can answer, in the ontology's order, and the place of each of its own among them."""
    meant = []
    for name in names:
        found = ontology.class_of(name)
        meant.append(found.name if found is not None else ontology.others or name)
    order = [name for name in ontology.names if name in meant]
    order += [name for name in dict.fromkeys(meant) if name not in order]
    places = {name: place for place, name in enumerate(order)}
    return tuple(order), np.array([places[name] for name in meant], np.int64)
