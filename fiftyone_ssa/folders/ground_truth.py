"""How data sets hold their ground truth: the published ones, a user's own, and some classes of a published one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.class_maps import Values, read_values
from fiftyone_ssa.folders.own_classes import ENDINGS, Given, OwnClasses, own_classes
from fiftyone_ssa.layouts import ade20k, cityscapes
from fiftyone_ssa.layouts.class_names import match_names
from fiftyone_ssa.layouts.encodings import Seen
from fiftyone_ssa.types import ClassIds


@dataclass(frozen=True)
class Layout:
    """How a data set names its classes and its files; what precedes the endings is the image's key."""

    names: tuple[str, ...]
    prediction: str
    truths: Mapping[str, Callable[[Values], ClassIds]]
    """File ending to the function that makes class ids of its values; the first that exists is taken."""
    read: Callable[[Path], Values] = read_values
    doubts: Callable[[Mapping[str, Seen]], list[str]] = lambda _: []
    """What the values that occur, by file ending, say against the ground truth; raises InputError where it is sure."""
    every_class: bool = False
    """Whether predictions must know every class: a score over a published list means all of it."""
    unnamed: tuple[str, ...] = ()
    """The classes, in id order, of predictions that carry no names; none where such predictions cannot be read."""


_CITYSCAPES = Layout(
    cityscapes.NAMES,
    f"_{cityscapes.IMAGES}_semantic.json",
    {
        f"_{kind}{ending}": make_ids
        for kind in cityscapes.TRUTH_KINDS
        for ending, make_ids in cityscapes.TRUTH_ENDINGS.items()
    },
    doubts=cityscapes.check_encoding,
    every_class=True,
    unnamed=cityscapes.NAMES,
)
LAYOUTS = {
    "ade20k": Layout(
        ade20k.NAMES,
        "_semantic.json",
        {".png": ade20k.class_ids},
        doubts=ade20k.doubts,
        every_class=True,
        unnamed=ade20k.NAMES,
    ),
    "cityscapes": _CITYSCAPES,
    "foggy-driving": _CITYSCAPES,
}


def layout_of(dataset: str | None, classes: Given | None) -> Layout:
    """The layout of a data set, of a user's own classes, or of some of a data set's classes; see `evaluate_files`."""
    if dataset is not None and dataset not in LAYOUTS:
        raise InputError(f"dataset must be one of {', '.join(LAYOUTS)}, got {dataset!r}")
    if classes is None:
        if dataset is None:
            known = ", ".join(LAYOUTS)
            raise InputError(f"name the ground truth's dataset ({known}; --dataset) or your own classes (--classes)")
        return LAYOUTS[dataset]
    own = own_classes(classes)
    if dataset is not None:
        return _narrowed(LAYOUTS[dataset], own, dataset)
    truths = dict.fromkeys(ENDINGS, own.class_ids)
    return Layout(own.names, "_semantic.json", truths, own.read, own.doubts, unnamed=own.unnamed)


def _narrowed(layout: Layout, own: OwnClasses, dataset: str) -> Layout:
    """A data set's layout where some of its classes are scored and all others ignored."""
    match = match_names(own.names, layout.names)
    if not own.listed or match.unknown:
        wrong = "; ".join(f"{name!r}, nearest {near!r}" for name, near in match.unknown[:3])
        raise InputError(
            f"classes beside a dataset must list names of {dataset} that are to be scored, got {wrong or 'a mapping'}; "
            "leave dataset out for classes of your own"
        )
    table = np.full(256, 255, np.uint8)
    places = [place for place in match.ids if place is not None]
    table[places] = range(len(places))

    def narrow(make_ids: Callable[[Values], ClassIds]) -> Callable[[Values], ClassIds]:
        return lambda values: table[make_ids(values)]

    return replace(
        layout,
        names=tuple(layout.names[place] for place in places),
        truths={ending: narrow(make_ids) for ending, make_ids in layout.truths.items()},
        every_class=False,
    )
