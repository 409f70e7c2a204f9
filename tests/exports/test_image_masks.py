"""One image's detections as COCO: every value of them, and one that is damaged costs itself only."""

import base64
import datetime
import json
import zlib

import numpy as np
import pytest
from bson import ObjectId
from fiftyone.core.utils import serialize_numpy_array

from fiftyone_ssa.exports.image_masks import ImageMasks, json_value

SIZE = (20, 30)


def detection(**changes):
    """A detection of 6x4 pixels as the database holds it."""
    document = {
        "_id": ObjectId(), "_cls": "Detection", "attributes": {}, "tags": [], "label": "x",
        "bounding_box": [0.1001, 0.1001, 6 / 30, 4 / 20], "mask": serialize_numpy_array(np.ones((4, 6), bool)),
    }  # fmt: skip
    return document | changes


def exported(*documents):
    masks = ImageMasks({"_cls": "Detections", "detections": list(documents)}, SIZE)
    annotations = list(masks.annotations({"x": 1, "5": 2}))
    json.dumps(annotations, allow_nan=False)
    return annotations, masks.left


NAN, INFINITE = float("nan"), float("inf")
DAMAGED = {
    "box": [None, [], [0.1] * 3, [0.1] * 5, [None] * 4, ["a"] * 4, "0 0 1 1", 5, {}, [NAN] * 4, [0, 0, NAN, 1],
            [INFINITE, 0, 1, 1], [0, 0, -INFINITE, 1], [True, 0, 1, 1], [1e300, 0, 1, 1], [-1e9, 0, 1, 1],
            [0, 0, 1e18, 1], [-1e9, -1e9, 1, 1], [5, 5, 0.1, 0.1]],
    "mask": [b"broken", b"\x78\x9c", zlib.compress(b"no array"), "text", 5, [[1, 0]],
             serialize_numpy_array(np.ones(4)), serialize_numpy_array(np.ones((0, 4), bool)),
             serialize_numpy_array(np.ones((4, 6), bool))[:-9]],
    "mask_path": ["/nowhere/x.png", "", 5, __file__, "/tmp", "a\0b"],
}  # fmt: skip
CASES = [(key, value) for key, values in DAMAGED.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES, ids=range(len(CASES)))
def test_a_damaged_mask_costs_itself_only(key, value):
    name = "bounding_box" if key == "box" else key
    bad = detection(**{name: value})
    if key == "mask_path":
        del bad["mask"]
    annotations, left = exported(detection(), bad, detection())
    assert len(annotations) == 2
    assert len(left.failed) + left.without_mask == 1


@pytest.mark.parametrize("value", [None, 5, "text", [], b"x"])
def test_what_is_no_detection_costs_itself_only(value):
    annotations, left = exported(value, detection())
    assert (len(annotations), len(left.failed)) == (1, 1)


@pytest.mark.parametrize("label", [None, {}, [], "text", {"detections": None}, {"detections": 5}, {"detections": []}])
def test_an_image_without_detections_has_none(label):
    assert list(ImageMasks(label, SIZE).annotations({})) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (0, 0), (True, 1), (False, 0), (1.0, 1), (None, 0), ("1", 1), ("0", 0), ("false", 0), ("True", 1)],
)
def test_iscrowd_is_kept(value, expected):
    assert exported(detection(iscrowd=value))[0][0]["iscrowd"] == expected
    older = {"iscrowd": {"_cls": "CategoricalAttribute", "value": value}}
    (annotation,) = exported(detection(attributes=older))[0]
    assert annotation["iscrowd"] == expected
    assert "attribute_iscrowd" not in annotation


def test_every_value_is_kept_in_jsons_types():
    document = detection(
        confidence=0.25, note="é\n", count=3, ratio=NAN, flags=[True, None, INFINITE], area=77, score=5, bbox="mine",
        nested={"a": {"b": [ObjectId("0" * 24)]}}, when=datetime.datetime(2026, 1, 2, 3, 4, 5), raw=b"\x00\xff",
        array=serialize_numpy_array(np.array([[1.5, NAN]])), tags=["seen"], index=4, supercategory="thing",
        attributes={"occluded": {"_cls": "BooleanAttribute", "value": True}},
        instance={"_cls": "Instance", "_id": ObjectId("1" * 24)},
    )  # fmt: skip
    (annotation,) = exported(document)[0]
    assert {name: annotation[name] for name in annotation if name not in ("segmentation", "category_id")} == {
        "bbox": [3, 2, 6, 4], "area": 24, "iscrowd": 0, "score": 0.25, "attribute_score": 5, "attribute_area": 77,
        "attribute_bbox": "mine", "note": "é\n", "count": 3, "ratio": None, "flags": [True, None, None],
        "nested": {"a": {"b": ["0" * 24]}}, "when": "2026-01-02T03:04:05+00:00",
        "raw": base64.b64encode(b"\x00\xff").decode(),
        "array": [[1.5, None]], "tags": ["seen"], "index": 4, "supercategory": "thing", "occluded": True,
        "instance_id": "1" * 24,
    }  # fmt: skip


def test_left_out_detections_are_counted_by_reason():
    documents = [
        detection(), detection(label=None), detection(label=" "), detection(review="rejected"), detection(mask=None),
        detection(review="accepted"), detection(mask=serialize_numpy_array(np.zeros((4, 6), bool))), detection(label=5),
    ]  # fmt: skip
    annotations, left = exported(*documents)
    assert [annotation["category_id"] for annotation in annotations] == [1, 1, 2]
    assert (left.unlabelled, left.rejected, left.without_mask, left.failed) == (2, 1, 2, [])


def test_values_of_other_kinds_are_text():
    assert json_value({1: {2}, "d": datetime.date(2026, 1, 2)}) == {"1": "{2}", "d": "2026-01-02"}


def test_an_attribute_that_unpacks_to_more_than_a_mask_may_take_stays_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = serialize_numpy_array(np.zeros(2000, np.uint8))
    assert json_value(packed) == [0] * 2000
    monkeypatch.setattr("fiftyone_ssa.labels.stored_masks.MAX_ARRAY_BYTES", 1000)
    assert json_value(packed) == base64.b64encode(packed).decode()
