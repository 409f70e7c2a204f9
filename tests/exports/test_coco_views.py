"""What a COCO export takes: any view of whole images, as the view shows it, with sizes from the files."""

import json

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.coco import export_coco


def export(samples, folder, label_field="m", **options):
    summary = export_coco(samples, folder, label_field=label_field, **options)
    return summary, json.loads(summary.labels_path.read_text())


def ids(content):
    return {category["name"]: category["id"] for category in content["categories"]}


def names(content):
    by_id = {category["id"]: category["name"] for category in content["categories"]}
    return [by_id[annotation["category_id"]] for annotation in content["annotations"]]


VIEWS = {
    "mapped": (lambda d: d.map_labels("m", {"x": "z"}), ["z", "z"]),
    "set": (lambda d: d.set_field("m.detections.label", F("label").upper()), ["X", "X"]),
    "filtered": (lambda d: d.filter_labels("m", F("label") == "x", only_matches=False), ["x", "x"]),
    "filtered away": (lambda d: d.filter_labels("m", F("label") == "q"), []),
    "mapped and filtered": (lambda d: d.map_labels("m", {"x": "z"}).filter_labels("m", F("label") == "z"), ["z", "z"]),
    "selected": (lambda d: d.select_fields("m"), ["x", "x"]),
    "excluded": (lambda d: d.exclude_fields("other"), ["x", "x"]),
    "sorted": (lambda d: d.sort_by("filepath", reverse=True), ["x", "x"]),
    "limited": (lambda d: d.skip(1).limit(1), ["x"]),
    "shuffled": (lambda d: d.shuffle(seed=1).take(1, seed=2), ["x"]),
    "doubled": (lambda d: d.view().concat(d), ["x"] * 4),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_exported_as_they_show_labels(make, tmp_path, name):
    dataset = make("a.png", "b.png")
    dataset.add_sample_field("other", fo.StringField)
    view, expected = VIEWS[name]
    summary, content = export(view(dataset), tmp_path / "out")
    assert names(content) == expected
    assert (summary.errors, summary.deleted) == ({}, 0)
    files = [image["file_name"] for image in content["images"]]
    assert len(files) == len(set(files)) == len(view(dataset).values("id"))


def test_cloned_and_renamed_fields(make, tmp_path):
    dataset = make("a.png", iscrowd=True)
    dataset.clone_sample_field("m", "clone")
    dataset.rename_sample_field("m", "renamed")
    for field in ("clone", "renamed"):
        _, content = export(dataset, tmp_path / field, field)
        assert [annotation["iscrowd"] for annotation in content["annotations"]] == [1]


def test_one_slice_of_a_grouped_dataset(make, tmp_path):
    left, right = make("l.png"), make("r.png", label="y")
    grouped = fo.Dataset()
    grouped.add_group_field("group", default="left")
    group = fo.Group()
    for name, dataset in (("left", left), ("right", right)):
        sample = dataset.first().copy()
        sample["group"] = group.element(name)
        grouped.add_sample(sample)
    try:
        with pytest.raises(InputError, match="got groups of them; choose one slice"):
            export(grouped, tmp_path / "all")
        _, content = export(grouped.select_group_slices("right"), tmp_path / "right")
        assert (names(content), ids(content)) == (["y"], {"x": 1, "y": 2})
    finally:
        grouped.delete()


@pytest.mark.parametrize("wrong", [None, 5, "quickstart", []])
def test_what_is_no_dataset_is_told(tmp_path, wrong):
    with pytest.raises(InputError, match="samples must be a FiftyOne dataset or view"):
        export_coco(wrong, tmp_path)


def test_patches_and_other_fields_are_told(make, tmp_path):
    dataset = make()
    with pytest.raises(InputError, match="got a view of patches or clips"):
        export(dataset.to_patches("m"), tmp_path / "out")
    with pytest.raises(InputError, match=r"'ssa' is no Detections field of .*; it has m"):
        export_coco(dataset, tmp_path / "out")
    for field in ("tags", "nothing", None, 5, ["m"], "m.detections"):
        with pytest.raises(InputError, match="is no Detections field"):
            export(dataset, tmp_path / "out", field)
    with pytest.raises(InputError, match="it has none"):
        export(dataset.select_fields("metadata"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


TURNED = {"a.jpg": {}, "a.png": {}, "a.webp": {"lossless": True}, "a.tif": {}}


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("metadata", [None, (96, 64), (64, 96), (5, 5)])
def test_sizes_are_of_the_upright_picture_whatever_the_dataset_says(make, tmp_path, name, orientation, metadata):
    path = tmp_path / "in" / name
    path.parent.mkdir()
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.new("RGB", (96, 64)).save(path, exif=exif, **TURNED[name])
    dataset = make(name, bounding_box=[0.25, 0.25, 0.5, 0.5])
    if metadata is not None:
        dataset.set_values("metadata", [fo.ImageMetadata(width=metadata[0], height=metadata[1])])
    _, content = export(dataset, tmp_path / "out", export_media=False)
    width, height = (64, 96) if orientation in (6, 8) else (96, 64)
    (image,), (annotation,) = content["images"], content["annotations"]
    assert (image["width"], image["height"]) == (width, height)
    assert annotation["segmentation"]["size"] == [height, width]
    assert annotation["bbox"] == [width / 4, height / 4, width / 2, height / 2]


def test_rejected_masks_are_left_out_and_counted(make, tmp_path):
    dataset = make("a.png", "b.png", "c.png")
    dataset.add_sample_field("m.detections.review", fo.StringField)
    dataset.set_values("m.detections.review", [["rejected"], ["accepted"], [None]])
    summary, content = export(dataset, tmp_path / "out")
    assert (summary.rejected, summary.annotations, summary.images) == (1, 2, 3)
    assert "1 rejected mask left out" in str(summary)
    assert [annotation.get("review") for annotation in content["annotations"]] == ["accepted", None]


def test_bad_masks_and_bad_images_cost_themselves_and_are_named(make, tmp_path):
    dataset = make(*(f"{n}.png" for n in range(6)))
    for number, change in enumerate(({"bounding_box": None}, {"bounding_box": [None] * 4}, {"mask": b"broken"})):
        (sample_id,) = dataset.skip(number).limit(1).values("_id")
        update = {f"m.detections.0.{name}": value for name, value in change.items()}
        dataset._sample_collection.update_one({"_id": sample_id}, {"$set": update})
    (tmp_path / "in/3.png").write_bytes(b"no picture")
    (tmp_path / "in/4.png").unlink()
    summary, content = export(dataset, tmp_path / "out")
    assert (summary.images, summary.annotations, summary.failed_masks) == (4, 1, 3)
    assert set(summary.mask_errors) == {str(tmp_path / f"in/{n}.png") for n in range(3)}
    assert set(summary.errors) == {str(tmp_path / "in/3.png"), str(tmp_path / "in/4.png")}
    assert "3 masks FAILED" in str(summary)
    assert "2 images FAILED" in str(summary)
    assert len(content["images"]) == 4


def test_ids_stay_when_names_are_added(make, tmp_path):
    dataset = make("a.png", "b.png")
    dataset.set_values("m.detections.label", [["dog"], ["cat"]])
    assert ids(export(dataset, tmp_path / "out")[1]) == {"cat": 1, "dog": 2}
    dataset.set_values("m.detections.label", [["ant"], ["cat"]])
    _, content = export(dataset, tmp_path / "out", overwrite=True)
    assert ids(content) == {"cat": 1, "dog": 2, "ant": 3}
    assert json.loads((tmp_path / "out/categories.json").read_text()) == content["categories"]
    assert ids(export(make(label="bee"), tmp_path / "out", overwrite=True)[1]) == {"bee": 1}


def test_a_file_of_categories_serves_several_datasets(make, tmp_path):
    path = tmp_path / "ids.json"
    assert ids(export(make(label="dog"), tmp_path / "a", categories=path)[1]) == {"dog": 1}
    assert ids(export(make(label="cat"), tmp_path / "b", categories=str(path))[1]) == {"dog": 1, "cat": 2}
    assert ids(export(make(label="ant"), tmp_path / "c", categories=path)[1]) == {"dog": 1, "cat": 2, "ant": 3}
    assert json.loads(path.read_text()) == [
        {"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "ant"}
    ]  # fmt: skip
    given = [{"id": 90, "name": "cat", "supercategory": "animal"}]
    _, content = export(make(label="dog"), tmp_path / "d", categories=given)
    assert content["categories"] == [*given, {"id": 91, "name": "dog"}]
    assert ids(export(make(label="y"), tmp_path / "e", categories=tmp_path / "d/labels.json")[1])["y"] == 92
    assert json.loads((tmp_path / "d/labels.json").read_text()) == content


def test_a_files_ids_are_not_given_out_by_an_export_that_fails(make, tmp_path):
    path = tmp_path / "ids.json"
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(InputError, match="no COCO export"):
        export(make(), tmp_path / "out", categories=path)
    assert not path.exists()


def test_the_folders_own_file_of_categories_may_be_named(make, tmp_path):
    dataset = make()
    path = tmp_path / "out/categories.json"
    export(dataset, tmp_path / "out", categories=path)
    dataset.set_values("m.detections.label", [["a"]])
    assert ids(export(dataset, tmp_path / "out", categories=path, overwrite=True)[1]) == {"x": 1, "a": 2}


def test_classes_are_a_list_of_names(make, tmp_path):
    assert ids(export(make(), tmp_path / "in order", classes=("z", "x"))[1]) == {"z": 1, "x": 2}
    for classes in ("x", 5, ["a", "a"], [1], [None], [["a"]]):
        with pytest.raises(InputError, match="classes must be a list of names, each once"):
            export(make(), tmp_path / "out", classes=classes)
    with pytest.raises(InputError, match="leave one out"):
        export(make(), tmp_path / "out", classes=["x"], categories={"x": 1})


def test_names_of_any_kind(make, tmp_path):
    dataset = make("a.png", "b.png", "c.png", "d.png")
    odd = ["line\nbreak", "q\"'\\", "ünï ☃", "\x1b[31m"]
    dataset.set_values("m.detections.label", [[name] for name in odd])
    _, content = export(dataset, tmp_path / "out")
    assert names(content) == odd


def test_stock_importer_reads_every_value(make, tmp_path):
    dataset = make("a.png", iscrowd=1, confidence=0.5, tags=["seen"], note="n", nested={"a": [1, None]}, index=3)
    summary, _ = export(dataset, tmp_path / "out")
    again = fo.Dataset.from_dir(
        dataset_type=fo.types.COCODetectionDataset, data_path=str(summary.images_dir), label_field="m",
        labels_path=str(summary.labels_path), label_types="segmentations",
    )  # fmt: skip
    try:
        (one,) = again.first()["m"].detections
        assert (one.label, one.confidence, one.tags, one.index, one["iscrowd"]) == ("x", 0.5, ["seen"], 3, 1)
        assert (one["note"], one["nested"]) == ("n", {"a": [1, None]})
        assert np.count_nonzero(one.mask) == 600
    finally:
        again.delete()
