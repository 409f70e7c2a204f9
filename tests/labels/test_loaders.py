from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from pathlib import Path

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest

import fiftyone_ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.sa1b_json import read_masks
from fiftyone_ssa.labels import documents as labels
from fiftyone_ssa.labels.annotate import annotate
from fiftyone_ssa.labels.loaders import ADE20KDataset, CityscapesDataset, FoggyDrivingDataset, SA1BDataset
from fiftyone_ssa.layouts import ade20k, cityscapes

SEGMENTER = Path(__file__).parents[1] / "user_segmenter.py"


def save(path: Path, values: object, dtype: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.array(values, dtype)).save(path)


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    root = tmp_path / "ADE (20k) ü"
    for split, stem in (("training", "a"), ("validation", "a"), ("validation", "b")):
        save(root / f"images/{split}/{stem}.jpg", np.zeros((2, 3, 3)))
        save(root / f"annotations/{split}/{stem}.png", [[0, 1, 2], [150, 1, 1]])
    (root / "images/test").mkdir()
    return root


@pytest.fixture
def city(tmp_path: Path) -> Path:
    root = tmp_path / "cityscapes"
    for split, stem in (("train", "ulm_1"), ("val", "bonn_1")):
        save(root / f"leftImg8bit/{split}/x/{stem}_leftImg8bit.png", np.zeros((1, 4, 3)))
    save(root / "gtFine/train/x/ulm_1_gtFine_labelIds.png", [[7, 33, 0, 26]])
    save(root / "gtFine/val/x/bonn_1_gtFine_labelTrainIds.png", [[0, 18, 255, 13]])
    save(root / "leftImg8bit/test/y/kept_back_leftImg8bit.png", np.zeros((1, 4, 3)))
    return root


def test_sa1b_gives_the_masks_of_the_json(parity: Path) -> None:
    dataset = fiftyone_ssa.load_sa1b(parity / "inputs", "sa1b test", persistent=True)
    try:
        assert (dataset.name, dataset.persistent, len(dataset)) == ("sa1b test", True, 3)
        for sample in dataset:
            path = Path(sample.filepath).with_suffix(".json")
            size = (sample.metadata.height, sample.metadata.width)
            ours, source = labels.mask_set_from_detections(sample.masks, size), read_masks(path, size)
            assert (ours.rles, ours.source_ids) == (source.rles, source.source_ids)
            np.testing.assert_array_equal(ours.source_boxes_xywh, source.source_boxes_xywh)
            np.testing.assert_array_equal(ours.predicted_iou, source.predicted_iou)
        assert dataset.bounds("masks.detections.area")[1] > 1000
        with pytest.raises(InputError, match="there is a dataset 'sa1b test' already"):
            fiftyone_ssa.load_sa1b(parity / "inputs", "sa1b test")
    finally:
        dataset.delete()


def test_masks_of_the_field_and_of_the_json_give_the_same_labels(parity: Path) -> None:
    dataset = fiftyone_ssa.load_sa1b(parity / "inputs")
    settings = {"masks.source": "existing", "semantic.model": f"{SEGMENTER}:brightness"}
    annotate(dataset, overrides=settings, label_field="from_json")
    annotate(dataset, overrides=settings, label_field="from_field", masks_field="masks")
    for name in ("label", "confidence", "class_proposals", "source_box", "sa1b_id", "area", "vote_margin"):
        ours, theirs = (dataset.values(f"{field}.detections.{name}") for field in ("from_field", "from_json"))
        assert ours == theirs
    for sample in dataset:
        np.testing.assert_array_equal(sample.from_field_semantic.get_mask(), sample.from_json_semantic.get_mask())


def test_a_damaged_mask_costs_itself_and_a_mask_file_of_another_image_that_image(
    parity: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(parity / "inputs", tmp_path / "sa1b")
    content = json.loads((folder / "coffee.json").read_text())
    for annotation in content["annotations"]:
        annotation["segmentation"]["size"] = [1, 1]
    (folder / "coffee.json").write_text(json.dumps(content))
    (folder / "rocket.png").write_bytes(b"")
    content = json.loads((folder / "chelsea.json").read_text())
    content["annotations"][2]["segmentation"] = []
    (folder / "chelsea.json").write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        dataset = fiftyone_ssa.load_sa1b(folder)
    assert [masks is None for masks in dataset.values("masks")] == [False, True, True]
    assert len(dataset.first().masks.detections) == len(content["annotations"]) - 1
    assert "is loaded without 1 mask, the first of" in caplog.text
    assert "the mask file is not of this image" in caplog.text
    assert "3 images loaded, 2 of them without labels: 0 have no label file, 2 an unreadable one" in caplog.text


def test_images_without_ground_truth_are_counted(ade: Path, caplog: pytest.LogCaptureFixture) -> None:
    (ade / "annotations/validation/b.png").unlink()
    (ade / "images/validation/c.HEIC").touch()
    with caplog.at_level(logging.WARNING):
        fiftyone_ssa.load_ade20k(ade)
    assert "1 .heic left out (no decoder for such pictures" in caplog.text
    assert "3 images loaded, 1 of them without labels: 1 have no label file, 0 an unreadable one" in caplog.text


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_a_turned_picture_is_loaded_upright(tmp_path: Path, suffix: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (8, 5)).save(tmp_path / f"a.{suffix}", exif=exif)
    segmentation = {"size": [8, 5], "counts": [1, 2, 37]}
    (tmp_path / "a.json").write_text(json.dumps({"annotations": [{"segmentation": segmentation}]}))
    sample = fiftyone_ssa.load_sa1b(tmp_path).first()
    assert (sample.metadata.height, sample.metadata.width) == (8, 5)
    assert sample.masks.detections[0].area == 2


def test_ade20k_is_used_where_it_lies(ade: Path) -> None:
    dataset = fiftyone_ssa.load_ade20k(ade)
    assert dataset.count_sample_tags() == {"training": 1, "validation": 2}
    assert dataset.mask_targets["ground_truth"] == {i + 1: name for i, name in enumerate(ade20k.NAMES)}
    sample = dataset.match_tags("training").first()
    assert Path(sample.ground_truth.mask_path) == ade / "annotations/training/a.png"
    assert sample.ground_truth.get_mask().tolist() == [[0, 1, 2], [150, 1, 1]]
    assert len(fiftyone_ssa.load_ade20k(ade.parent, split="validation", max_samples=1)) == 1


@pytest.mark.parametrize("load", [fiftyone_ssa.load_cityscapes, fiftyone_ssa.load_foggy_driving])
def test_cityscapes_is_written_anew_and_left_untouched(city: Path, tmp_path: Path, load: object) -> None:
    before = {path: path.read_bytes() for path in city.rglob("*.png")}
    dataset = load(city, masks_dir=tmp_path / "gt", label_field="gt")
    assert dataset.count_sample_tags() == {"test": 1, "train": 1, "val": 1}
    assert dataset.mask_targets["gt"] == {i + 1: name for i, name in enumerate(cityscapes.NAMES)}
    masks = {tag: dataset.match_tags(tag).first().gt for tag in ("train", "val", "test")}
    assert masks["train"].get_mask().tolist() == [[1, 19, 0, 14]]
    assert masks["val"].get_mask().tolist() == [[1, 19, 0, 14]]
    assert masks["test"] is None
    assert Path(masks["val"].mask_path) == tmp_path / "gt/val/x/bonn_1.png"
    assert {path: path.read_bytes() for path in city.rglob("*.png")} == before


@pytest.mark.parametrize(
    ("kind", "names"),
    [(CityscapesDataset, cityscapes.NAMES), (FoggyDrivingDataset, cityscapes.NAMES)],
)
def test_as_a_dataset_type(city: Path, kind: type, names: tuple[str, ...]) -> None:
    dataset = fo.Dataset.from_dir(dataset_dir=str(city), dataset_type=kind, split="train")
    assert dataset.default_mask_targets == {i + 1: name for i, name in enumerate(names)}
    path = Path(dataset.first().ground_truth.mask_path)
    assert path.is_relative_to(fo.config.default_dataset_dir)
    assert dataset.first().ground_truth.get_mask().tolist() == [[1, 19, 0, 14]]


def test_sa1b_and_ade20k_as_dataset_types(parity: Path, ade: Path) -> None:
    found = fo.Dataset.from_dir(dataset_dir=str(ade), dataset_type=ADE20KDataset, shuffle=True, seed=1, max_samples=2)
    assert len(found) == 2
    masks = fo.Dataset.from_dir(dataset_dir=str(parity / "inputs"), dataset_type=SA1BDataset, label_field="sam")
    assert masks.count("sam.detections") == sum(
        len(json.loads(path.read_text())["annotations"]) for path in (parity / "inputs").glob("*.json")
    )


def test_a_wrong_layout_leaves_no_dataset(tmp_path: Path, ade: Path) -> None:
    for load in (fiftyone_ssa.load_cityscapes, fiftyone_ssa.load_foggy_driving, fiftyone_ssa.load_sa1b):
        with pytest.raises(InputError, match=r"looked for .* in .*; found .*3 .jpg"):
            load(ade, "wrong")
    with pytest.raises(InputError, match="has no part 'val'; it has test, training, validation"):
        fiftyone_ssa.load_ade20k(ade, "wrong", split="val")
    assert not fo.dataset_exists("wrong")


def test_progress_reaches_a_callback(ade: Path) -> None:
    seen: list[float] = []
    fiftyone_ssa.load_ade20k(ade, progress=lambda bar: seen.append(bar.progress))
    assert seen[-1] == 1.0


def test_former_names_of_arguments_still_work(ade):
    with pytest.warns(DeprecationWarning, match="path is called dataset_dir now"):
        assert len(fiftyone_ssa.load_ade20k(path=ade, max_samples=1)) == 1
    with pytest.raises(InputError, match="path is the former name of dataset_dir"):
        fiftyone_ssa.load_ade20k(ade, path=ade)
    with pytest.raises(InputError, match="dataset_dir is missing"):
        fiftyone_ssa.load_ade20k()


def test_a_folder_that_cannot_be_listed_is_no_image(tmp_path, monkeypatch, caplog):
    save(tmp_path / "a.png", np.zeros((2, 3, 3)))
    save(tmp_path / "closed/b.png", np.zeros((2, 3, 3)))
    listed = os.scandir

    def scandir(folder):
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    os.mkfifo(tmp_path / "pipe\x1b[2J.png")
    dataset = fiftyone_ssa.load_images(tmp_path)
    try:
        assert dataset.values("filepath") == [str(tmp_path / "a.png")]
        assert "closed cannot be listed" in caplog.text
        assert "pipe\\x1b[2J.png cannot be read: it is a pipe" in caplog.text
    finally:
        dataset.delete()
