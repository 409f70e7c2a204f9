"""Masks come back bit for bit from every exact format, and what a format cannot hold is in the loss report."""

import json

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.formats import FORMATS, reader_of
from fiftyone_ssa.exports.loss import LossError
from fiftyone_ssa.layouts import ade20k, cityscapes
from fiftyone_ssa.masks import rle

from .round_trip import NAMES, SIZE, add, expected, hard_masks, read, turned

EXACT = ("coco", "lvis", "ssa-json", "sa1b-json", "hugging-face")
MANY = 2000


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """Three images: hard masks, an image turned by EXIF, and 2,000 masks; and what is to come back."""
    root = tmp_path_factory.mktemp("hard")
    dataset = fo.Dataset()
    labels = [NAMES[row % 4] for row in range(9)]
    add(dataset, root / "in/a.png", hard_masks())
    add(dataset, root / "in/b c/türn.jpg", hard_masks((41, 30)), exif=turned())
    cells = np.arange(40 * 50).reshape(40, 50)
    many = [cells == number for number in range(MANY)]
    add(dataset, root / "in/many.png", many)
    of_many = [NAMES[row % 4] for row in range(MANY)]
    yield (
        dataset,
        expected(
            ("a.png", hard_masks(), labels), ("türn.jpg", hard_masks((41, 30)), labels), ("many.png", many, of_many)
        ),
    )
    dataset.delete()


@pytest.mark.parametrize("name", [*EXACT, "coco-panoptic"])
def test_masks_come_back_bit_for_bit(hard, tmp_path, name):
    dataset, masks = hard
    summary = ssa.export(dataset, tmp_path / "out", format=name, label_field="m", fail_on_loss=True)
    assert (summary.images, summary.annotations, summary.errors) == (3, MANY + 18, {})
    assert summary.loss.total.iou_min == 1
    assert read(tmp_path / "out", name) == masks


@pytest.mark.parametrize("name", [*EXACT, "coco-panoptic", "semantic-png"])
def test_splits_and_images_that_stay_where_they_are(hard, tmp_path, name):
    view, splits = hard[0].limit(2), {"train": 1, "val": 1}
    options = {"format": name, "label_field": "m", "splits": splits}
    summary = ssa.export(view, tmp_path / "out", export_media=False, **options)
    assert summary.splits == splits
    found = {str(image.path): image.split for image in reader_of(name)().read(tmp_path / "out")}
    assert set(found) == set(view.values("filepath"))
    assert sorted(found.values()) == ["train", "val"]
    ssa.export(view, tmp_path / "out", export_media="copy", overwrite=True, **options)
    images = list(reader_of(name)().read(tmp_path / "out"))
    assert {image.path.name: image.split for image in images} == {
        path.rpartition("/")[2]: split for path, split in found.items()
    }
    assert not any(image.problem for image in images)


def test_overlaps_are_resolved_parts_first_then_by_score_and_the_report_says_what_was_lost(tmp_path):
    dataset = fo.Dataset()
    try:
        masks = np.zeros((3, *SIZE), bool)
        masks[0, 0:10, 0:10] = masks[1, 5:15, 0:10] = masks[2, 6:8, 2:4] = True
        add(dataset, tmp_path / "in/a.png", masks, ["x", "y", "z"], columns={"confidence": [0.9, 0.8, 0.1]})
        summary = ssa.export(dataset, tmp_path / "out", format="coco-panoptic", label_field="m")
        loss = summary.loss
        assert [(loss.classes[name].changed, loss.classes[name].overlaps_px) for name in "xyz"] == [
            (1, 4), (1, 50), (0, 0),
        ]  # fmt: skip
        assert json.loads((tmp_path / "out/loss.json").read_text()) == loss.to_json()
        kept = [masks[0] & ~masks[2], masks[1] & ~masks[0], masks[2]]
        assert read(tmp_path / "out", "coco-panoptic") == expected(("a.png", kept, ["x", "y", "z"]))
        worst = loss.view(dataset)
        assert [row.label for row in worst.first().m.detections] == ["x", "y"]
        with pytest.raises(LossError, match="54 pixels given to another mask"):
            ssa.export(dataset, tmp_path / "strict", format="coco-panoptic", label_field="m", fail_on_loss=True)
        assert not (tmp_path / "strict").exists()
    finally:
        dataset.delete()


def test_stuff_is_one_segment_and_an_ontology_says_what_stuff_is(tmp_path):
    dataset = fo.Dataset()
    ontology = tmp_path / "o.toml"
    ontology.write_text(
        '[[classes]]\nname = "plant"\nid = 7\nsynonyms = ["tree", "bed"]\nis_thing = false\ncolour = "#102030"\n'
        '[[classes]]\nname = "animal"\nid = 9\nsynonyms = ["dog"]\n'
    )
    try:
        add(dataset, tmp_path / "in/a.png", hard_masks())
        summary = ssa.export(dataset, tmp_path / "out", format="coco-panoptic", label_field="m", ontology=ontology)
        assert (summary.annotations, summary.other_class) == (7, 2)
        content = json.loads((tmp_path / "out/panoptic.json").read_text())
        assert [(row["name"], row["id"], row["isthing"]) for row in content["categories"]] == [
            ("plant", 7, 0), ("animal", 9, 1),
        ]  # fmt: skip
        assert content["categories"][0]["color"] == [0x10, 0x20, 0x30]
        (annotation,) = content["annotations"]
        assert sorted(row["category_id"] for row in annotation["segments_info"]) == [7, 9, 9]
    finally:
        dataset.delete()


@pytest.mark.parametrize(("encoding", "names"), [("cityscapes", cityscapes.NAMES), ("ade20k", ade20k.NAMES)])
def test_class_maps_of_known_data_sets_are_read_by_their_loaders(tmp_path, encoding, names):
    dataset = fo.Dataset()
    loaded = None
    try:
        labels = [names[row] for row in range(8)] + ["something else"]
        add(dataset, tmp_path / "in/a.png", hard_masks(), labels)
        summary = ssa.export(dataset, tmp_path / "out", format="semantic-png", label_field="m", encoding=encoding)
        assert summary.loss.classes["something else"].dropped == 1
        assert summary.loss.total.changed == 0
        load = ssa.load_cityscapes if encoding == "cityscapes" else ssa.load_ade20k
        loaded = load(tmp_path / "out")
        found = loaded.first().ground_truth.mask if encoding == "ade20k" else None
        if found is None:
            found = np.array(Image.open(loaded.first().ground_truth.mask_path))
        for row, mask in enumerate(hard_masks()[:8]):
            assert ((found == row + 1) == mask).all()
        assert (found[hard_masks()[8]] == 0).all()
    finally:
        dataset.delete()
        if loaded is not None:
            loaded.delete()


def test_own_class_maps_hold_the_ids_that_were_given(hard, tmp_path):
    dataset, _ = hard
    ids = {"tree": 300, "bed": 2, "sky": 0, "dog": 4}
    ssa.export(dataset, tmp_path / "out", format="semantic-png", label_field="m", categories=ids)
    images = {image.path.name: image for image in reader_of("semantic-png")().read(tmp_path / "out")}
    masks, labels = hard_masks(), [NAMES[row % 4] for row in range(9)]
    for name, code in zip(images["a.png"].labels, images["a.png"].masks.rles, strict=True):
        of_class = np.logical_or.reduce([mask for mask, label in zip(masks, labels, strict=True) if label == name])
        assert (rle.decode(code, SIZE) == of_class).all()


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("label-studio", "cvat")])  # for people
def test_values_come_back_where_the_format_keeps_them(tmp_path, name):
    dataset = fo.Dataset()
    try:
        columns = {"class_proposals": [["a", "b"]] * 9, "proposal_scores": [[0.75, 0.25]] * 9, "note": ["x"] * 9}
        add(dataset, tmp_path / "in/a.png", hard_masks(), columns=columns)
        summary = ssa.export(dataset, tmp_path / "out", format=name, label_field="m")
        (image,) = reader_of(name)().read(tmp_path / "out")
        for value, key, want in (
            ("confidence", "confidence", 0.5),
            ("proposals", "class_proposals", ["a", "b"]),
            ("attributes", "note", "x"),
        ):
            lost = getattr(summary.loss.total, value)
            there = [row.get(key) for row in image.attributes]
            assert lost in (0, 9)
            assert (want in there) == (lost == 0), (value, there)
    finally:
        dataset.delete()


def test_a_field_of_class_maps_is_exported_too(hard, tmp_path):
    view = hard[0].limit(1).clone()
    try:
        values = np.zeros(SIZE, np.uint8)
        for number, mask in enumerate(hard_masks()):
            values[mask] = 1 + number % 4
        sample = view.first()
        sample["maps"] = fo.Segmentation(mask=values)
        sample.save()
        view.mask_targets = {"maps": {1: "person", 2: "car", 3: "sky", 4: "something else"}}
        view.save()
        summary = ssa.export(view, tmp_path / "out", format="semantic-png", label_field="maps", encoding="cityscapes")
        assert (summary.annotations, summary.loss.total.changed, summary.loss.total.dropped) == (4, 0, 1)
        pixels = np.array(Image.open(next(tmp_path.glob("out/gtFine/*/*/*labelTrainIds.png"))))
        assert (pixels == np.array([255, 11, 13, 10, 255])[values]).all()
    finally:
        view.delete()


def test_an_option_or_a_format_that_is_none_is_told(hard, tmp_path):
    dataset, _ = hard
    with pytest.raises(InputError, match="did you mean 'coco-panoptic'"):
        ssa.export(dataset, tmp_path / "out", format="coco-panoptik", label_field="m")
    with pytest.raises(InputError, match="has no option 'exhaustive'"):
        ssa.export(dataset, tmp_path / "out", label_field="m", exhaustive=True)
    with pytest.raises(InputError, match="encoding must be one of"):
        ssa.export(dataset, tmp_path / "out", format="semantic-png", label_field="m", encoding="voc")
    assert not (tmp_path / "out").exists()
