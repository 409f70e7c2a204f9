"""Exports and imports of what folders hold that no database would: names that are not UTF-8, masks without ids."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.card_counts import CardCounts
from fiftyone_ssa.exports.formats import FORMATS, reader_of
from fiftyone_ssa.exports.writing import ExportImage
from fiftyone_ssa.masks import rle

SPLIT_COCO = {"images": [{"id": 1, "file_name": "a.png", "height": 30, "width": 40}], "annotations": []}


def masks_of(names):
    masks = np.zeros((len(names), 30, 40), bool)
    for number, mask in enumerate(masks):
        mask[2 + number : 6 + number, 3 * number : 5 + 3 * number] = True
    return [rle.encode(mask) for mask in masks]


@pytest.fixture
def results(tmp_path):
    """Two images with results, one of a name that is not UTF-8."""
    folder = tmp_path / "in"
    folder.mkdir()
    for stem in ("a", "b\udcff"):
        Image.new("RGB", (40, 30)).save(folder / f"{stem}.png")
        rows = [
            {"segmentation": {"size": [30, 40], "counts": code.decode()}, "class_name": name}
            for name, code in zip("xxy", masks_of("xxy"), strict=True)
        ]
        (folder / f"{stem}_semantic.json").write_text(json.dumps({"annotations": rows}))
    return folder


@pytest.mark.parametrize("format", FORMATS)
def test_a_name_that_is_not_utf_8_costs_its_image_only(results, tmp_path, format):
    if format == "hugging-face":
        pytest.importorskip("datasets", reason="needs datasets")
    summary = ssa.export(results, tmp_path / "out", format=format)
    assert summary.images == 1
    ((path, reason),) = summary.errors.items()
    assert path.endswith("b\\udcff.png")
    assert "not UTF-8" in reason


def test_a_folder_whose_name_is_not_utf_8_is_refused(results, tmp_path):
    odd = results.rename(tmp_path / os.fsdecode(b"in\xff"))
    with pytest.raises(InputError, match="not UTF-8"):
        ssa.export(odd, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", ["import_labels", "dataset_type", "load_images"])
def test_an_import_leaves_such_a_name_out(results, caplog, way):
    if way == "import_labels":
        summary = ssa.import_labels(results, format="ssa-json")
        dataset, told = summary.dataset, str(summary)
    elif way == "dataset_type":
        import fiftyone as fo

        dataset = fo.Dataset.from_dir(dataset_dir=str(results), dataset_type=ssa.dataset_type("ssa-json"))
        told = caplog.text
    else:
        dataset, told = ssa.load_images(results), caplog.text
    try:
        assert [Path(path).name for path in dataset.values("filepath")] == ["a.png"]
        assert "b\\udcff.png" in told
        assert "not UTF-8" in told
    finally:
        dataset.delete()


def test_masks_without_ids_are_regions_of_their_own(results, tmp_path):
    ssa.export(results, tmp_path / "out", format="label-studio")
    ((task),) = json.loads((tmp_path / "out/tasks.json").read_text())
    ids = [region["id"] for region in task["predictions"][0]["result"]]
    assert len(set(ids)) == len(ids) == 3


def test_one_split_comes_back_and_what_datasets_refuses_is_told(results, tmp_path):
    pytest.importorskip("datasets", reason="needs datasets")
    ssa.export(results, tmp_path / "out", format="hugging-face", splits={"val.1": 1})
    (image,) = reader_of("hugging-face")().read(tmp_path / "out")
    assert image.split == "val.1"
    with pytest.raises(InputError, match=r"`datasets` takes .* got 'train-a'; rename it"):
        ssa.export(results, tmp_path / "odd", format="hugging-face", splits={"train-a": 1})


@pytest.mark.parametrize(("format", "own"), [("coco", "instances_"), ("coco-panoptic", "panoptic_")])
def test_cocos_own_layout_has_captions_beside_the_masks(tmp_path, format, own):
    (tmp_path / "annotations").mkdir()
    for kind in (own, "person_keypoints_", "captions_", "stuff_"):
        categories = {} if kind == "captions_" else {"categories": []}
        (tmp_path / f"annotations/{kind}val2017.json").write_text(json.dumps(SPLIT_COCO | categories))
    found = list(reader_of(format)().read(tmp_path))
    assert [image.split for image in found] == ["val2017"]


def test_a_card_counts_classes_in_the_order_of_masks(tmp_path):
    names = tuple("zyxwvutsrqponmlkjihgfedcba")
    masks = rle.mask_set((30, 120), [rle.encode(np.ones((30, 120), bool))] * len(names))
    counts = CardCounts()
    counts.add(ExportImage(1, "", tmp_path, "a", "", (30, 120), masks, names, ({},) * len(names)))
    assert tuple(counts.classes) == names, "what is equally frequent is told in this order, whatever the hash seed"
