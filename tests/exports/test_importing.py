"""Data sets of other tools into FiftyOne, by our call and by FiftyOne's own, and out by FiftyOne's own."""

import inspect
import json
from pathlib import Path

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.formats import FORMATS, reader_of, writer_of
from fiftyone_ssa.exports.imported import attributes
from fiftyone_ssa.labels.documents import mask_set_from_detections

from .round_trip import add, hard_masks, turned


@pytest.fixture
def hard(tmp_path):
    dataset = fo.Dataset()
    add(dataset, tmp_path / "in/a.png", hard_masks())
    add(dataset, tmp_path / "in/b/c.jpg", hard_masks((41, 30)), exif=turned(), columns={"caption": ["a thing"] * 9})
    yield dataset
    dataset.delete()


def masks_of(dataset, field):
    """The masks of each image, by its name."""
    found = {}
    for sample in dataset:
        size_hw = (30, 41) if sample.filepath.endswith("a.png") else (41, 30)
        masks = mask_set_from_detections(sample[field], size_hw)
        labels = [row.label for row in sample[field].detections]
        found[sample.filename] = sorted(zip(labels, masks.rles, strict=True))
    return found


@pytest.mark.parametrize("name", ["coco", "ssa-json", "hugging-face", "coco-panoptic"])
def test_fiftyone_exports_and_imports_by_dataset_type(hard, tmp_path, name):
    hard.clone_sample_field("m", "other")
    kind = ssa.dataset_type(name)
    view = hard.exclude_fields("other")
    view.export(export_dir=str(tmp_path / "out"), dataset_type=kind, label_field="m", splits={"train": 1, "val": 1})
    assert json.loads((tmp_path / "out/loss.json").read_text())["total"]["masks"] == 18
    back = fo.Dataset.from_dir(
        dataset_dir=str(tmp_path / "out"), dataset_type=kind, label_field="back", media_dir=str(tmp_path / "media")
    )
    try:
        assert masks_of(back, "back") == masks_of(hard, "m")
    finally:
        back.delete()
    with pytest.raises(InputError, match=r"call ssa\.export with label_field"):
        hard.export(export_dir=str(tmp_path / "twice"), dataset_type=kind, label_field="m")
    with pytest.raises(InputError, match="takes whole images"):
        hard.to_patches("m").export(export_dir=str(tmp_path / "patches"), dataset_type=kind, label_field="m")
    (tmp_path / "out/mine.txt").write_text("mine")
    view.export(export_dir=str(tmp_path / "out"), dataset_type=kind, label_field="m", overwrite=True)
    if "dataset_exporter.overwrite" in inspect.getsource(fo.core.collections):  # FiftyOne 1.14 empties folders itself
        assert (tmp_path / "out/mine.txt").read_text() == "mine"


def test_labels_go_to_the_images_that_a_dataset_has(hard, tmp_path):
    ssa.export(hard, tmp_path / "out", format="hugging-face", label_field="m")
    summary = ssa.import_labels(tmp_path / "out", format="hugging-face", dataset=hard, label_field="back")
    assert (summary.matched, summary.added, summary.masks, summary.errors) == (2, 0, 18, {})
    assert masks_of(hard, "back") == masks_of(hard, "m")
    assert hard.values("back.detections.id") == hard.values("m.detections.id")
    assert hard.values("back.detections.confidence") == hard.values("m.detections.confidence")
    assert hard.count("back.detections.caption") == 9
    with pytest.raises(InputError, match="has a field 'back'; name a new one"):
        ssa.import_labels(tmp_path / "out", format="hugging-face", dataset=hard, label_field="back")


@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_what_people_touched_since_stays_when_it_is_read_again(hard, tmp_path, name):
    ssa.export(hard, tmp_path / "out", format=name, label_field="m")

    def again(**options):
        return ssa.import_labels(tmp_path / "out", format=name, dataset=hard, label_field="back", **options)

    count = again().masks
    first = hard.first()
    rows = first.back.detections
    rows[0].label = "lamp"
    rows[1].mask = np.ones_like(rows[1].mask)
    rows[2].tags = ["seen"]
    rows.append(fo.Detection(label="drawn", bounding_box=[0.9, 0.9, 0.02, 0.02], mask=np.ones((1, 1), bool)))
    first.save()
    theirs = {row.id: row.to_dict() for row in (*rows[:3], rows[-1])}
    for _ in range(2):
        done = again(overwrite=True)
        assert (done.kept, done.masks) == (4, count)
        first.reload()
        found = {row.id: row.to_dict() for row in first.back.detections}
        assert {key: found.get(key) for key in theirs} == theirs
        assert len(found) == len(rows)  # nothing stands twice
        assert str(done).endswith("4 masks that people touched stay")


def test_reviewed_masks_of_a_field_that_a_run_filled_stay(hard, tmp_path):
    ssa.export(hard, tmp_path / "out", label_field="m")
    first = hard.first()
    first.m.detections[0]["review"] = "corrected"
    first.m.detections[0].label = "lamp"
    first.save()
    done = ssa.import_labels(tmp_path / "out", dataset=hard, label_field="m", overwrite=True)
    assert (done.kept, done.matched) == (1, 2)
    first.reload()
    assert [row.label for row in first.m.detections].count("lamp") == 1
    assert len(first.m.detections) == 9


@pytest.mark.parametrize("named", ["class_name", "preset"])
def test_what_people_drew_in_a_field_that_a_run_filled_stays(hard, tmp_path, named):
    ssa.export(hard, tmp_path / "out", label_field="m")
    first = hard.first()
    if named == "class_name":
        for row in first.m.detections:
            row["class_name"] = row.label
    else:  # a run found nothing here
        hard.add_sample_field("m_preset", fo.StringField)
        first["m_preset"] = "0" * 16
        first.m.detections = []
    drawn = fo.Detection(label="drawn", bounding_box=[0.9, 0.9, 0.02, 0.02], mask=np.ones((1, 1), bool))
    first.m.detections.append(drawn)
    first.save()
    assert ssa.import_labels(tmp_path / "out", dataset=hard, label_field="m", overwrite=True).kept == 1
    first.reload()
    assert [row.label for row in first.m.detections if row.id == drawn.id] == ["drawn"]
    assert len(first.m.detections) == 10


def test_a_new_dataset_has_the_splits_as_tags_and_what_is_wrong_costs_its_image_only(hard, tmp_path):
    ssa.export(hard, tmp_path / "out", label_field="m", splits={"train": 1, "val": 1})
    file = next(path for path in tmp_path.glob("out/*/labels.json") if "a.png" in path.read_text())
    content = json.loads(file.read_text())
    content["images"].append({"id": 77, "file_name": "../../in/a.png", "width": 41, "height": 30})
    content["annotations"][0]["segmentation"]["counts"] = "broken"
    file.write_text(json.dumps(content))
    summary = ssa.import_labels(tmp_path / "out", dataset=None)
    try:
        assert summary.added == 1
        assert len(summary.errors) == 2
        assert any("leads out of the folder" in reason for reason in summary.errors.values())
        assert any("damaged" in reason for reason in summary.errors.values())
        assert summary.dataset.first().tags[0] in ("train", "val")
    finally:
        summary.dataset.delete()


@pytest.mark.parametrize("name", [name for name in FORMATS if not writer_of(name).needs_media])
def test_a_file_that_is_several_samples_is_read_back_as_often(make, tmp_path, name):
    """Each has its own class, which says whose masks came back; other files have names that look like numbers."""
    dataset = make("a.png", "b-2.png", "a.png", "a.jpg", "a-3.png", "a.png", "sub/a.png", "b.png", "b.png")
    expected = [f"class {number}" for number in range(9)]
    dataset.set_values("m.detections.label", [[label] for label in expected])
    ssa.export(dataset, tmp_path / "out", format=name, label_field="m", export_media=False)
    ssa.import_labels(tmp_path / "out", format=name, dataset=dataset, label_field="back")
    assert [labels[0] for labels in dataset.values("back.detections.label")] == expected
    made = ssa.import_labels(tmp_path / "out", format=name).dataset
    try:
        labels = [label for (label,) in made.values("imported.detections.label")]
        found = sorted(zip(made.values("filepath"), labels, strict=True))
        assert found == sorted(zip(dataset.values("filepath"), expected, strict=True))
    finally:
        made.delete()


@pytest.mark.parametrize("name", FORMATS)
def test_pictures_of_any_name_come_back_with_their_masks(make, tmp_path, name):
    names = ("A.PNG", "b.Jpg", ".hidden.png", ".in/c.png", "d é 猫/e;f,g#h%20 i'.png", "x.tar.gz.png", "loss.png")
    dataset = make(*names)
    assert ssa.export(dataset, tmp_path / "out", format=name, label_field="m").annotations == len(names)
    found = list(reader_of(name)().read(tmp_path / "out"))
    assert [(image.problem, len(image.masks)) for image in found] == [("", 1)] * len(names)
    assert all(image.picture or image.path.is_file() for image in found)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "hugging-face"])  # whose files hold pictures
def test_labels_whose_picture_is_gone_are_told_and_reach_a_dataset_that_has_it(make, tmp_path, name):
    dataset = make("a.png", "sub/b.png")
    ssa.export(dataset, tmp_path / "out", format=name, label_field="m", export_media="symlink")
    (picture,) = (path for path in tmp_path.glob("out/**/b*.png") if path.is_symlink())
    picture.unlink()
    (tmp_path / "out/labels").mkdir(exist_ok=True)
    (tmp_path / "out/labels/classes.txt").write_text("1 x\n")  # other files of such endings are nobody's labels
    (tmp_path / "out/sub/settings.json").parent.mkdir(exist_ok=True)
    (tmp_path / "out/sub/settings.json").write_text('{"image": {"file_name": 3}}')
    made = ssa.import_labels(tmp_path / "out", format=name)
    try:
        assert (made.added, made.masks) == (1, 1)
        ((path, reason),) = made.errors.items()
        assert Path(path).stem == picture.stem
        assert "has no picture" in reason or "No such file" in reason
    finally:
        made.dataset.delete()
    again = ssa.import_labels(tmp_path / "out", format=name, dataset=dataset, label_field="back")
    expected = (1, 1) if name == "yolo" else (2, 0)  # which says no sizes
    assert (again.matched, len(again.errors)) == expected


def test_labels_go_to_the_slice_of_groups_that_is_named(make, tmp_path):
    flat = make("right/a.png")
    ssa.export(flat, tmp_path / "out", label_field="m", export_media=False)
    groups = fo.Dataset()
    try:
        groups.add_group_field("group", default="left")
        group = fo.Group()
        path = flat.first().filepath
        for side, file in (("left", path.replace("right", "left")), ("right", path)):
            groups.add_sample(fo.Sample(filepath=file, group=group.element(side)))
        with pytest.raises(InputError, match="choose one slice"):
            ssa.import_labels(tmp_path / "out", dataset=groups)
        assert not groups.has_field("imported")
        summary = ssa.import_labels(tmp_path / "out", dataset=groups.select_group_slices("right"))
        assert (summary.matched, summary.added, summary.errors) == (1, 0, {})
        assert groups.select_group_slices("right").count("imported.detections") == 1
    finally:
        groups.delete()


@pytest.mark.parametrize("name", ["cvat", "label-studio"])
def test_a_class_that_xml_cannot_hold_is_told_before_anything_is_written(make, tmp_path, name):
    with pytest.raises(InputError, match=r"the class 'es.*cape' has a control character.*rename it"):
        ssa.export(make(label="es\x1bcape"), tmp_path / "out", format=name, label_field="m")
    assert not (tmp_path / "out").exists()
    mask = {"class_proposals": ["nul\0l", "x"], "proposal_scores": [0.9, 0.1]}
    ssa.export(make(**mask), tmp_path / "out", format=name, label_field="m")
    assert not any(image.problem for image in reader_of(name)().read(tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "file"), [("coco", "labels.json"), ("lvis", "labels.json"), ("coco-panoptic", "panoptic.json")]
)
def test_annotations_of_no_image_of_the_file_are_told(make, tmp_path, name, file):
    ssa.export(make("a.png", "b.png"), tmp_path / "out", format=name, label_field="m")
    content = json.loads((tmp_path / "out" / file).read_text())
    content["annotations"] += [{**content["annotations"][1], "image_id": 99}, "x"]
    (tmp_path / "out" / file).write_text(json.dumps(content))
    found = list(reader_of(name)().read(tmp_path / "out"))
    assert [image.problem for image in found[:2]] == ["", ""]
    assert found[2].problem == "2 annotations of no image of the file, the first with image_id 99"


@pytest.mark.parametrize("name", FORMATS)
def test_a_view_without_images_goes_out_and_comes_back(make, tmp_path, name):
    ssa.export(make().limit(1).match_tags("none"), tmp_path / "out", format=name, label_field="m")
    made = ssa.import_labels(tmp_path / "out", format=name)
    assert (made.added, made.dataset.count()) == (0, 0)
    made.dataset.delete()
    with pytest.raises(InputError, match="looked for"):
        ssa.import_labels(tmp_path / "out", format="yolo" if name != "yolo" else "labelme")


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_that_holds_no_such_data_set_is_told(tmp_path, name):
    (tmp_path / "x.txt").write_text("x")
    before = fo.list_datasets()
    with pytest.raises(InputError):
        ssa.import_labels(tmp_path, format=name)
    assert fo.list_datasets() == before


def test_what_others_say_of_a_mask_is_taken_by_type():
    said = {
        "confidence": 1, "class_proposals": ["a"], "proposal_scores": "high", "caption": 5, "mask": "x", "_id": "y",
        "tags": "one", "review": "accepted", "reviewed_at": "2026-01-02T03:04:05+00:00", "own": {"a": 1}, "note": "n",
        "a.b": 1, "$set": 1,
    }  # fmt: skip
    found = attributes(said)
    assert set(found) == {"confidence", "class_proposals", "tags", "review", "reviewed_at", "note"}
    assert found["reviewed_at"].year == 2026
    assert attributes({"confidence": np.float32(0.5)})["confidence"] == 0.5


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("ssa-json", "a_semantic.json", '"class_proposals": ["car", "van"], "proposal_scores": [0.75, null]'),
        ("labelme", "data/a.json", '"car 0.75, van"'),
    ],
)
def test_a_proposal_without_a_score_goes_out_all_the_same(make, tmp_path, name, file, said):
    for number, score in enumerate((float("nan"), None, "high")):
        dataset = make(class_proposals=["car", "van"], proposal_scores=[0.75, score])
        ssa.export(dataset, tmp_path / f"{number}", format=name, label_field="m")
        assert said in (tmp_path / f"{number}" / file).read_text()


def test_what_no_database_holds_costs_itself_only(tmp_path):
    (tmp_path / "data").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "data/a.png")
    values = {"score": 10**400, "index": 10**30, "n": [1, 2**63], "least": -(2**63) + 1, "caption": "half \ud800"}
    shape = {"segmentation": {"size": [8, 8], "counts": [0, 64]}, "bbox": [0, 0, 8, 8], "area": 64, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}],
        "annotations": [{"id": 10**25, "image_id": 1, "category_id": 1, **shape, **values}],
        "categories": [{"id": 1, "name": "cat\ud800"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    dataset = fo.Dataset()
    try:
        assert ssa.import_labels(tmp_path, dataset=dataset).masks == 1
        (found,) = dataset.first().imported.detections
        assert (found.label, found.caption) == ("cat\\ud800", "half \\ud800")
        assert found.least == values["least"]
        assert [found.get_attribute_value(name, None) for name in ("index", "n", "confidence")] == [None] * 3
    finally:
        dataset.delete()
