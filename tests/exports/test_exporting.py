"""Which masks an export takes, to which split, and what it counts as left out."""

import json

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError


@pytest.fixture
def dataset(tmp_path):
    """Two images of four masks each: reviewed in one way or another, small, doubtful."""
    dataset = fo.Dataset()
    for name, tag in (("a", "train"), ("b", "val")):
        path = tmp_path / f"in/{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 20)).save(path)
        rows = [
            fo.Detection(label=label, bounding_box=[number / 4, 0, 0.25, 1], mask=mask, confidence=sure, **said)
            for number, (label, mask, sure, said) in enumerate(
                [
                    ("cat", np.ones((20, 10), bool), 0.9, {"review": "accepted"}),
                    ("dog", np.ones((20, 10), bool), 0.4, {}),
                    ("cat", np.ones((20, 10), bool), 0.8, {"review": "rejected"}),
                    ("sofa", np.eye(20, 10, dtype=bool), 0.7, {}),
                ]
            )
        ]
        dataset.add_sample(fo.Sample(filepath=str(path), tags=["x", tag], m=fo.Detections(detections=rows)))
    yield dataset
    dataset.delete()


def labels(folder, split=""):
    content = json.loads((folder / split / "labels.json").read_text())
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    return [names[annotation["category_id"]] for annotation in content["annotations"]]


@pytest.mark.parametrize(
    ("options", "taken", "left"),
    [
        ({}, ["cat", "dog", "sofa"], {}),
        ({"unreviewed": False}, ["cat"], {"unreviewed": 4}),
        ({"min_confidence": 0.5}, ["cat", "sofa"], {"below": 2}),
        ({"min_area_px": 11}, ["cat", "dog"], {"below": 2}),
        ({"classes": ["sofa", "cat"]}, ["cat", "sofa"], {"other_class": 2}),
    ],
)
def test_masks_are_chosen_and_the_others_counted(dataset, tmp_path, options, taken, left):
    summary = ssa.export(dataset, tmp_path / "out", label_field="m", **options)
    assert labels(tmp_path / "out") == taken * 2
    assert summary.rejected == 2
    counts = {name: getattr(summary, name) for name in ("unreviewed", "below", "other_class")}
    assert counts == {"unreviewed": 0, "below": 0, "other_class": 0} | left


def test_class_lists_and_ontologies_give_the_ids(dataset, tmp_path):
    ssa.export(dataset, tmp_path / "out", label_field="m", classes=["sofa", "cat"])
    content = json.loads((tmp_path / "out/labels.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "sofa"}, {"id": 2, "name": "cat"}]
    file = tmp_path / "o.toml"
    file.write_text(
        'others = "rest"\n[[classes]]\nname = "animal"\nid = 5\nsynonyms = ["cat", "dog"]\nparent = "life"\n'
    )
    ssa.export(dataset, tmp_path / "onto", label_field="m", ontology=file)
    content = json.loads((tmp_path / "onto/labels.json").read_text())
    assert content["categories"] == [
        {"id": 5, "name": "animal", "supercategory": "life"}, {"id": 6, "name": "rest"},
    ]  # fmt: skip
    assert labels(tmp_path / "onto") == ["animal", "animal", "rest"] * 2
    with pytest.raises(InputError, match="leave classes and categories out"):
        ssa.export(dataset, tmp_path / "no", label_field="m", ontology=file, classes=["cat"])


def test_a_field_says_the_split_and_what_has_none_is_counted(dataset, tmp_path):
    dataset.first().tags = []
    dataset.set_values("part", ["val", None])
    summary = ssa.export(dataset, tmp_path / "out", label_field="m", splits="part")
    assert (summary.splits, summary.without_split) == ({"val": 1}, 1)
    assert summary.labels_path == tmp_path / "out"
    assert labels(tmp_path / "out", "val") == ["cat", "dog", "sofa"]
    with pytest.raises(InputError, match="names no splits"):
        ssa.export(dataset, tmp_path / "no", label_field="m", splits="filepaths")


@pytest.mark.parametrize("name", ["coco-panoptic", "semantic-png", "ssa-json", "sa1b-json", "hugging-face"])
def test_a_file_that_comes_often_has_labels_for_each_sample(dataset, tmp_path, name):
    dataset.add_samples([dataset.first().copy() for _ in range(3)])
    summary = ssa.export(dataset, tmp_path / "out", format=name, label_field="m", export_media=False)
    assert (summary.images, summary.annotations, summary.errors) == (5, 15, {})
    if name in ("coco-panoptic", "semantic-png", "ssa-json"):
        assert len(list((tmp_path / "out").rglob("*.png" if "json" not in name else "*_semantic.json"))) == 5


@pytest.mark.parametrize("name", ["coco", "ssa-json"])
def test_another_export_is_replaced_only_when_asked(dataset, tmp_path, name):
    ssa.export(dataset, tmp_path / "out", format=name, label_field="m")
    with pytest.raises(InputError, match="overwrite=True"):
        ssa.export(dataset.limit(1), tmp_path / "out", format=name, label_field="m")
    summary = ssa.export(dataset.limit(1), tmp_path / "out", format=name, label_field="m", overwrite=True)
    assert summary.images == 1
    assert [path.name for path in (tmp_path / "out/data").iterdir()] == ["a.png"]
    with pytest.raises(InputError, match="holds a"):
        ssa.export(dataset, tmp_path / "out", format="lvis", label_field="m", overwrite=True)


@pytest.mark.parametrize("name", ["sa1b-json", "ssa-json", "labelme", "cityscapes-polygons", "coco"])
def test_a_name_that_is_too_long_for_its_labels_costs_its_image_only(dataset, tmp_path, name):
    sample = dataset.last()
    long = tmp_path / "in" / ("ä" * 125 + "b.png")  # 255 bytes, which file systems take
    sample.filepath = str((tmp_path / "in/b.png").rename(long))
    sample.save()
    summary = ssa.export(dataset, tmp_path / "out", label_field="m", format=name)
    copied = {path.name for path in (tmp_path / "out").rglob("*.png") if path.name.startswith("ä")}
    if name == "coco":  # one file for all
        assert (summary.images, summary.errors, copied) == (2, {}, {long.name})
        return
    assert (summary.images, copied) == (1, set())
    assert "bytes, of which file systems take 255; rename the image" in summary.errors[str(long)]
