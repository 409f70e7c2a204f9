"""Where two fields name the same masks differently, without decoding one of them.

Masks are the same where their digests are, which SSA writes; two runs over the same masks have them in common. Fields
whose masks are others are compared by boxes: each mask with the one of the other field whose box overlaps it most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import fiftyone as fo
import numpy as np

from fiftyone_ssa.curation.counts import masks_of
from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import documents_twofold, needs_database
from fiftyone_ssa.types import Floats

Expression = dict[str, Any]
By = Literal["mask", "box"]
Pair = tuple[str | None, str | None]

DIGEST_CHARS = 16
_NO_NAME = "\0"
_NO_DIGEST = ("<", ">")
"""What stands for the digest of a mask without one, in the first field and in the other."""
SAME_BOX = 0.75
"""IoU of two boxes from which they are taken for the same thing's."""


@dataclass(frozen=True)
class Disagreement:
    """How two fields name the masks that they have in common."""

    by: By
    """Whether masks were found by their digests or by their boxes."""
    masks: int
    """Masks that the first field shows."""
    common: int
    """Those of them that the other field has, too."""
    pairs: Mapping[Pair, int]
    """The first field's name and the other's, where they differ, to masks, most frequent first; None: no name."""

    @property
    def different(self) -> int:
        """Common masks with different names."""
        return sum(self.pairs.values())


@needs_database()
def count_disagreement(samples: Any, label_field: str, other_field: str, *, by: By | None = None) -> Disagreement:
    """Count the masks that two fields name differently, by pair of names.

    Args:
        samples: a dataset or view; its filters count
        label_field: a Detections field, whose masks are looked up in the other one
        other_field: another Detections field
        by (None): "mask": the same pixels, "box": boxes with an IoU of at least 0.75; None: "mask" where that finds
            at least half of the masks, else "box"

    Raises InputError if there are no two such fields.
    """
    masks = check_fields(samples, label_field, other_field)
    digests = all(_has_digests(samples, field) for field in (label_field, other_field))
    if by not in (None, "mask", "box"):
        raise InputError(f'by must be "mask", "box" or None, got {shown(by)}')
    if by == "mask" and not digests:
        raise InputError("only masks that SSA named have digests; compare these fields by box")
    found = _by_mask(samples, masks) if by != "box" and digests else None
    if found is None or (by is None and 2 * found.common < found.masks):
        found = _by_box(samples, masks)
    return found


def check_fields(samples: Any, label_field: Any, other_field: Any) -> tuple[Expression, Expression]:
    """Both fields' masks in the database's words. Raises InputError if they are not two fields with masks."""
    masks = masks_of(samples, label_field), masks_of(samples, other_field)
    if label_field == other_field:
        raise InputError(f"{label_field!r} is compared with itself; choose another field")
    return masks


def named_differently(samples: Any, label_field: str, other_field: str, pair: Pair, by: By) -> fo.ViewExpression:
    """Which masks of the first field have the pair's first name, and its second in the other field, for
    `filter_labels`.
    """
    _, others = check_fields(samples, label_field, other_field)
    called, other_called = ({"$eq": [{"$ifNull": ["$$this.label", None]}, {"$literal": name}]} for name in pair)
    candidates = {"$filter": {"input": others, "cond": other_called}}
    if by == "mask":
        partners = _with_its_digest(candidates)
        found = {"$gt": [{"$size": partners}, 0]}
    else:
        # the best of all is looked for only where one with that name overlaps enough
        near = {"$filter": {"input": candidates, "cond": {"$gte": [_overlap_of_this(), SAME_BOX]}}}
        found = {"$and": [{"$gt": [{"$size": near}, 0]}, {"$eq": [_name_of_best(others), {"$literal": pair[1]}]}]}
    return fo.ViewExpression({"$and": [called, {"$let": {"vars": {"mask": "$$this"}, "in": found}}]})


def _by_mask(samples: Any, masks: tuple[Expression, Expression]) -> Disagreement:
    """By digests: the database takes away what both fields have with the same name, and hands out the rest."""
    # a digest and a name as one text, which makes the sets cheaper than pairs would; what has no digest is never equal
    name = {"$ifNull": ["$$this.label", _NO_NAME]}
    rows, others = (
        {"$map": {"input": each, "in": {"$concat": [{"$ifNull": ["$$this.mask_digest", unknown]}, name]}}}
        for each, unknown in zip(masks, _NO_DIGEST, strict=True)
    )
    stages: list[Expression] = [
        {"$project": {"_id": 0, "masks": {"$size": masks[0]}, "rows": rows, "others": others}},
        {
            "$project": {
                "masks": 1,
                "agreed": {"$size": {"$setIntersection": ["$rows", "$others"]}},
                "rows": {"$setDifference": ["$rows", "$others"]},
                "others": {"$setDifference": ["$others", "$rows"]},
            }
        },
    ]
    total = common = 0
    pairs: Counter[Pair] = Counter()
    for document in documents_twofold(samples, stages):
        total += document["masks"]
        common += document["agreed"]
        names = {text[:DIGEST_CHARS]: text[DIGEST_CHARS:] for text in document["others"] if text[0] != _NO_DIGEST[1]}
        for text in document["rows"]:
            other = names.get(text[:DIGEST_CHARS])
            if other is not None:
                pairs[_name(text[DIGEST_CHARS:]), _name(other)] += 1
    return _result("mask", total, common + pairs.total(), pairs)


def _by_box(samples: Any, masks: tuple[Expression, Expression]) -> Disagreement:
    """By boxes: of a hundred masks with a hundred others, which numpy compares faster than the database."""
    columns: Expression = {}
    for place, each in enumerate(masks):
        columns[f"names{place}"] = {"$map": {"input": each, "in": {"$ifNull": ["$$this.label", None]}}}
        for side in range(4):  # four lists of numbers are read faster than a list of fours
            value = {"$ifNull": [{"$arrayElemAt": ["$$this.bounding_box", side]}, 0.0]}
            columns[f"box{place}{side}"] = {"$map": {"input": each, "in": value}}
    total = common = 0
    pairs: Counter[Pair] = Counter()
    for document in documents_twofold(samples, [{"$project": {"_id": 0, **columns}}]):
        names, others = document["names0"], document["names1"]
        total += len(names)
        if not names or not others:
            continue
        overlap = box_iou(*(np.array([document[f"box{place}{side}"] for side in range(4)], float) for place in (0, 1)))
        best = overlap.argmax(axis=1)
        same = np.flatnonzero(overlap[np.arange(len(best)), best] >= SAME_BOX)
        common += len(same)
        pairs.update((names[i], others[j]) for i, j in zip(same.tolist(), best[same].tolist(), strict=True))
    differing = Counter({pair: number for pair, number in pairs.items() if pair[0] != pair[1]})
    return _result("box", total, common, differing)


def _has_digests(samples: Any, label_field: str) -> bool:
    """Whether a field's masks may have digests; somebody else's attribute of that name would be no text."""
    kinds = [samples.get_field(f"{label_field}.{path}mask_digest") for path in ("", "detections.")]
    return any(isinstance(kind, fo.StringField) for kind in kinds)


def _name(text: str) -> str | None:
    return None if text == _NO_NAME else text


def box_iou(boxes: Floats, others: Floats) -> Floats:
    """(N, M) intersection over union of boxes (4, N) and (4, M), XYWH; 0 where a union is empty."""
    x, y, width, height = boxes[:, :, None]
    other_x, other_y, other_width, other_height = others[:, None]
    inside = np.minimum(x + width, other_x + other_width) - np.maximum(x, other_x)
    tall = np.minimum(y + height, other_y + other_height) - np.maximum(y, other_y)
    inside = np.maximum(inside, 0) * np.maximum(tall, 0)
    union = width * height + other_width * other_height - inside
    overlap: Floats = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return overlap


def _with_its_digest(others: Expression) -> Expression:
    """Those of other masks that have the digest of `$$mask`."""
    digests = [
        {"$eq": [{"$type": "$$mask.mask_digest"}, "string"]},
        {"$eq": ["$$this.mask_digest", "$$mask.mask_digest"]},
    ]
    return {"$filter": {"input": others, "cond": {"$and": digests}}}


def _name_of_best(others: Expression) -> Expression:
    """The name of that of other masks whose box overlaps that of `$$mask` most, the first of equals."""
    better = {"$gt": ["$$overlap", "$$value.overlap"]}
    taken = {"overlap": "$$overlap", "name": {"$ifNull": ["$$this.label", None]}}
    step = {"$let": {"vars": {"overlap": _overlap_of_this()}, "in": {"$cond": [better, taken, "$$value"]}}}
    best = {"$reduce": {"input": others, "initialValue": {"overlap": -1, "name": None}, "in": step}}
    return {"$let": {"vars": {"best": best}, "in": "$$best.name"}}


def _overlap_of_this() -> Expression:
    return _iou_expression("$$mask.bounding_box", "$$this.bounding_box")


def _iou_expression(box: str, other: str) -> Expression:
    def at(path: str, place: int) -> Expression:
        return {"$ifNull": [{"$arrayElemAt": [path, place]}, 0]}

    def overlap(place: int) -> Expression:
        ends = [{"$add": [at(path, place), at(path, place + 2)]} for path in (box, other)]
        starts = [at(path, place) for path in (box, other)]
        return {"$max": [0, {"$subtract": [{"$min": ends}, {"$max": starts}]}]}

    areas = [{"$multiply": [at(path, 2), at(path, 3)]} for path in (box, other)]
    union = {"$subtract": [{"$add": areas}, "$$inside"]}
    share = {"$cond": [{"$gt": [union, 0]}, {"$divide": ["$$inside", union]}, 0]}
    return {"$let": {"vars": {"inside": {"$multiply": [overlap(0), overlap(1)]}}, "in": share}}


def _result(by: By, masks: int, common: int, pairs: Counter[Pair]) -> Disagreement:
    ordered = dict(sorted(pairs.items(), key=lambda item: (-item[1], str(item[0]))))
    return Disagreement(by, masks, common, ordered)
