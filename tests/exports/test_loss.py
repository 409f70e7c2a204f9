"""The loss report: what a format could not hold, counted for each class by what was read back."""

from pathlib import Path

import numpy as np
import pytest

from fiftyone_ssa.exports.loss import LossError, LossReport
from fiftyone_ssa.exports.writing import ExportImage
from fiftyone_ssa.masks import rle

SIZE = (20, 30)


def box(y0, y1, x0, x1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


RING = box(2, 12, 2, 12) & ~box(5, 8, 5, 8)
TWO = box(0, 3, 20, 23) | box(14, 18, 20, 28)


def reported(masks, kept, labels=None, keeps=frozenset(), **values):
    codes = [rle.encode(mask) for mask in masks]
    documents = tuple({"_id": f"l{row}", "label": "x", **values} for row in range(len(masks)))
    labels = tuple(labels or ["x"] * len(masks))
    image = ExportImage(1, "s", Path("a.png"), "a.png", "", SIZE, rle.mask_set(SIZE, codes), labels, documents)
    report = LossReport("odd")
    report.add(image, None if kept is None else [None if m is None else rle.encode(m) for m in kept], keeps)
    return report


def test_nothing_is_lost_where_all_is_kept():
    for kept in (None, [RING, TWO]):
        report = reported([RING, TWO], kept)
        assert str(report) == "nothing lost"
        assert (report.total.masks, report.total.iou_mean, report.worst) == (2, 1.0, [])
        report.check(1.0)


def test_holes_pieces_and_outlines_are_counted():
    report = reported([RING, TWO, box(0, 4, 0, 4)], [box(2, 12, 2, 12), box(14, 18, 20, 28), box(0, 4, 0, 5)], "abc")
    assert [report.classes[name].holes for name in "abc"] == [1, 0, 0]
    assert [report.classes[name].islands for name in "abc"] == [0, 1, 0]
    assert [report.classes[name].outline_only for name in "abc"] == [0, 0, 1]
    assert report.classes["a"].added_px == 9
    assert report.classes["b"].lost_px == 9
    assert report.classes["c"].iou_min == pytest.approx(16 / 20)
    assert [entry.name for entry in report.worst] == ["b", "c", "a"]
    with pytest.raises(LossError, match="3 masks changed, 1 hole filled, 1 piece gone") as told:
        report.check(0.9)
    assert told.value.report is report
    report.check(0.7)


def test_pixels_that_another_mask_got_and_masks_that_are_gone():
    upper, lower = box(0, 10, 0, 10), box(5, 15, 0, 10)
    report = reported([upper, lower, TWO], [upper, lower & ~upper, None])
    total = report.total
    assert (total.changed, total.dropped, total.overlaps_px, total.lost_px, total.iou_min) == (1, 1, 50, 50, 0.0)
    assert report.to_json()["classes"]["x"]["iou_mean"] == 0.5


def test_values_that_a_format_has_no_place_for():
    values = {"confidence": 0.5, "class_proposals": ["x"], "caption": "a thing"}
    total = reported([RING], None, **values).total
    assert (total.confidence, total.proposals, total.attributes) == (1, 1, 1)
    total = reported([RING], None, keeps=frozenset(("confidence",)), **values).total
    assert (total.confidence, total.proposals, total.attributes) == (0, 1, 1)
