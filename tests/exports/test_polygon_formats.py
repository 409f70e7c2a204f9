"""YOLO, Cityscapes and labelme: what is written is what a reader fills, and the loss report says the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.exports.formats import FORMATS as EVERY
from fiftyone_ssa.exports.formats import reader_of
from fiftyone_ssa.masks import rle
from tests.exports.odd_dataset import by_class, ious, masks_of, odd_dataset

FORMATS = ("yolo", "cityscapes-polygons", "labelme", "label-studio", "cvat")
BY_NAME = ("yolo", "ssa-json", "sa1b-json")
"""Formats that find a picture by the name of its file of labels."""
CITY = ("car", "person", "road", "traffic light")


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    dataset = odd_dataset(tmp_path_factory.mktemp("odd"), many=40)
    yield dataset
    dataset.delete()


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    dataset = odd_dataset(tmp_path_factory.mktemp("city"), names=CITY)
    yield dataset
    dataset.delete()


def read(format, folder, data_dir=None):
    """Stem of a picture to the labels and codes that come back."""
    found = {}
    for image in reader_of(format)().read(folder, data_dir):
        assert not image.problem
        found[image.path.stem.removesuffix("_leftImg8bit")] = image
    return found


@pytest.mark.parametrize("options", [{"format": name} for name in FORMATS] + [
    {"format": "labelme", "shapes": "masks"},
    {"format": "cvat", "shapes": "polygons"},
    {"format": "label-studio", "results": "annotations"},
])  # fmt: skip
def test_what_comes_back_is_what_the_loss_report_says(odd, tmp_path, options):
    summary = export(odd, tmp_path / "out", **options)
    assert not summary.errors
    assert summary.annotations == sum(map(len, masks_of(odd).values()))
    back = read(options["format"], tmp_path / "out")
    rows = []
    for name, masks in masks_of(odd).items():
        image = back[Path(name).stem]
        if options["format"] == "cityscapes-polygons":  # larger masks first
            order = np.argsort(
                [-rle.mask_set(image.masks.size_hw, [code]).areas_px[0] for _, code, _ in masks], kind="stable"
            )
            masks = [masks[index] for index in order]
        assert image.labels == tuple(label for label, _, _ in masks)
        if options["format"] != "yolo":
            assert [entry["label_id"] for entry in image.attributes] == [identity for _, _, identity in masks]
        found = ious(image.masks.size_hw, [code for _, code, _ in masks], list(image.masks.rles))
        rows += zip(image.labels, found, strict=True)
    assert summary.loss.total.iou_mean == pytest.approx(np.mean([iou for _, iou in rows]), abs=1e-9)
    for name, found in by_class(rows).items():
        loss = summary.loss.classes[name]
        assert (loss.masks, loss.iou_min) == (len(found), pytest.approx(min(found), abs=1e-9))
    if options["format"] != "yolo":  # whose islands are joined by lines
        assert summary.loss.total.iou_min == 1


def test_two_thousand_masks_of_one_image_come_back_bit_for_bit(tmp_path):
    dataset = odd_dataset(tmp_path, many=2000, odd=False)
    ((_, rows),) = masks_of(dataset).items()
    for format in ("label-studio", "cvat"):
        export(dataset, tmp_path / format, format=format)
        (image,) = read(format, tmp_path / format).values()
        assert list(image.masks.rles) == [code for _, code, _ in rows]
    dataset.delete()


def test_supervision_reads_yolo_as_the_loss_report_says(odd, tmp_path):
    supervision = pytest.importorskip("supervision")
    flat = odd.match(ssa_field("filepath").ends_with("turned.jpg"))
    summary = export(flat, tmp_path / "out", format="yolo")
    found = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "out/images"), str(tmp_path / "out/labels"), str(tmp_path / "out/dataset.yaml"), force_masks=True
    )
    ((_, picture, detections),) = list(found)
    masks = masks_of(flat)["turned.jpg"]
    assert [found.classes[index] for index in detections.class_id] == [label for label, _, _ in masks]
    measured = ious(picture.shape[:2], [code for _, code, _ in masks], [rle.encode(mask) for mask in detections.mask])
    total = summary.loss.total
    assert (total.iou_mean, total.iou_min) == (pytest.approx(np.mean(measured)), pytest.approx(min(measured)))
    assert 0 < total.iou_min < 1
    assert np.mean(np.array(measured) == 1) > 0.4


def ssa_field(name):
    from fiftyone import ViewField

    return ViewField(name)


def test_points_cut_instead_of_rounded_are_the_same_pixels(odd, tmp_path):
    """Ultralytics cuts coordinates to whole numbers before it fills them."""
    import cv2

    export(odd, tmp_path / "out", format="yolo")
    image = read("yolo", tmp_path / "out")["turned"]
    height, width = image.masks.size_hw
    for line, code in zip((tmp_path / "out/labels/turned.txt").read_text().splitlines(), image.masks.rles, strict=True):
        points = np.array(line.split()[1:], np.float32).reshape(-1, 2) * np.array([width, height], np.float32)
        canvas = np.zeros((height, width), np.uint8)
        cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
        assert rle.encode(canvas > 0) == code


def test_fiftyone_imports_yolo_and_cvat(odd, tmp_path):
    import fiftyone as fo

    count = sum(map(len, masks_of(odd).values()))
    export(odd, tmp_path / "yolo", format="yolo", splits={"train": 0.5, "val": 0.5})
    dataset = fo.Dataset()
    for split in ("train", "val"):
        dataset.add_dir(
            str(tmp_path / "yolo"), fo.types.YOLOv5Dataset, split=split, label_type="polylines", label_field="y"
        )
    assert dataset.count("y.polylines") == count
    assert set(dataset.distinct("y.polylines.label")) == set(odd.distinct("ssa.detections.label"))
    dataset.delete()
    export(odd, tmp_path / "cvat", format="cvat", shapes="polygons")
    dataset = fo.Dataset.from_dir(
        str(tmp_path / "cvat"), fo.types.CVATImageDataset, labels_path="annotations.xml", label_field="c"
    )
    assert (
        dataset.count("c_polylines.polylines" if "c_polylines" in dataset.get_field_schema() else "c.polylines")
        >= count
    )
    dataset.delete()


def test_cityscapesscripts_paint_our_polygons(city, tmp_path):
    scripts = pytest.importorskip("cityscapesscripts.preparation.json2labelImg", reason="cityscapesscripts is absent")
    from cityscapesscripts.helpers.labels import name2label

    export(city, tmp_path / "out", format="cityscapes-polygons")
    files = sorted((tmp_path / "out").glob("gtFine/*/*/*_gtFine_polygons.json"))
    assert len(files) == 3
    for file in files:
        scripts.json2labelImg(str(file), str(tmp_path / "painted.png"))
        painted = np.asarray(Image.open(tmp_path / "painted.png"))
        rows = next(rows for name, rows in masks_of(city).items() if Path(name).stem in file.name)
        expected = np.zeros_like(painted)
        decoded = [(label, rle.decode(code, painted.shape)) for label, code, _ in rows]
        for label, mask in sorted(decoded, key=lambda row: -row[1].sum()):
            expected[mask] = name2label[label].id
        assert np.array_equal(painted, expected)


def test_labelmes_own_way_of_filling_gives_the_masks(odd, tmp_path):
    """As labelme.utils.shapes_to_label: Pillow, line and all, islands of a group united."""
    export(odd, tmp_path / "out", format="labelme")
    content = json.loads((tmp_path / "out/data/sub/plain.json").read_text())
    masks: dict[object, np.ndarray] = {}
    for index, shape in enumerate(content["shapes"]):
        image = Image.new("1", (content["imageWidth"], content["imageHeight"]))
        ImageDraw.Draw(image).polygon(xy=[tuple(point) for point in shape["points"]], outline=1, fill=1)
        key = ("group", shape["group_id"]) if shape["group_id"] is not None else index
        masks[key] = masks.get(key, False) | np.asarray(image)
    rows = masks_of(odd)["plain.png"]
    assert [rle.encode(mask) for mask in masks.values()] == [code for _, code, _ in rows]
    assert (tmp_path / "out/data/sub" / content["imagePath"]).is_file()


@pytest.mark.parametrize("format", FORMATS)
def test_splits_and_images_that_stay_where_they_are(city, tmp_path, format):
    if format == "yolo":
        with pytest.raises(InputError, match="needs the images in its folder"):
            export(city, tmp_path / "none", format=format, export_media=False)
    else:
        export(city, tmp_path / "none", format=format, export_media=False)
        found = list(reader_of(format)().read(tmp_path / "none"))
        assert {image.path for image in found} == set(map(Path, city.values("filepath")))
        assert not any(image.problem for image in found)
    export(city, tmp_path / "split", format=format, splits={"train": 2, "val": 1})
    found = list(reader_of(format)().read(tmp_path / "split"))
    assert len(found) == 3
    assert all(image.path.is_file() for image in found)
    assert sorted(image.split for image in found) == ["train", "train", "val"]
    if format != "yolo":
        export(city, tmp_path / "both", format=format, splits={"train": 2, "val": 1}, export_media=False)
        found = list(reader_of(format)().read(tmp_path / "both"))
        assert {image.path for image in found} == set(map(Path, city.values("filepath")))
        assert sorted(image.split for image in found) == ["train", "train", "val"]


@pytest.mark.parametrize("format", [name for name in EVERY if name not in BY_NAME])
def test_a_file_that_is_two_samples_stays_where_it_is_with_labels_for_each(make, tmp_path, format):
    dataset = make("a.png", "b.png", "a.png")
    export(dataset, tmp_path / "out", format=format, label_field="m", export_media=False)
    found = list(reader_of(format)().read(tmp_path / "out"))
    assert sorted(image.path.name for image in found) == ["a.png", "a.png", "b.png"]
    assert all(len(image.masks) == 1 and not image.problem for image in found)


def test_pictures_of_one_stem_get_labels_of_their_own(make, tmp_path):
    dataset = make("a.png", "a.bmp", "images/a.png")
    for format in ("yolo", "labelme", "cityscapes-polygons"):
        export(dataset, tmp_path / format, format=format, label_field="m")
        found = list(reader_of(format)().read(tmp_path / format))
        assert [len(image.masks) for image in found] == [1, 1, 1]
        assert len({image.path for image in found}) == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 0.1 0.2", "box or a polygon"),
        ("7 0.1 0.1 0.2 0.1 0.2 0.2", "a class of dataset.yaml"),
        ("0 nan 0.1 0.2 0.1 0.2 0.2", "box or a polygon"),
        ("0 1e9 0.1 0.2 0.1 0.2 0.2", "box or a polygon"),
        ("x y", "a class and numbers"),
    ],
)
def test_a_damaged_line_of_yolo_costs_its_image_only(make, tmp_path, line, told):
    export(make("a.png", "b.png"), tmp_path / "out", format="yolo", label_field="m")
    (tmp_path / "out/labels/a.txt").write_text(line)
    first, second = reader_of("yolo")().read(tmp_path / "out")
    assert told in first.problem
    assert second.masks.areas_px.tolist() == [600]


def test_boxes_and_scores_of_yolo_are_read(make, tmp_path):
    export(make("a.png"), tmp_path / "out", format="yolo", label_field="m")
    (tmp_path / "out/labels/a.txt").write_text("0 0.5 0.5 0.25 0.5 0.75\n0 0.1 0.1 0.2 0.1 0.2 0.2 0.5\n")
    (image,) = reader_of("yolo")().read(tmp_path / "out")
    assert [entry["confidence"] for entry in image.attributes] == [0.75, 0.5]
    assert image.masks.boxes_xywh[0].tolist() == [36, 16, 25, 33]


@pytest.mark.parametrize("format", ["yolo", "cityscapes-polygons", "labelme"])
def test_a_folder_without_labels_is_told(tmp_path, format):
    with pytest.raises(InputError, match="holds no"):
        list(reader_of(format)().read(tmp_path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"imageWidth": 3}, "are of an image of"),
        ({"shapes": [{"label": "x", "points": [[1, 2], [3]]}]}, "list of points"),
        ({"shapes": [{"label": "x", "points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "?"}]}, "PNG in base64"),
        ({"shapes": [{"label": "x", "points": [[1e12, 1]] * 3}]}, "far outside"),
        ({"imagePath": "../../../etc/passwd"}, "leads out of the folder"),
        ({"shapes": 3}, "list of shapes"),
    ],
)
def test_a_damaged_file_of_labelme_costs_its_image_only(make, tmp_path, change, told):
    export(make("a.png", "b.png"), tmp_path / "out", format="labelme", label_field="m")
    file = tmp_path / "out/data/a.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    first, second = reader_of("labelme")().read(tmp_path / "out")
    assert told in first.problem
    assert second.masks.areas_px.tolist() == [600]
