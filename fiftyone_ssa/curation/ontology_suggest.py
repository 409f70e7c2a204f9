"""An ontology suggested from the names that masks have: what is surely the same together, the rest marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.review import REJECTED
from fiftyone_ssa.labels.shown import check_masks, masks_of
from fiftyone_ssa.labels.stored_masks import stored_proposals
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.layouts.ontology_groups import Group, are_told_apart, group_names, unsure_pairs
from fiftyone_ssa.layouts.ontology_suggested import SaidNames, suggested_ontology
from fiftyone_ssa.layouts.wordnet import find_wordnet
from fiftyone_ssa.masks.foreign import is_number
from fiftyone_ssa.naming.fusing import CAPTION, VOCABULARY
from fiftyone_ssa.presets import Preset, load_preset

ALIKE = 0.9
"""The cosine of two names' embeddings from which they may be the same. Not measured: names of two things can be as near
as two names of one, so nothing is put together by it, only marked."""
MOST_COMPARED = 5_000
"""Classes that are compared by their embeddings, those of most masks."""


@needs_database()
def suggest(
    samples: Any,
    label_field: str = "ssa",
    *,
    others: str | None = None,
    min_masks: int = 1,
    wordnet: bool | str | Path = True,
    class_filter: str | Path | Preset | None = None,
    alike: float = ALIKE,
    device: str = "auto",
) -> Ontology:
    """An ontology of the names that a view's masks have, to be edited: each class with counts and example masks.

    Names are put together where they are surely the same thing: by a table of ours of what COCO, ADE20K, LVIS and
    Cityscapes call things, by number, articles, colours and sizes, and by WordNet where it is installed. A class is
    called as most of its masks are. What is not sure stays apart and is marked: `maybe` of a class lists the classes
    that may be the same ("wooden chair" of "chair"), as their words, and with `class_filter` their embeddings, say.

    Args:
        samples: a dataset or view of images, or of patches; its filters count
        label_field ("ssa"): its Detections field
        others (None): the ontology's: the name of what maps to no class; None: it keeps its own
        min_masks (1): names that together fewer masks have make no class
        wordnet (True): whether to use WordNet where it is found, or its folder
        class_filter (None): an engine preset whose class filter compares names; None: without a model
        alike (0.9): the cosine from which that marks two classes
        device ("auto"): where the class filter runs

    Raises InputError for a bad argument, or where no mask has a name.
    """
    check_masks(samples, label_field)
    if type(min_masks) is not int or min_masks < 1:
        raise InputError(f"min_masks must be a whole number from 1 on, got {shown(min_masks)}")
    if not (is_number(alike) and -1 <= alike <= 1):
        raise InputError(f"alike must be a number from -1 to 1, got {shown(alike)}")
    names = _names(samples, label_field)
    folder = Path(wordnet) if isinstance(wordnet, str | Path) else find_wordnet() if wordnet else None
    every = group_names(names.masks, lemma=_lemma(), wordnet=folder)
    groups = [group for group in every if sum(names.masks[name] for name in group.names) >= min_masks]
    if not groups:
        raise InputError(f"no name of {label_field!r} is one of {counted(min_masks, 'mask')} here; name masks first")
    pairs = unsure_pairs(groups)
    if class_filter is not None:
        pairs += _alike(groups, class_filter, alike, device)
    return suggested_ontology(groups, names, pairs, others=others, name=label_field)


def _names(samples: Any, label_field: str) -> SaidNames:
    columns: dict[str, Any] = {
        name: {"$ifNull": [f"$$this.{name}", None]}
        for name in ("label", "confidence", "label_source", "vote_share", "class_proposals")
    }
    columns["_id"] = "$$this._id"
    found = SaidNames()
    for document in masks_of(
        samples, label_field, columns, where={"$ne": [{"$ifNull": ["$$this.review", None]}, REJECTED]}
    ):
        for row in zip(*(document[name] for name in columns), strict=True):
            mask = dict(zip(columns, row, strict=True))
            label, source = mask["label"], mask["label_source"]
            for name in stored_proposals(mask).names:
                found.masks.setdefault(name, 0)
            if isinstance(label, str):
                sure = mask["confidence"]
                found.add(label, str(mask["_id"]), float(sure) if is_number(sure) else 0.0)
                if mask["vote_share"] is not None or source not in (None, CAPTION, VOCABULARY):
                    found.segmenters.add(label)
    return found


def _lemma() -> Any:
    """spaCy's singulars of nouns, where it is installed."""
    from fiftyone_ssa.naming.lemmas import NounLemmas, has_lemmas

    return NounLemmas() if has_lemmas() else None


def _alike(groups: Sequence[Group], preset: str | Path | Preset, alike: float, device: str) -> list[tuple[str, str]]:
    """Of each class the one whose name the class filter embeds nearest, if it is as near as that."""
    from fiftyone_ssa.models.class_filter import load_class_filter
    from fiftyone_ssa.models.devices import pick_device, pick_dtype

    chosen = load_preset(preset).open_vocabulary
    if not chosen.class_filter:
        raise InputError(f"{shown(preset)} has no class filter to compare names with; name an engine preset")
    where = pick_device(device)
    model = load_class_filter(chosen.class_filter, where, pick_dtype("auto", where), template=chosen.template)
    compared = groups[:MOST_COMPARED]
    texts = model.texts([group.name for group in compared])
    near = texts @ texts.T
    np.fill_diagonal(near, -2.0)
    for place, group in enumerate(compared):
        near[place, [are_told_apart(group, other) for other in compared]] = -2.0
    best = near.argmax(1)
    # of two that may be the same, the one of fewer masks may be the other
    pairs = {(min(a, int(b)), max(a, int(b))) for a, b in enumerate(best) if near[a, b] >= alike}
    return [(compared[a].name, compared[b].name) for a, b in sorted(pairs)]
