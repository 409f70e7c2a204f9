from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import bson
import fiftyone as fo
import fiftyone.core.utils as fou
import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.labels import documents as labels
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Annotation, MaskSet, Proposals, SemanticMap, Votes


def random_masks(rng: np.random.Generator, size_hw: tuple[int, int], count: int) -> list[np.ndarray]:
    masks = []
    for _ in range(count):
        dense = np.zeros(size_hw, bool)
        ys, xs = (sorted(rng.integers(0, n, 2)) for n in size_hw)
        box = dense[ys[0] : ys[1] + 1, xs[0] : xs[1] + 1]
        box[:] = rng.random(box.shape) < rng.choice([0.05, 0.5, 1.0])
        masks.append(dense)
    return masks


def annotation_of(masks: MaskSet, **changes: object) -> Annotation:
    count = len(masks)
    named = masks.areas_px > 0
    return Annotation(
        masks=masks,
        labels=tuple("sky" if n else None for n in named),
        confidences=np.where(named, 0.75, np.nan),
        proposals=tuple(Proposals(("sky", "sea"), (0.75, 0.25)) if n else Proposals() for n in named),
        votes=Votes(np.zeros(count, np.int64), np.full(count, 0.75), np.full(count, 0.5), np.full(count, 0.56)),
        **changes,
    )


def through_database(document: labels.Document, dataset: fo.Dataset) -> fo.Detections:
    labels.declare_detections(dataset, "ssa", labels.SSA_ATTRIBUTES)
    dataset.add_sample(fo.Sample(filepath="/nowhere/image.png"))
    dataset._sample_collection.update_one({}, {"$set": {"ssa": document}})
    return dataset.values("ssa")[0]


@pytest.fixture
def dataset() -> fo.Dataset:
    return fo.Dataset()


def test_every_mask_comes_back_pixel_for_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    sizes = [(1, 1), (1, 50), (50, 1), (427, 640), (1500, 2250), (33, 2000), *rng.integers(1, 90, (200, 2)).tolist()]
    for height, width in sizes:
        dense = [
            *random_masks(rng, (height, width), 4),
            np.ones((height, width), bool),
            np.zeros((height, width), bool),
        ]
        masks = rle.mask_set((height, width), [rle.encode(mask) for mask in dense])
        label = fo.Detections.from_dict(labels.masks_document(masks, tmp_path))
        back = labels.mask_set_from_detections(label, (height, width))
        assert back.rles == masks.rles
        for detection, mask in zip(label.detections, dense, strict=True):
            if mask.any():  # FiftyOne's own renderer floors the box and resizes the mask to it
                rendered = detection.to_segmentation(frame_size=(width, height), target=1).mask
                np.testing.assert_array_equal(rendered == 1, mask)


def test_codes_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(3)
    for height, width in [(1, 1), (1, 7), (9, 1), (13, 21), (64, 64)]:
        for mask in [*random_masks(rng, (height, width), 12), np.ones((height, width), bool)]:
            code = coco.encode(np.asfortranarray(mask.view(np.uint8)))["counts"]
            x, y, w, h = rle.mask_set((height, width), [code]).boxes_xywh[0].tolist()
            crop = rle.decode_crop(code, (height, width), (x, y, x + w, y + h))
            np.testing.assert_array_equal(crop, mask[y : y + h, x : x + w])
            assert rle.encode_crop(crop, (x, y), (height, width)) == code
            assert rle.encode_crop(mask, (0, 0), (height, width)) == code


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (1000, 1), (1500, 2250), (123456, 1)])
def test_a_packed_mask_is_what_fiftyone_reads(shape: tuple[int, int]) -> None:
    crop = np.random.default_rng(0).random(shape) < 0.01
    saved = io.BytesIO()
    np.save(saved, crop)
    assert zlib.decompress(labels.pack(crop)) == saved.getvalue()
    np.testing.assert_array_equal(fou.deserialize_numpy_array(labels.pack(crop)), crop)


def test_document_is_what_fiftyone_itself_would_store(tmp_path: Path) -> None:
    masks = rle.mask_set((3, 4), [rle.encode(np.eye(3, 4, dtype=bool))], predicted_iou=[0.9], source_ids=[5])
    stored = labels.annotation_document(annotation_of(masks), tmp_path)
    own = fo.Detections(
        detections=[
            fo.Detection(
                label="sky",
                confidence=0.75,
                bounding_box=[1e-4 / 4, 1e-4 / 3, 3 / 4, 3 / 3],
                mask=np.eye(3, dtype=bool),
                class_proposals=["sky", "sea"],
                proposal_scores=[0.75, 0.25],
                vote_share=0.75,
                vote_margin=0.5,
                vote_entropy=0.56,
                predicted_iou=0.9,
                area=3,
                sa1b_id=5,
                source_box=[0.0, 0.0, 2.0, 2.0],
            )
        ]
    ).to_dict()
    (ours,), (theirs,) = stored.pop("detections"), own.pop("detections")
    assert stored == own
    assert isinstance(ours.pop("_id"), type(theirs.pop("_id")))
    assert (ours.pop("class_name"), len(ours.pop("mask_digest"))) == ("sky", 16)
    assert zlib.decompress(ours.pop("mask")) == zlib.decompress(theirs.pop("mask"))
    assert ours == theirs


def test_labels_keep_their_place_and_filter_by_every_attribute(dataset: fo.Dataset, tmp_path: Path) -> None:
    dense = np.zeros((3, 20, 30), bool)
    dense[0, 2:5, 3:9] = dense[2, 10:, 10:] = True
    masks = rle.mask_set(
        (20, 30),
        [rle.encode(mask) for mask in dense],
        predicted_iou=[0.9, np.nan, 0.7],
        stability_score=[0.95, np.nan, 0.8],
        points_xy=[(4, 3), (np.nan, np.nan), (11, 11)],
        crop_boxes_xywh=[(0, 0, 30, 20)] * 3,
        source_ids=[11, None, 13],
    )
    back = through_database(labels.annotation_document(annotation_of(masks), tmp_path), dataset)
    assert [d.label for d in back.detections] == ["sky", None, "sky"]
    assert back.detections[1].confidence is None
    assert dataset.count_values("ssa.detections.class_proposals") == {"sky": 2, "sea": 2}
    assert dataset.bounds("ssa.detections.area") == (0, 200)
    assert dataset.distinct("ssa.detections.sa1b_id") == [11, 13]
    assert dataset.filter_labels("ssa", fo.ViewField("predicted_iou") > 0.8).count("ssa.detections") == 1
    schema = dataset.get_field_schema(flat=True)
    assert {f"ssa.detections.{name}" for name in labels.SSA_ATTRIBUTES} <= schema.keys()
    for name in labels.SSA_ATTRIBUTES:
        dataset.count_values(f"ssa.detections.{name}")


@pytest.mark.parametrize("stem", ["chelsea", "coffee", "rocket"])
def test_database_gives_the_same_masks_as_the_json(
    parity: Path, tmp_path: Path, stem: str, dataset: fo.Dataset
) -> None:
    content = json.loads((parity / "inputs" / f"{stem}.json").read_text())
    size = (content["image"]["height"], content["image"]["width"])
    masks = read_masks(parity / "inputs" / f"{stem}.json", size)
    back = labels.mask_set_from_detections(through_database(labels.masks_document(masks, tmp_path), dataset), size)
    assert back.rles == masks.rles
    assert back.source_ids == masks.source_ids
    for name in ("boxes_xywh", "areas_px", "source_boxes_xywh", "predicted_iou", "stability_score", "points_xy"):
        np.testing.assert_array_equal(getattr(back, name), getattr(masks, name))
    np.testing.assert_array_equal(back.crop_boxes_xywh, masks.crop_boxes_xywh)


def test_two_thousand_masks_fit_one_document(tmp_path: Path, dataset: fo.Dataset) -> None:
    rng = np.random.default_rng(0)
    size = (120, 160)
    masks = rle.mask_set(size, [rle.encode(mask) for mask in random_masks(rng, size, 100)] * 20)
    document = labels.annotation_document(annotation_of(masks), tmp_path)
    assert len(bson.encode(document)) < 16_000_000
    assert labels.mask_set_from_detections(through_database(document, dataset), size).rles == masks.rles


def test_masks_too_large_for_the_database_lie_beside_it(
    tmp_path: Path, dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MAX_INLINE_BYTES", 200)
    size = (40, 50)
    masks = rle.mask_set(size, [rle.encode(mask) for mask in random_masks(np.random.default_rng(1), size, 9)])
    document = labels.annotation_document(annotation_of(masks), tmp_path / "deep" / "masks")
    assert sorted(path.name for path in (tmp_path / "deep" / "masks").iterdir()) == [f"{i}.png" for i in range(9)]
    back = through_database(document, dataset)
    assert back.detections[0].mask is None
    assert labels.mask_set_from_detections(back, size).rles == masks.rles
    (tmp_path / "deep" / "masks" / "3.png").unlink()
    with pytest.raises(InputError, match=r"detection 3: .*3\.png cannot be read: No such file"):
        labels.mask_set_from_detections(back, size)


@pytest.mark.parametrize(("classes", "dtype"), [(3, np.uint8), (254, np.uint8), (255, np.uint16), (300, np.uint16)])
def test_class_map_comes_back_from_its_png(tmp_path: Path, classes: int, dtype: type) -> None:
    names = tuple(f"class {i}" for i in range(classes))
    ids = np.array([[0, classes - 1], [1, 2]], np.uint8 if classes <= 255 else np.uint16)
    ids[1, 1] = np.iinfo(ids.dtype).max
    label = fo.Segmentation.from_dict(
        labels.segmentation_document(SemanticMap(ids, names), tmp_path / "a folder" / "ü.png")
    )
    values = label.get_mask()
    assert values.dtype == dtype
    assert values.tolist() == [[1, classes], [2, 0]]
    assert np.asarray(PIL.Image.open(label.mask_path)).tolist() == values.tolist()
    back = labels.semantic_map(values, labels.mask_targets(names))
    assert back.names == names
    np.testing.assert_array_equal(back.ids, ids)
    assert [path.name for path in (tmp_path / "a folder").iterdir()] == ["ü.png"]


def test_class_map_of_a_foreign_field() -> None:
    values = np.array([[0, 7], [26, 255]])
    found = labels.semantic_map(values, {26: "car", 7: "road"})
    assert found.names == ("road", "car")
    assert found.ids.tolist() == [[255, 0], [1, 255]]
    assert labels.semantic_map(values[:1], {0: "wall", 7: "road"}).ids.tolist() == [[0, 1]]
    twice = labels.semantic_map(np.array([[1, 2], [3, 0]]), {1: "cat", 2: "wall", 3: "cat"})
    assert (twice.names, twice.ids.tolist()) == (("cat", "wall"), [[0, 1], [0, 255]])  # one name, one class
    with pytest.raises(InputError, match=r"pixel values \[7, 26\] have no name"):
        labels.semantic_map(values, {1: "car"})
    with pytest.raises(InputError, match="mask targets"):
        labels.semantic_map(values, {})
    with pytest.raises(InputError, match="got \\(2, 2, 3\\)"):
        labels.semantic_map(np.zeros((2, 2, 3), np.uint8), {1: "car"})


def test_a_field_of_another_type_is_refused(dataset: fo.Dataset) -> None:
    dataset.add_sample_field("ssa", fo.StringField)
    with pytest.raises(InputError, match="'ssa' exists and is not Detections"):
        labels.declare_detections(dataset, "ssa", labels.SSA_ATTRIBUTES)
    dataset.add_sample_field("other", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    dataset.add_sample_field("other.detections.area", fo.StringField)
    with pytest.raises(InputError, match=r"an attribute of .other. exists with another type.*area"):
        labels.declare_detections(dataset, "other", labels.SSA_ATTRIBUTES)
