"""`fiftyone-ssa export`: results and datasets, and how it ends."""

import json

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

from fiftyone_ssa.cli import main
from fiftyone_ssa.folders.sa1b_json import annotation_record
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Annotation, Proposals


@pytest.fixture
def results(tmp_path):
    """Three images, one in a folder, and the results of two of them; two masks overlap."""
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 2:12, 2:12] = masks[1, 8:18, 8:20] = True
    for number, name in enumerate(("a.png", "b/c.png", "d.png")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (number, 0, 0)).save(path)
        if name != "d.png":
            found = Annotation(
                rle.mask_set((20, 30), [rle.encode(mask) for mask in masks]),
                ("cat", "dog"),
                np.array([0.9, 0.4]),
                (Proposals(("cat", "lynx"), (0.9, 0.1)), Proposals(("dog",), (0.4,))),
            )
            result = (tmp_path / "out" / name).with_name(path.stem + "_semantic.json")
            result.parent.mkdir(parents=True, exist_ok=True)
            result.write_text(json.dumps(annotation_record(found)))
    return tmp_path / "out", tmp_path / "in"


def test_results_become_coco(results, tmp_path, capsys):
    out, images = results
    options = ["--data-dir", str(images), "--splits", "train=1,val=1", "--min-confidence", "0.5"]
    assert main(["export", str(out), str(tmp_path / "coco"), *options]) == 0
    assert "2 masks of 2 images" in capsys.readouterr().out
    content = [json.loads((tmp_path / "coco" / split / "labels.json").read_text()) for split in ("train", "val")]
    assert sorted(image["file_name"] for part in content for image in part["images"]) == ["a.png", "b/c.png"]
    (annotation,) = content[0]["annotations"]
    assert annotation["class_proposals"] == ["cat", "lynx"]
    assert annotation["score"] == 0.9


def test_a_loss_ends_with_1_and_names_the_worst(results, tmp_path, capsys):
    out, images = results
    command = ["export", str(out), str(tmp_path / "png"), "--data-dir", str(images), "--format", "coco-panoptic"]
    assert main([*command, "--fail-on-loss"]) == 1
    told = capsys.readouterr().err
    assert "was not written: lost in coco-panoptic: 2 masks changed, 32 pixels given to another mask" in told
    assert "IoU 0.867 dog" in told
    assert not (tmp_path / "png").exists()
    assert main([*command, "--fail-on-loss", "0.8"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "voc"], "format must be one of coco"),
        (["--option", "exhaustive"], "--option must be KEY=VALUE"),
        (["--splits", "train=much"], "splits must be shares"),
        (["--splits", "tags"], "has no field 'tags'"),
        (["--min-confidence", "2"], "from 0 to 1"),
        (["--min-area", "0"], "min_area_px"),
        (["--view", "x"], "has no views"),
        (["--fail-on-loss", "much"], "fail_on_loss"),
        (["--ontology", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(results, tmp_path, capsys, options, message):
    out, images = results
    assert main(["export", str(out), str(tmp_path / "x"), "--data-dir", str(images), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_dataset_and_its_saved_view(results, tmp_path, capsys):
    _, images = results
    dataset = fo.Dataset("export-me")
    try:
        dataset.add_sample(fo.Sample(filepath=str(images / "a.png"), ssa=fo.Detections(detections=[
            fo.Detection(label="cat", bounding_box=[0, 0, 0.5, 0.5], mask=np.ones((10, 15), bool)),
            fo.Detection(label="dog", bounding_box=[0.5, 0, 0.5, 0.5], mask=np.ones((10, 15), bool)),
        ])))  # fmt: skip
        dataset.save_view("cats", dataset.filter_labels("ssa", fo.ViewField("label") == "cat"))
        command = ["export", "export-me", str(tmp_path / "lvis"), "--format", "lvis", "-o", "exhaustive=true"]
        assert main([*command, "--view", "cats"]) == 0
        assert "1 mask of 1 image" in capsys.readouterr().out
        assert json.loads((tmp_path / "lvis/labels.json").read_text())["images"][0]["neg_category_ids"] == [2]
        assert main([*command, "--view", "dogs"]) == 2
        assert "it has cats" in capsys.readouterr().err
        assert main(["export", "nothing", str(tmp_path / "x")]) == 2
    finally:
        dataset.delete()
