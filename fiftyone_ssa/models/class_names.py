"""The names of a model's classes, in id order and as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts.ade20k import NAMES as ADE20K

_COCO_ENDING = re.compile(r"-(other-merged|merged|other|stuff)$")
_COCO_WORDS = {"wall-wood": "wall"}
"""What SSA's published list says where leaving out an ending does not give it."""
_ADE20K_WORDS = {
    "window": "windowpane",
    "tub": "bathtub",
    "rail": "railing",
    "street lamp": "streetlight",
    "tv": "television receiver",
    "plane": "airplane",
    "clothes": "apparel",
    "pool": "swimming pool",
    "falls": "waterfall",
    "trash can": "ashcan",
}
"""detectron2's words, in OneFormer's and Mask2Former's repositories, for ADE20K's."""


def published_names(id2label: Mapping[Any, Any]) -> tuple[str, ...]:
    """A published model's class names in id order (ids may start at 1), in readable form.

    Raw names of COCO ("sky-other-merged") and ADE20K ("road, route") become those of SSA's published lists ("sky",
    "road"); names of other lists stay as they are.
    """
    labels = {int(key): str(name).strip() for key, name in id2label.items()}
    return _readable([labels[index] for index in sorted(labels)])


def _readable(names: Sequence[str]) -> tuple[str, ...]:
    if any(name.endswith(("-merged", "-stuff")) for name in names):
        names = [_COCO_WORDS.get(name) or _COCO_ENDING.sub("", name) for name in names]
    first = [name.partition(",")[0].strip() for name in names]
    known = {*ADE20K, *_ADE20K_WORDS}
    if first != list(names) and sum(word in known for word in first) * 2 > len(first):
        names = [_ADE20K_WORDS.get(word, word) for word in first]
    return tuple(names)


_ADE20K_STUFF = (
    "0 1 2 3 4 5 6 9 11 13 16 17 21 25 26 28 29 34 40 46 48 51 52 54 59 60 61 63 68 77 79 84 91 94 96 99 100 101 105 "
    "106 109 113 114 117 122 128 131 140 141 145"
)
"""By its panoptic challenge."""
_STUFF: dict[int, tuple[str, frozenset[int]]] = {
    133: ("person", frozenset(range(80, 133))),  # COCO panoptic
    150: ("wall", frozenset(map(int, _ADE20K_STUFF.split()))),
    19: ("road", frozenset(range(11))),  # Cityscapes
}
"""How many classes a list has, to its first one and those that are stuff: of which an image has one, however often
it is found."""


def stuff_ids(names: Sequence[str]) -> frozenset[int]:
    """Which classes of COCO's, ADE20K's or Cityscapes' panoptic list are stuff; none of any other list."""
    first, stuff = _STUFF.get(len(names), ("", frozenset()))
    return stuff if names[:1] and names[0] == first else frozenset()


def users_names(classes: Any, what: str) -> tuple[str, ...]:
    """The class names that a user's segmenter states: a list, or a mapping from ids 0, 1, 2 ... to names.

    Raises InputError for anything else, naming `what` built it.
    """
    expected = f'{what}.classes must be a list of names in id order, or a mapping of ids to names ({{0: "sky"}})'
    if isinstance(classes, Mapping):
        classes = _in_id_order(classes, expected)
    elif isinstance(classes, str | bytes) or not isinstance(classes, Sequence):
        raise InputError(f"{expected}, got a {type(classes).__name__}")
    if not len(classes):
        raise InputError(f"{expected}, got none")
    for name in classes:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{expected}, got {str(name)[:40]!r} ({type(name).__name__}) among them")
    return tuple(str(name) for name in classes)


def _in_id_order(classes: Mapping[Any, Any], expected: str) -> list[Any]:
    try:
        # JSON's keys are texts; True is no id
        labels = {int(key): name for key, name in classes.items() if not isinstance(key, bool | float)}
    except (TypeError, ValueError):
        labels = {}
    if sorted(labels) != list(range(len(classes))):
        raise InputError(f"{expected}, got the ids {', '.join(str(key)[:20] for key in list(classes)[:8])}")
    return [labels[index] for index in range(len(labels))]
