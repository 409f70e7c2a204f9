"""Exported masks come back bit for bit, through pycocotools and through FiftyOne's own importer."""

import json

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.coco import export_coco
from fiftyone_ssa.exports.marker import MARKER
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.labels.documents import mask_set_from_detections, masks_document
from fiftyone_ssa.masks import rle

SIZE = (30, 41)


@pytest.fixture
def dataset():
    dataset = fo.Dataset()
    yield dataset
    dataset.delete()


def blobs(seed, count=6):
    """Rectangles, diagonals and single pixels, some at the borders."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, *SIZE), bool)
    for index, mask in enumerate(masks):
        y, x = rng.integers(0, SIZE[0] - 5), rng.integers(0, SIZE[1] - 5)
        mask[y : y + 1 + index * 3, x : x + 1 + index * 4] = rng.random((1 + index * 3, 1 + index * 4))[
            : SIZE[0] - y, : SIZE[1] - x
        ] < (1 if index < 2 else 0.6)
        mask[y, x] = True
    masks[-1] = True
    return masks


def add(dataset, path, masks, labels, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", masks.shape[:0:-1]).save(path)
    mask_set = rle.mask_set(masks.shape[1:], [rle.encode(mask) for mask in masks], source_ids=range(len(masks)))
    document = masks_document(mask_set, path.parent, {"label": labels, **columns})
    dataset.add_sample(fo.Sample(filepath=str(path), ssa=fo.Detections.from_dict(document)))


@pytest.fixture
def labelled(dataset, tmp_path):
    """Two images of one name in two folders; each mask named by its index."""
    masks = [blobs(0), blobs(1)]
    names = ["tree", "bed", "tree", "sky", None, "bed"]
    for number, folder in enumerate(("zürich 1", "b")):
        scores = [0.5 + i / 100 for i in range(6)]
        proposals = [[name, "other"] if name else [] for name in names]
        add(
            dataset, tmp_path / "in" / folder / "a photo é.png", masks[number], names,
            confidence=scores, class_proposals=proposals,
        )  # fmt: skip
    return dataset, masks, names


def contents(folder):
    """Every file and link below a folder, with what it holds."""
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def dense(annotation):
    return coco_mask.decode(annotation["segmentation"]).astype(bool)


@pytest.mark.parametrize("media", ["copy", "symlink", "none"])
def test_pycocotools_reads_every_mask_bit_for_bit(labelled, tmp_path, media):
    dataset, masks, names = labelled
    summary = export_coco(dataset, tmp_path / "out", export_media=media)
    assert (summary.images, summary.annotations, summary.unlabelled, summary.errors) == (2, 10, 2, {})
    coco = COCO(summary.labels_path)
    found = [coco.loadAnns(coco.getAnnIds(imgIds=[image])) for image in sorted(coco.imgs)]
    categories = {c["id"]: c["name"] for c in coco.dataset["categories"]}
    for annotations, image_masks in zip(found, masks, strict=True):
        for annotation, index in zip(annotations, (0, 1, 2, 3, 5), strict=True):
            mask = image_masks[index]
            np.testing.assert_array_equal(dense(annotation), mask)
            ys, xs = np.nonzero(mask)
            box = [xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1]
            assert annotation["bbox"] == box == coco_mask.toBbox(annotation["segmentation"]).tolist()
            assert annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0
            assert categories[annotation["category_id"]] == names[index]
            assert annotation["score"] == 0.5 + index / 100
            assert annotation["class_proposals"] == [names[index], "other"]
            assert annotation["sa1b_id"] == index
    names = [image["file_name"] for image in coco.dataset["images"]]
    assert names == ["zürich 1/a photo é.png", "b/a photo é.png"]
    for name in names:
        path = summary.images_dir / name
        assert path.read_bytes() == (tmp_path / "in" / name).read_bytes()
        assert path.is_symlink() == (media == "symlink")
    pictures = [] if media == "none" else ["data"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        MARKER, "categories.json", *pictures, "labels.json"
    ]  # fmt: skip


def test_fiftyone_imports_every_mask_bit_for_bit(labelled, tmp_path):
    dataset, masks, _ = labelled
    summary = export_coco(dataset, tmp_path / "out")
    again = fo.Dataset.from_dir(
        dataset_type=fo.types.COCODetectionDataset,
        data_path=str(summary.images_dir),
        labels_path=str(summary.labels_path),
        label_types="segmentations",
        label_field="ssa",
    )
    try:
        for sample, image_masks in zip(again.sort_by("filepath", reverse=True), masks, strict=True):
            back = mask_set_from_detections(sample["ssa"], SIZE)
            np.testing.assert_array_equal([rle.decode(code, SIZE) for code in back.rles], image_masks[[0, 1, 2, 3, 5]])
            first = sample["ssa"].detections[0]
            assert (first.label, first.confidence, first["class_proposals"]) == ("tree", 0.5, ["tree", "other"])
        assert again.count_values("ssa.detections.label") == {"tree": 4, "bed": 4, "sky": 2}
    finally:
        again.delete()


def test_real_masks_come_back_bit_for_bit(dataset, parity, tmp_path):
    photo = parity / "inputs/chelsea.png"
    size_hw = Image.open(photo).size[::-1]
    mask_set = read_masks(photo.with_suffix(".json"), size_hw)
    document = masks_document(mask_set, tmp_path, {"label": ["cat"] * len(mask_set)})
    dataset.add_sample(fo.Sample(filepath=str(photo), ssa=fo.Detections.from_dict(document)))
    content = json.loads(export_coco(dataset, tmp_path / "out", export_media="none").labels_path.read_text())
    assert [a["segmentation"]["counts"].encode() for a in content["annotations"]] == list(mask_set.rles)
    assert [a["area"] for a in content["annotations"]] == mask_set.areas_px.tolist()


def test_category_ids_do_not_depend_on_the_view(labelled, tmp_path):
    dataset, _, _ = labelled
    everything = json.loads(export_coco(dataset, tmp_path / "all", export_media="none").labels_path.read_text())
    view = dataset.filter_labels("ssa", F("label") == "sky")
    summary = export_coco(view, tmp_path / "sky", export_media="none")
    only_sky = json.loads(summary.labels_path.read_text())
    assert everything["categories"] == only_sky["categories"]
    assert [c["name"] for c in only_sky["categories"]] == ["bed", "sky", "tree"]
    assert {a["category_id"] for a in only_sky["annotations"]} == {2}
    assert summary.annotations == 2


def test_category_ids_follow_the_class_ids_where_there_are_some(labelled, tmp_path):
    dataset, _, _ = labelled
    dataset.mask_targets = {"ssa_semantic": {1: "sky", 2: "floor", 3: "bed"}}
    content = json.loads(export_coco(dataset, tmp_path / "a", export_media="none").labels_path.read_text())
    assert {c["name"]: c["id"] for c in content["categories"]} == {"sky": 1, "floor": 2, "bed": 3, "tree": 4}
    content = json.loads(
        export_coco(dataset, tmp_path / "b", export_media="none", classes=["tree"]).labels_path.read_text()
    )
    assert {c["name"]: c["id"] for c in content["categories"]} == {"tree": 1, "bed": 2, "sky": 3}


def test_a_bad_image_is_named_and_the_others_are_written(labelled, tmp_path):
    dataset, _, _ = labelled
    first = dataset.first()
    first_path = first.filepath
    (tmp_path / "in/zürich 1/a photo é.png").write_bytes(b"")
    dataset.add_sample(fo.Sample(filepath=str(tmp_path / "in/none.png"), metadata=fo.ImageMetadata(width=2, height=2)))
    summary = export_coco(dataset, tmp_path / "out")
    assert (summary.images, summary.annotations) == (1, 5)
    assert set(summary.errors) == {first_path, str(tmp_path / "in/none.png")}
    assert "2 images FAILED" in str(summary)
    assert len(COCO(summary.labels_path).imgs) == 1


def test_boxes_and_values_that_json_does_not_know(dataset, tmp_path):
    add(dataset, tmp_path / "a.png", blobs(0, 1), ["tree"])
    sample = dataset.first()
    sample["ssa"].detections[0]["note"] = {"weight": float("nan"), "when": [1.5, None]}
    sample["ssa"].detections.append(fo.Detection(label="tree", bounding_box=[0, 0, 1, 1]))
    sample.save()
    dataset.add_sample(fo.Sample(filepath=str(tmp_path / "a.png")))
    summary = export_coco(dataset, tmp_path / "out", export_media="none")
    (annotation,) = json.loads(summary.labels_path.read_text())["annotations"]
    assert annotation["note"] == {"weight": None, "when": [1.5, None]}
    assert (summary.images, summary.without_mask) == (2, 1)


def test_an_export_that_is_cut_off_leaves_the_folder_as_it_was(labelled, tmp_path):
    dataset, _, _ = labelled
    export_coco(dataset, tmp_path / "out")
    before = contents(tmp_path / "out")

    def stop(progress_bar):
        if progress_bar.iteration:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_coco(dataset, tmp_path / "out", overwrite=True, progress=fo.report_progress(stop, n=1))
    assert contents(tmp_path / "out") == before
    with pytest.raises(KeyboardInterrupt):
        export_coco(dataset, tmp_path / "new", progress=fo.report_progress(stop, n=1))
    assert not (tmp_path / "new").exists()


def test_bad_arguments_are_told(labelled, tmp_path):
    dataset, _, _ = labelled
    with pytest.raises(InputError, match=r"'sam' is no Detections field of .*; it has ssa"):
        export_coco(dataset, tmp_path / "out", label_field="sam")
    with pytest.raises(InputError, match='export_media must be True or "copy", "symlink"'):
        export_coco(dataset, tmp_path / "out", export_media="move")
    summary = export_coco(dataset, tmp_path / "out", rel_dir=tmp_path / "in/b")
    assert [reason.endswith("choose a folder above all images") for reason in summary.errors.values()] == [True]
    assert not (tmp_path / "out").exists() or summary.images == 1
