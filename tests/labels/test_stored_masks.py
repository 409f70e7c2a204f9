"""Masks of FiftyOne's labels, in: placed, resized, or refused in a sentence."""

from __future__ import annotations

import io
import math
import zlib
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
import numpy as np
import PIL.Image
import pytest
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.stored_masks import (
    given_name,
    mask_counts,
    mask_set_from_detections,
    read_masks,
    stored_mask,
    stored_proposals,
    stored_values,
)
from fiftyone_ssa.types import MaskSet

HW = (10, 20)
ONES = np.ones((3, 2), bool)
BOX = [0.15, 0.2, 0.1, 0.3]


def _detection(**attributes: object) -> dict[str, Any]:
    """A detection as the database holds it, of 3 x 2 pixels at (3, 2)."""
    if isinstance(attributes.get("mask"), np.ndarray):
        attributes["mask"] = fou.serialize_numpy_array(attributes["mask"])
    return {"_id": ObjectId(), "_cls": "Detection", "bounding_box": BOX, **attributes}


def _masks(*detections: Any) -> MaskSet:
    """The masks of a label, which are the same whether it is read from the document or from FiftyOne's object."""
    document = {"_cls": "Detections", "detections": list(detections)}
    masks = mask_set_from_detections(document, HW)
    from_object = mask_set_from_detections(fo.Detections.from_dict(document), HW)
    assert from_object.rles == masks.rles
    assert from_object.source_ids == masks.source_ids
    np.testing.assert_array_equal(from_object.source_boxes_xywh, masks.source_boxes_xywh)
    return masks


def test_a_foreign_mask_is_placed_on_the_nearest_pixels() -> None:
    whole = _masks(_detection(mask=ONES.astype(np.uint8) * 255))
    assert whole.boxes_xywh.tolist() == [[3, 2, 2, 3]]
    assert whole.source_boxes_xywh.tolist() == [[3, 2, 1, 2]]
    assert isinstance(whole.source_ids[0], str)
    assert _masks(_detection(mask=ONES, sa1b_id=7)).source_ids == (7,)


def test_one_of_another_size_is_resized_and_cut_at_the_edge() -> None:
    two = np.ones((2, 2), bool)
    assert _masks(_detection(bounding_box=[0, 0, 1, 1], mask=two)).areas_px.tolist() == [200]
    over = _masks(_detection(bounding_box=[0.9, -0.1, 0.2, 0.2], mask=np.ones((2, 4), bool)))
    assert over.boxes_xywh.tolist() == [[18, 0, 2, 1]]
    two[:, 0] = False
    left = _masks(_detection(bounding_box=[0.5, 0, 1, 1], mask=two))
    assert left.areas_px.tolist() == [0]
    vast = _masks(_detection(bounding_box=[-1e6, -1e6, 2e6 + 1, 2e6 + 1], mask=two))
    assert vast.areas_px.tolist() == [100]  # its middle is the image's: 10 million pixels a side are never made


def test_no_masks_is_an_answer() -> None:
    assert len(_masks()) == 0
    assert len(mask_set_from_detections({"detections": None}, HW)) == 0


def test_all_of_an_image_together_are_what_each_is_alone() -> None:
    rng = np.random.default_rng(0)
    rows: list[Any] = []
    for _ in range(60):
        shape = tuple(rng.integers(1, 9, 2))
        box = [*rng.uniform(-0.2, 1, 2), shape[1] / HW[1] * rng.choice([1, 1, 0.4]), shape[0] / HW[0]]
        kind = rng.choice(["?", "u1", "f8"])
        rows.append(_detection(bounding_box=[float(n) for n in box], mask=(rng.random(shape) < 0.5).astype(kind)))
    rows[7], rows[11]["mask"], rows[20]["mask"] = "no detection", b"nonsense", None
    read = read_masks(rows, HW)
    alone: dict[int, bytes | str] = {}
    for place, row in enumerate(rows):
        try:
            alone[place] = mask_counts(row, HW)
        except InputError as error:
            alone[place] = str(error)
    assert {place: str(error) for place, error in read.problems.items()} == {
        place: said for place, said in alone.items() if isinstance(said, str)
    }
    assert dict(zip(read.places, read.masks.rles, strict=True)) == {
        place: code for place, code in alone.items() if isinstance(code, bytes)
    }
    assert {7, 11, 20} <= read.problems.keys() < set(range(60))


@pytest.mark.parametrize(("channels", "set_px"), [(1, 4), (2, 4), (3, 4), (4, 4)])
def test_alpha_is_no_mask_inline(channels: int, set_px: int) -> None:
    values = np.zeros((3, 2, channels), np.uint8)
    values[:2, :, 0] = 9
    if channels in (2, 4):
        values[:, :, -1] = 255
    assert _masks(_detection(mask=values)).areas_px.tolist() == [set_px]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_alpha_is_no_mask_in_a_file(tmp_path: Path, mode: str) -> None:
    picture = PIL.Image.fromarray(np.array([[255, 255], [255, 255], [0, 0]], np.uint8))
    if mode in ("LA", "RGBA"):
        picture.putalpha(255)
    picture.convert(mode).save(tmp_path / "mask.png")
    assert _masks(_detection(mask_path=str(tmp_path / "mask.png"))).areas_px.tolist() == [4]


def _packed(content: bytes) -> bytes:
    return zlib.compress(content)


def _saved(header: str, values: bytes = b"") -> bytes:
    text = header.ljust(117) + "\n"
    return _packed(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + values)


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return _packed(buffer.getvalue())


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({}, "it has no mask, only a box"),
        ({"mask": ONES, "bounding_box": None}, "bounding_box must be 4 number"),
        ({"mask": ONES, "bounding_box": [math.nan] * 4}, r"bounding_box must be \[x, y, width, height\]"),
        ({"mask": ONES, "bounding_box": [math.inf] * 4}, "bounding_box must be 4 number"),
        ({"mask": ONES, "bounding_box": [0, 0, -1, 1]}, "neither side negative"),
        ({"mask": ONES, "bounding_box": [0, 0, 1]}, "bounding_box must be 4 number"),
        ({"mask": ONES, "bounding_box": ["0", 0, 1, 1]}, "bounding_box must be 4 number"),
        ({"mask": ONES, "bounding_box": [1e308, 0, 1, 1]}, "bounding_box must be 4 number"),
        ({"mask": ONES, "bounding_box": [1.5, 1.5, 0.1, 0.3]}, "it lies outside its image"),
        ({"mask": ONES, "bounding_box": [-9e8, 0, 0.1, 0.3]}, "it lies outside its image"),
        ({"mask": np.ones((0, 2), bool)}, "its mask has no pixels"),
        ({"mask": np.ones(3)}, r"a mask must be \(H, W\)"),
        ({"mask": np.ones((2, 2, 7))}, r"a mask must be \(H, W\)"),
        ({"mask": np.array([["a"]])}, r"a mask must be \(H, W\)"),
        ({"mask": b""}, "its mask is damaged"),
        ({"mask": b"nonsense"}, "its mask is damaged"),
        ({"mask": "no base64"}, "its mask is damaged"),
        ({"mask": 7}, "its mask is no array, got 7"),
        ({"mask": _packed(b"no array")}, "its mask is damaged"),
        ({"mask": _packed(b"\x93NUMPY\x09\x00")}, "its mask is damaged"),
        (
            {"mask": _saved("{'descr': '|b1', 'fortran_order': False, 'shape': (3, 2)}", b"\1" * 5)},
            "its mask is damaged",
        ),
        ({"mask": _saved("{'descr': '|b1', 'fortran_order': False, 'shape': (10**9, 10**9)}")}, "its mask is damaged"),
        ({"mask": _saved("{'descr': '|b1', 'fortran_order': False, 'shape': (1000000000, 99999999)}")}, "is damaged"),
        ({"mask": _saved("{'descr': '|b1', 'fortran_order': False, 'shape': (-3, -2)}", b"\1" * 6)}, "is damaged"),
        ({"mask": _saved("((((((((((")}, "its mask is damaged"),
        ({"mask": _saved("(" * 20_000)}, "its mask is damaged: Header info length"),
        ({"mask": _pickled()}, "its mask is damaged"),
        ({"mask_path": "/no/such/file.png"}, "No such file"),
        ({"mask_path": "/dev/zero"}, "a device, not a file"),
        ({"mask_path": "a\0b"}, "null byte"),
    ],
)
def test_a_bad_detection_is_one_sentence_with_its_index(attributes: dict[str, Any], says: str) -> None:
    good, bad = _detection(mask=ONES), _detection(**attributes)
    with pytest.raises(InputError, match=f"detection 1: .*{says}") as caught:
        mask_set_from_detections({"_cls": "Detections", "detections": [good, bad, good]}, HW)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=says):
        mask_counts(bad, HW)
    assert mask_counts(good, HW)


def test_an_array_that_unpacks_to_gigabytes_is_refused_while_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fiftyone_ssa.labels.stored_masks.MAX_ARRAY_BYTES", 1000)
    with pytest.raises(InputError, match="its mask is damaged"):
        stored_mask(_detection(mask=np.zeros((100, 100), bool)))


def test_what_is_no_detection_is_one_sentence() -> None:
    for bad in (None, 7, "x", [1]):
        with pytest.raises(InputError, match="detection 0: it must be a detection"):
            mask_set_from_detections({"detections": [bad]}, HW)
    with pytest.raises(InputError, match="must hold a list"):
        mask_set_from_detections({"detections": 7}, HW)


def test_attributes_of_a_users_own_are_unknown() -> None:
    masks = _masks(_detection(mask=ONES, predicted_iou="high", point="left", crop_box=[1, 2], stability_score=[0.5, 1]))
    assert np.isnan(masks.predicted_iou).all()
    assert np.isnan(masks.points_xy).all()
    assert np.isnan(masks.crop_boxes_xywh).all()
    assert np.isnan(masks.stability_score).all()
    assert masks.source_boxes_xywh.tolist() == [[3, 2, 1, 2]]
    known = _masks(_detection(mask=ONES, predicted_iou=1, point=[4.5, 3], source_box=[3, 2, 1.5, 2.5]))
    assert (known.predicted_iou[0], known.points_xy.tolist()) == (1.0, [[4.5, 3.0]])
    assert known.source_boxes_xywh.tolist() == [[3, 2, 1.5, 2.5]]


def test_values_of_a_segmentation(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 300]], np.uint16)
    PIL.Image.fromarray(values).save(tmp_path / "map.png")
    inline = {"_cls": "Segmentation", "mask": fou.serialize_numpy_array(values)}
    for stored in (inline, fo.Segmentation(mask=values), {"mask_path": str(tmp_path / "map.png")}):
        found = stored_values(stored)
        assert found is not None
        assert found.tolist() == values.tolist()
    assert stored_values(fo.Segmentation(mask_path=str(tmp_path / "map.png"))).tolist() == values.tolist()
    assert stored_values(fo.Segmentation()) is None
    assert stored_values({}) is None
    with pytest.raises(InputError, match="its mask is damaged"):
        stored_values({"mask": b"nonsense"})


def test_names_that_masks_have() -> None:
    """A label with its confidence; in place, what an earlier run said itself is no name of the mask's."""
    own = {"label": "sky", "class_name": "sky", "confidence": 0.9}
    cases: list[tuple[dict[str, Any], tuple[str | None, float], tuple[str | None, float]]] = [
        ({"label": " dog ", "confidence": 0.75}, ("dog", 0.75), ("dog", 0.75)),
        ({"label": "dog"}, ("dog", math.nan), ("dog", math.nan)),
        ({"label": "", "confidence": 0.5}, (None, math.nan), (None, math.nan)),
        ({"label": 7}, (None, math.nan), (None, math.nan)),
        ({"label": "dog", "confidence": 75}, ("dog", math.nan), ("dog", math.nan)),
        (own, ("sky", 0.9), (None, math.nan)),
        # a person's correction: the confidence was the other name's
        ({**own, "label": "dog"}, ("dog", math.nan), ("dog", math.nan)),
        ({**own, "source_name": "dog", "source_score": 0.25}, ("sky", 0.9), ("dog", 0.25)),
        ({**own, "source_name": "sky", "source_score": 0.25}, ("sky", 0.25), ("sky", 0.25)),
        ({**own, "label": "dog", "source_name": "dog", "source_score": 0.25}, ("dog", 0.25), ("dog", 0.25)),
    ]
    for attributes, expected, in_place in cases:
        detection = _detection(mask=ONES, **attributes)
        from_object = [] if attributes["label"] == 7 else [fo.Detection.from_dict(detection)]
        for label in (detection, *from_object):
            np.testing.assert_equal(given_name(label), expected)
            np.testing.assert_equal(given_name(label, in_place=True), in_place)
    label = {"detections": [_detection(mask=ONES, **attributes) for attributes, _, _ in cases]}
    masks = mask_set_from_detections(label, HW, with_names=True)
    assert masks.source_names == tuple(expected[0] for _, expected, _ in cases)
    assert masks[[0]].source_scores.tolist() == [0.75]
    assert mask_set_from_detections(label, HW).source_names == (None,) * len(cases)
    assert MaskSet.merge([masks, masks]).source_names == masks.source_names * 2


@pytest.mark.parametrize(
    ("names", "scores", "expected"),
    [
        (["car", "van"], [0.75, 0.25], {"car": 0.75, "van": 0.25}),
        (["car", "van"], [0.75], {"car": 0.75, "van": math.nan}),
        (["car"], [0.75, 0.25], {"car": 0.75}),
        (["car", "van"], [math.inf, "high"], {"car": math.nan, "van": math.nan}),
        (["car", "van"], None, {"car": math.nan, "van": math.nan}),
        (["car", "van"], 0.75, {"car": math.nan, "van": math.nan}),
        ([None, "van"], [0.75, 0.25], {"van": 0.25}),
        ("car", [0.75, 0.25, 0.0], {}),
        (None, [0.75], {}),
    ],
)
def test_proposals_keep_their_names_whatever_became_of_scores(
    names: Any, scores: Any, expected: dict[str, float]
) -> None:
    detection = _detection(mask=ONES, class_proposals=names, proposal_scores=scores)
    for label in (detection, fo.Detection.from_dict(detection)):
        found = stored_proposals(label)
        np.testing.assert_equal(dict(zip(found.names, found.scores, strict=True)), expected)
        known = stored_proposals(label, scored=True)
        assert dict(zip(known.names, known.scores, strict=True)) == {
            name: score for name, score in expected.items() if not math.isnan(score)
        }
