"""Where two fields disagree, against plain Python over the same samples."""

import itertools
from collections import Counter

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_ssa.curation.disagreement import SAME_BOX, box_iou, count_disagreement, named_differently
from fiftyone_ssa.errors import InputError

NAMES = ("sky", "sea", "wall", None)


def mask(rng, digest):
    box = [*rng.uniform(0, 0.5, 2), *rng.uniform(0.1, 0.5, 2)]
    return fo.Detection(label=NAMES[rng.integers(4)], bounding_box=box, mask_digest=digest)


@pytest.fixture(scope="module")
def dataset():
    """Twenty samples: masks in both fields under other names and boxes that moved, and some in one field only."""
    dataset, rng = fo.Dataset(), np.random.default_rng(0)
    for place in range(20):
        masks = [mask(rng, f"{place * 20 + k:016x}" if k % 5 else None) for k in range(9)]
        others = [one.copy() for one in masks[2:]] + [mask(rng, f"{place * 20 + k:016x}") for k in (15, 16)]
        for one in others:
            one.label = one.label if rng.random() < 0.5 else NAMES[rng.integers(4)]
            one.bounding_box = [value + 0.02 * rng.random() for value in one.bounding_box]
        sample = fo.Sample(filepath=f"/{place}.png", ssa=fo.Detections(detections=masks if place != 7 else []))
        sample["other"] = None if place == 8 else fo.Detections(detections=others)
        dataset.add_sample(sample, dynamic=True)
    dataset.add_sample(fo.Sample(filepath="/none.png"))
    yield dataset
    dataset.delete()


def pairs_of(samples, partner):
    """(masks, common, differing pairs) by a function that finds a mask's partner among others."""
    masks, common, pairs = 0, 0, Counter()
    for sample in samples:
        others = sample["other"].detections if sample["other"] else []
        for one in sample["ssa"].detections if sample["ssa"] else []:
            masks += 1
            found = partner(one, others)
            if found is not None:
                common += 1
                pairs[one.label, found.label] += one.label != found.label
    return masks, common, +pairs


def same_digest(one, others):
    return next((other for other in others if one.mask_digest and other.mask_digest == one.mask_digest), None)


def iou(box, other):
    (x, y, w, h), (a, b, c, d) = box, other
    inside = max(0, min(x + w, a + c) - max(x, a)) * max(0, min(y + h, b + d) - max(y, b))
    return inside / (w * h + c * d - inside)


def best_box(one, others):
    best = max(others, key=lambda other: iou(one.bounding_box, other.bounding_box), default=None)
    return best if best and iou(one.bounding_box, best.bounding_box) >= SAME_BOX else None


VIEWS = {
    "all": lambda dataset: dataset,
    "some labels": lambda dataset: dataset.filter_labels("ssa", F("label") == "sky"),
    "some samples": lambda dataset: dataset.limit(5),
}


@pytest.mark.parametrize("view", list(VIEWS))
@pytest.mark.parametrize(("by", "partner"), [("mask", same_digest), ("box", best_box)])
def test_counts_and_the_view_of_each_pair(dataset, view, by, partner):
    samples = VIEWS[view](dataset)
    found = count_disagreement(samples, "ssa", "other", by=by)
    masks, common, pairs = pairs_of(samples, partner)
    assert (found.by, found.masks, found.common) == (by, masks, common)
    assert found.pairs == pairs
    assert found.different == pairs.total() > 0
    for pair in itertools.product(NAMES, NAMES):
        shown = samples.filter_labels("ssa", named_differently(samples, "ssa", "other", pair, by))
        if pair[0] != pair[1]:
            assert shown.count("ssa.detections") == pairs[pair]


def test_boxes_are_compared_where_few_masks_are_the_same(dataset):
    assert count_disagreement(dataset, "ssa", "other").by == "mask"
    changed = dataset.clone()
    masks = changed.values("other.detections.label")
    changed.set_values("other.detections.mask_digest", [row and ["f" * 16] * len(row) for row in masks])
    assert count_disagreement(changed, "ssa", "other").by == "box"
    changed.delete()


def test_box_iou_of_many_is_that_of_each():
    rng = np.random.default_rng(1)
    boxes, others = rng.random((4, 7)), rng.random((4, 5))
    plain = [[iou(box, other) for other in others.T] for box in boxes.T]
    np.testing.assert_allclose(box_iou(boxes, others), plain)
    assert box_iou(np.zeros((4, 1)), np.zeros((4, 1))).tolist() == [[0]]


@pytest.mark.parametrize(
    ("fields", "by", "sentence"),
    [
        (("ssa", "ssa"), None, "is compared with itself"),
        (("ssa", "nothing"), None, "is no Detections field"),
        (("ssa", "boxes"), "mask", "compare these fields by box"),
        (("ssa", "other"), "pixel", 'by must be "mask", "box" or None'),
    ],
)
def test_what_cannot_be_compared(dataset, fields, by, sentence):
    samples = dataset.clone()
    samples.add_sample_field("boxes", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    with pytest.raises(InputError, match=sentence):
        count_disagreement(samples, *fields, by=by)
    assert count_disagreement(samples, "ssa", "boxes").by == "box"
    samples.delete()
