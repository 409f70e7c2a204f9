"""Reading mask files, and the record written of each image."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.sa1b_json import annotation_record, read_masks
from fiftyone_ssa.masks.rle import decode, encode, mask_set
from fiftyone_ssa.masks.runs import runs_of
from fiftyone_ssa.types import Annotation, MaskSet, Proposals, SemanticMap, Votes


def _square(height: int = 4, width: int = 5) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[1:3, 2:4] = True
    return mask


def _write(path: Path, *segmentations: Any, **keys: Any) -> Path:
    path.write_text(json.dumps({"annotations": [{"segmentation": s, **keys} for s in segmentations]}))
    return path


def test_released_sa1b_annotations(shared: Path) -> None:
    masks = read_masks(shared / "data/sa1b/sa_226381.json", (1500, 2000))
    assert len(masks) == 19
    assert masks.source_ids[0] == 333521560
    assert masks.areas_px[0] == masks.records[0]["area"] == 6206
    assert masks.source_boxes_xywh[0].tolist() == [861.0, 525.0, 71.0, 149.0]
    assert masks.boxes_xywh[0].tolist() == [861, 525, 72, 150]
    assert masks.points_xy[0].tolist() == [911.75, 629.9375]
    assert masks.crop_boxes_xywh[0].tolist() == [436.0, 311.0, 692.0, 567.0]
    assert "segmentation" not in masks.records[0]


def test_every_way_to_write_a_segmentation(tmp_path: Path) -> None:
    mask = _square()
    compressed = {"size": [4, 5], "counts": encode(mask).decode()}
    lengths = {"size": [4, 5], "counts": [9, 2, 2, 2, 5]}
    polygon = [2, 1, 4, 1, 4, 3, 2, 3]
    path = _write(
        tmp_path / "m.json", compressed, lengths, [polygon], polygon, mask.tolist(), mask.astype(int).tolist()
    )
    masks = read_masks(path, (4, 5))
    assert len(masks) == 6
    for code in masks.rles:
        np.testing.assert_array_equal(decode(code, (4, 5)), mask)
    assert np.isnan(masks.predicted_iou).all()
    assert masks.source_boxes_xywh.tolist() == [[2, 1, 1, 1]] * 6  # as SAM states a box: w = xmax - xmin


def test_codes_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = read_masks(_write(tmp_path / "m.json", {"size": [4, 5], "counts": [9, 2, 2, 2, 5]}), (4, 5))
    monkeypatch.delattr("fiftyone_ssa.masks.runs.read_runs")
    assert runs_of(masks)[0][0].tolist() == [9, 13]


def test_no_masks_is_an_answer(tmp_path: Path) -> None:
    assert len(read_masks(_write(tmp_path / "none.json"), (4, 5))) == 0


def test_null_scores_are_unknown(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "m.json", {"size": [4, 5], "counts": [20]}, predicted_iou=None, point_coords=[], bbox=[1, 2, 3, 4]
    )
    masks = read_masks(path, (4, 5))
    assert math.isnan(masks.predicted_iou[0])
    assert np.isnan(masks.points_xy).all()
    assert masks.source_boxes_xywh.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1]", "must hold a JSON object, got a list"),
        (b'{"image": {}}', r'has no "annotations" list.*\[\'image\'\]'),
        (b'{"annotations": {}}', 'has no "annotations" list'),
        (b'{"annotations": [7]}', "annotation 0: it must be an object, got 7"),
        (b'{"annotations": [{"segmentation": {"size": [4, 5]}}]}', "annotation 0: its segmentation is no mask"),
        (b'{"annotations": [{"segmentation": {"size": [5, 4], "counts": "d0"}}]}', r"size \[5, 4\] but .* \[4, 5\]"),
        (b'{"annotations": [{"segmentation": {"size": [4, 5], "counts": "d1"}}]}', "hold 52 pixels"),
        (b'{"annotations": [{"segmentation": {"size": [4, 5], "counts": "\xc3\xa9"}}]}', "damaged"),
        (
            b'{"annotations": [{"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}]}',
            "annotation 0: a polygon lies far outside",
        ),
        (b'{"annotations": [{"segmentation": {"size": [4, 5], "counts": [20]}, "bbox": [1]}]}', "bbox must be 4"),
        (b'{"annotations": [{"segmentation": [[0, 0, 4, 0, 4, 4]], "bbox": [0, 0, -1, 1]}]}', "neither side negative"),
        (b'{"annotations": [{"segmentation": [[0, 0, 4, 0, 4, 4]], "bbox": [1, 1, NaN, 1]}]}', "bbox must be"),
        (
            b'{"annotations": [{"segmentation": [[0, 0, 4, 0, 4, 4]], "crop_box": [1e308, 0, 1, 1]}]}',
            "crop_box must be",
        ),
        (
            b'{"annotations": [{"segmentation": {"size": [4, 5], "counts": [20]}, "predicted_iou": "0.9"}]}',
            "predicted_iou must be 1",
        ),
    ],
)
def test_a_bad_mask_file_is_one_sentence_naming_it(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_masks(path, (4, 5))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_thousand_masks_and_one_over_the_whole_image(tmp_path: Path) -> None:
    lengths = [{"size": [100, 200], "counts": [10 * i, 10, 20_000 - 10 * i - 10]} for i in range(1999)]
    masks = read_masks(_write(tmp_path / "m.json", *lengths, {"size": [100, 200], "counts": [0, 20_000]}), (100, 200))
    assert masks.areas_px.tolist() == [10] * 1999 + [20_000]
    assert masks.boxes_xywh[-1].tolist() == [0, 0, 200, 100]


def _annotation(masks: MaskSet, *, semantic: SemanticMap | None) -> Annotation:
    count = len(masks)
    ids = np.full(count, 1)
    ssa = semantic is not None
    return Annotation(
        masks=masks,
        labels=(None,) + ("sky",) * (count - 1),
        confidences=np.array([np.nan] + [0.5] * (count - 1)),
        proposals=(Proposals(),) + (Proposals(("sky", "sea"), (0.5, 0.25)),) * (count - 1),
        votes=Votes(ids, np.full(count, 0.5), np.full(count, 0.25), np.full(count, 0.7)) if ssa else None,
        semantic=semantic,
        captions=() if ssa else ("a sky",) * count,
        label_sources=() if ssa else (None,) + ("coco",) * (count - 1),
    )


def test_record_of_ssa_is_sorted_by_area_and_keeps_the_sources_keys() -> None:
    whole = np.ones((4, 5), bool)
    masks = mask_set(
        (4, 5),
        [encode(_square()), encode(whole)],
        records=[{"id": 7, "mine": [1, float("nan")]}, {"id": 8, "area": 20}],
    )
    ids = np.array([[0] * 5, [1] * 5, [255] * 5, [1] * 5], np.uint8)
    record = json.loads(json.dumps(annotation_record(_annotation(masks, semantic=SemanticMap(ids, ("a", "sky"))))))
    assert list(record) == ["annotations", "classes", "semantic_mask"]
    assert record["classes"] == ["a", "sky"]
    assert record["annotations"] == [
        {
            "id": 8,
            "area": 20,
            "segmentation": {"size": [4, 5], "counts": encode(whole).decode()},
            "class_name": "sky",
            "class_proposals": ["sky"],
            "proposal_scores": [0.5],
            "confidence": 0.5,
            "vote_share": 0.5,
            "vote_margin": 0.25,
            "vote_entropy": 0.7,
        },
        {
            "id": 7,
            "mine": [1, None],
            "segmentation": {"size": [4, 5], "counts": encode(_square()).decode()},
            "class_name": None,
            "class_proposals": [],
            "proposal_scores": [],
            "confidence": None,
            "vote_share": 0.5,
            "vote_margin": 0.25,
            "vote_entropy": 0.7,
        },
    ]
    assert set(record["semantic_mask"]) == {"0", "1"}
    for class_id, code in record["semantic_mask"].items():
        np.testing.assert_array_equal(coco.decode(code), ids == int(class_id))


def test_record_of_the_engine_keeps_the_sources_order_and_header() -> None:
    masks = mask_set(
        (4, 5),
        [encode(_square()), encode(np.ones((4, 5), bool))],
        predicted_iou=[0.9, np.nan],
        points_xy=[[1.5, 2], [np.nan, np.nan]],
    )
    record = annotation_record(_annotation(masks, semantic=None), {"image_id": 3})
    assert record["image"] == {"image_id": 3}
    assert "semantic_mask" not in record
    first, second = record["annotations"]
    assert first["bbox"] == [2, 1, 1, 1]
    assert (first["area"], first["predicted_iou"], first["point_coords"]) == (4, 0.9, [[1.5, 2.0]])
    assert (second["caption"], second["label_source"]) == ("a sky", "coco")
    assert {"predicted_iou", "point_coords", "crop_box", "id"} & set(second) == set()
    json.dumps(record, allow_nan=False)


def test_records_have_the_published_layout(parity: Path) -> None:
    source = json.loads((parity / "inputs/coffee.json").read_text())
    published = json.loads((parity / "expected/ssa-ade20k/coffee_semantic.json").read_text())
    size_hw = (source["image"]["height"], source["image"]["width"])
    masks = read_masks(parity / "inputs/coffee.json", size_hw)
    record = annotation_record(_annotation(masks, semantic=SemanticMap(np.zeros(size_hw, np.uint8), ("a", "b"))))
    assert [row["id"] for row in record["annotations"]] == [row["id"] for row in published["annotations"]]
    for ours, theirs in zip(record["annotations"], published["annotations"], strict=True):
        assert theirs.keys() <= ours.keys()
        assert all(ours[key] == theirs[key] for key in theirs if not key.startswith("class_"))


def test_names_in_a_mask_file(tmp_path: Path) -> None:
    """Read where that is asked for, and written beside ours."""
    code = {"size": [4, 5], "counts": encode(_square()).decode()}
    rows = [
        {"class_name": "dog", "confidence": 0.5},
        {"category_name": " cat ", "score": 2, "class_name": None},
        {"label": 7},
    ]
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"annotations": [{"segmentation": code, **row} for row in rows]}))
    assert read_masks(path, (4, 5)).source_names == (None,) * 3
    masks = read_masks(path, (4, 5), with_names=True)
    assert masks.source_names == ("dog", "cat", None)
    np.testing.assert_equal(masks.source_scores, [0.5, math.nan, math.nan])
    annotation = Annotation(masks, ("sky",) * 3, np.ones(3), (Proposals(("sky",), (1.0,)),) * 3)
    written = annotation_record(annotation)["annotations"]
    assert [row.get("source_name") for row in written] == ["dog", "cat", None]
    assert [row.get("source_score") for row in written] == [0.5, None, None]
    assert [row["class_name"] for row in written] == ["sky"] * 3


@pytest.mark.parametrize("ids", [(7, 9), (None, None), (4, 4)])
def test_levels_name_masks_by_their_ids_or_places(ids: tuple[Any, ...]) -> None:
    masks = mask_set((4, 5), [encode(_square()), encode(np.ones((4, 5), bool))], source_ids=ids)
    semantic = SemanticMap(np.zeros((4, 5), np.uint8), ("a", "sky"))
    plain = annotation_record(_annotation(masks, semantic=semantic))["annotations"]
    assert not {"level", "parent", "duplicate_of"} & set().union(*plain)
    whole, part = annotation_record(_annotation(masks, semantic=semantic), levels=True)["annotations"]
    assert (whole["level"], whole["parent"]) == ("whole", None)
    assert (part["level"], part["parent"], part["duplicate_of"]) == ("part", 9 if ids == (7, 9) else 0, None)
