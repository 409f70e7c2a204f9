"""Masks that people corrected elsewhere: who changed what, kept by later runs, and taken back."""

from __future__ import annotations

import base64
import io
import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from bson import ObjectId
from PIL import Image

import fiftyone_ssa as ssa
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.bringing_back import import_corrections
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.labels.database import documents, samples_of
from fiftyone_ssa.labels.review import is_touched
from fiftyone_ssa.masks import brush_rle, rle
from tests.exports.odd_dataset import masks_of, odd_dataset
from tests.exports.test_label_studio import handed_in

SQUARE = np.zeros((90, 90), bool)
SQUARE[20:40, 30:50] = True


@pytest.fixture
def scene(tmp_path):
    """A dataset whose third image has six masks of 1x2 pixels, exported to Label Studio."""
    dataset = odd_dataset(tmp_path / "in", many=6, odd=False)
    export(dataset, tmp_path / "out", format="label-studio")
    yield dataset
    dataset.delete()


def corrected(folder, **annotation):
    """Label Studio's export of tasks in which Ann renames, redraws, deletes and draws a mask each, and copies one."""
    about = {"completed_by": {"email": "ann@x.org"}, "updated_at": "2030-01-02T03:04:05Z", **annotation}
    tasks = handed_in(json.loads((folder / "out/tasks.json").read_text()), **about)
    result = tasks[-1]["annotations"][0]["result"]
    result[0]["value"]["brushlabels"] = ["truck"]
    result[1]["value"]["rle"] = brush_rle.encode(SQUARE, (0, 0), (90, 90))
    new = json.loads(json.dumps(result[1])) | {"id": "h7Gk2"}
    new["value"]["brushlabels"] = ["lamp"]
    del result[2]
    result.append(new)
    write(folder, tasks)
    return tasks


def write(folder, tasks):
    (folder / "project.json").write_text(json.dumps(tasks))


def rows_of(dataset):
    (document,) = documents(dataset)
    return document["ssa"]["detections"]


def without_dates(rows):
    return [{key: value for key, value in row.items() if key != "reviewed_at"} for row in rows]


def test_what_ann_changed_is_there_and_hers(scene, tmp_path):
    before = rows_of(scene)
    corrected(tmp_path)
    done = import_corrections(scene, tmp_path / "project.json")
    assert not done.problems
    assert dict(done.counts) == {"renamed": 1, "redrawn": 1, "deleted": 1, "new": 1, "unchanged": 3}
    assert dict(done.people) == {"ann@x.org": 4}
    rows = rows_of(scene)
    assert [row["_id"] for row in rows[:6]] == [row["_id"] for row in before]
    assert (rows[0]["label"], rows[0]["class_name"], rows[0]["review"]) == ("truck", before[0]["label"], "corrected")
    assert (rows[1]["review"], rows[2]["review"], rows[6]["label"]) == ("corrected", "rejected", "lamp")
    assert [row.get("reviewed_by") for row in rows] == [*["ann@x.org"] * 3, None, None, None, "ann@x.org"]
    assert str(rows[0]["reviewed_at"]) == "2030-01-02 03:04:05"
    assert [is_touched(row) for row in rows] == [True, True, True, False, False, False, True]
    codes = [code for _, code, _ in masks_of(scene)["many.png"]]
    assert codes[1] == codes[6] == rle.encode(SQUARE)
    assert codes[2] != codes[1]
    assert {(row.what, row.by) for row in done.changes} == {
        (what, "ann@x.org") for what in ("renamed", "redrawn", "deleted", "new")
    }
    assert done.view(scene).count("ssa.detections") == 4


def test_undo_takes_all_of_it_back_and_it_can_come_again(scene, tmp_path):
    before = rows_of(scene)
    corrected(tmp_path)
    done = import_corrections(scene, tmp_path / "project.json")
    taken = ssa.undo(scene, "ssa", done.token)
    assert (taken.masks, rows_of(scene)) == (4, before)
    again = import_corrections(scene, tmp_path / "project.json")
    assert again.counts == done.counts
    assert str(ssa.undo(scene, "ssa", dry_run=True)).startswith("takes back 4 masks")
    ssa.undo(scene, "ssa")
    assert rows_of(scene) == before


def test_undo_leaves_what_was_decided_since(scene, tmp_path):
    corrected(tmp_path)
    done = import_corrections(scene, tmp_path / "project.json")
    rows = rows_of(scene)
    ssa.relabel(scene, "ssa", ids=[str(rows[0]["_id"]), str(rows[6]["_id"])], label="van")
    taken = ssa.undo(scene, "ssa", done.token)
    assert taken.masks == 2
    assert "2 masks changed since stay" in str(taken)
    rows = rows_of(scene)
    assert (rows[0]["label"], rows[6]["label"], rows[2].get("review")) == ("van", "van", None)
    assert "reviewed_by" not in rows[0]


def test_the_same_export_again_changes_nothing_and_a_later_one_only_what_is_new(scene, tmp_path):
    tasks = corrected(tmp_path)
    import_corrections(scene, tmp_path / "project.json")
    rows = rows_of(scene)
    again = import_corrections(scene, tmp_path / "project.json")
    assert (again.token, dict(again.counts), rows_of(scene)) == (None, {"unchanged": 6}, rows)
    result = tasks[-1]["annotations"][0]["result"]
    original = json.loads((tmp_path / "out/tasks.json").read_text())[-1]["predictions"][0]["result"]
    result[0]["value"]["brushlabels"] = original[0]["value"]["brushlabels"]  # Ann thought again,
    result.append(original[2])  # took her deletion back,
    result[-2]["value"]["brushlabels"] = ["torch"]  # and named her own mask anew
    write(tmp_path, tasks)
    later = import_corrections(scene, tmp_path / "project.json")
    assert dict(later.counts) == {"restored": 2, "renamed": 1, "unchanged": 4}
    rows = rows_of(scene)
    assert len(rows) == 7
    assert (rows[0]["label"], rows[0].get("review"), rows[2].get("review")) == (rows[0]["class_name"], None, None)
    assert rows[6]["label"] == "torch"


def test_what_somebody_decided_here_since_stays(scene, tmp_path):
    corrected(tmp_path)
    ids = [str(row["_id"]) for row in rows_of(scene)]
    ssa.relabel(scene, "ssa", ids=ids[:1], label="van")
    ssa.review(scene, "accept", "ssa", ids=ids[2:3])
    done = import_corrections(scene, tmp_path / "project.json")
    assert (done.counts["decided here"], done.counts["redrawn"]) == (2, 1)
    rows = rows_of(scene)
    assert (rows[0]["label"], rows[2]["review"]) == ("van", "accepted")
    done = import_corrections(scene, tmp_path / "project.json", overwrite=True)
    assert (done.counts["renamed"], done.counts["deleted"]) == (1, 1)
    assert (rows_of(scene)[0]["label"], rows_of(scene)[2]["review"]) == ("truck", "rejected")


def redraw(dataset, places, label=None):
    """Change masks as FiftyOne's editor does: pixels, and names where one is given; reviews stay."""
    dataset.reload()
    sample = next(sample for sample in dataset if sample.ssa is not None and len(sample.ssa.detections) > 5)
    for place in places:
        row = sample.ssa.detections[place]
        row.mask = np.ones((3, 5), bool)
        row.bounding_box = [0.1, 0.1, 5 / 90, 3 / 90]
        row.label = label or row.label
    sample.save()
    return rows_of(dataset)


def test_what_somebody_redrew_here_since_stays(scene, tmp_path):
    corrected(tmp_path)
    before = redraw(scene, (1, 2))  # Ann redrew the one and deleted the other
    done = import_corrections(scene, tmp_path / "project.json")
    assert (done.counts["decided here"], done.counts["deleted"], done.counts["redrawn"]) == (2, 0, 0)
    assert rows_of(scene)[1:3] == before[1:3]


@pytest.mark.parametrize("label", [None, "van"])
def test_what_somebody_redrew_here_after_an_import_stays(scene, tmp_path, label):
    tasks = corrected(tmp_path)
    import_corrections(scene, tmp_path / "project.json")
    before = redraw(scene, (0, 1, 6), label)  # renamed, redrawn and drawn by Ann
    done = import_corrections(scene, tmp_path / "project.json")
    assert (rows_of(scene), done.token) == (before, None)
    result = tasks[-1]["annotations"][0]["result"]
    original = json.loads((tmp_path / "out/tasks.json").read_text())[-1]["predictions"][0]["result"]
    result[0:2] = original[0:2]  # Ann takes back what she did
    write(tmp_path, tasks)
    done = import_corrections(scene, tmp_path / "project.json")
    assert (rows_of(scene), done.token, done.counts["decided here"]) == (before, None, 3)
    done = import_corrections(scene, tmp_path / "project.json", overwrite=True)
    assert done.counts["restored"] == 2


def test_a_name_that_fiftyones_editor_gave_here_stays(scene, tmp_path):
    corrected(tmp_path)
    samples_of(scene).update_many({}, {"$set": {"ssa.detections.0.label": "van"}})
    done = import_corrections(scene, tmp_path / "project.json")
    assert (done.counts["renamed"], done.counts["decided here"], rows_of(scene)[0]["label"]) == (0, 1, "van")


def test_names_that_a_run_gave_since_are_no_decision(scene, tmp_path):
    corrected(tmp_path)
    samples_of(scene).update_many({}, {"$set": {"ssa.detections.0.label": "bus", "ssa.detections.0.class_name": "bus"}})
    samples_of(scene).update_many({}, {"$set": {"ssa.detections.4.label": "bus", "ssa.detections.4.class_name": "bus"}})
    done = import_corrections(scene, tmp_path / "project.json")
    assert dict(done.counts) == {"renamed": 1, "redrawn": 1, "deleted": 1, "new": 1, "unchanged": 3}
    assert [rows_of(scene)[place]["label"] for place in (0, 4)] == ["truck", "bus"]


def test_dry_run_counts_accept_accepts_and_a_view_bounds(scene, tmp_path):
    before = rows_of(scene)
    corrected(tmp_path)
    planned = import_corrections(scene, tmp_path / "project.json", dry_run=True, accept=True)
    assert (rows_of(scene), planned.token) == (before, None)
    assert str(planned).startswith("would change: 1 image came back")
    outside = import_corrections(scene.limit(0), tmp_path / "project.json")
    assert (outside.outside, outside.images) == (1, 0)
    done = import_corrections(scene, tmp_path / "project.json", accept=True)
    assert done.counts == planned.counts
    assert done.counts["accepted"] == 3
    ssa.undo(scene, "ssa")
    assert rows_of(scene) == before


def test_tasks_that_nobody_handed_in_wait(scene, tmp_path):
    done = import_corrections(scene, tmp_path / "out/tasks.json")
    assert (done.waiting, done.images, done.token) == (1, 0, None)
    tasks = corrected(tmp_path, was_cancelled=True)
    tasks[0]["predictions"] = []
    write(tmp_path, tasks)
    assert import_corrections(scene, tmp_path / "project.json").waiting == 1


def test_an_image_of_someone_elses_or_of_another_size_is_told(scene, tmp_path, make):
    corrected(tmp_path)
    other = make("b.png", label_field="ssa")
    done = import_corrections(other, tmp_path / "project.json")
    assert "no image was exported from 'ssa'" in next(iter(done.problems.values()))
    Image.new("RGB", (91, 90)).save(scene.first().filepath)
    done = import_corrections(scene, tmp_path / "project.json")
    assert "has 91x90" in str(done.problems)


def test_what_is_no_detection_stays_where_it_is(scene, tmp_path):
    corrected(tmp_path)
    samples_of(scene).update_many({}, {"$push": {"ssa.detections": {"note": "no detection"}}})
    import_corrections(scene, tmp_path / "project.json")
    assert {"note": "no detection"} in rows_of(scene)


def test_a_mask_that_a_run_replaced_is_not_lost(scene, tmp_path):
    corrected(tmp_path)
    samples_of(scene).update_many({}, {"$pull": {"ssa.detections": {"_id": rows_of(scene)[0]["_id"]}}})
    done = import_corrections(scene, tmp_path / "project.json")
    assert done.counts["new"] == 2
    assert "truck" in [row["label"] for row in rows_of(scene)]


def test_cvat_back_with_who_and_when(tmp_path):
    dataset = odd_dataset(tmp_path / "in", many=4, odd=False)
    export(dataset, tmp_path / "out", format="cvat")
    tree = ElementTree.parse(tmp_path / "out/annotations.xml")
    task = tree.getroot().find("meta/task")
    ElementTree.SubElement(ElementTree.SubElement(task, "assignee"), "username").text = "bo"
    ElementTree.SubElement(task, "updated").text = "2030-01-02 03:04:05+00:00"
    masks = list(tree.getroot().iter("mask"))
    masks[0].set("label", "truck")
    masks[1].set("left", "40")
    tree.getroot().find("image").remove(masks[2])
    new = ElementTree.fromstring(ElementTree.tostring(masks[1]))
    new.remove(new.find("attribute"))
    new.set("top", "70")
    tree.getroot().find("image").append(new)
    (tmp_path / "download").mkdir()
    tree.write(tmp_path / "download/annotations.xml")
    done = import_corrections(dataset, tmp_path / "download", format="cvat")
    assert dict(done.counts) == {"renamed": 1, "redrawn": 1, "deleted": 1, "new": 1, "unchanged": 1}
    assert dict(done.people) == {"bo": 4}
    assert {str(row.at) for row in done.changes} == {"2030-01-02 03:04:05"}
    assert import_corrections(dataset, tmp_path / "download", format="cvat").token is None
    dataset.delete()


def test_labelme_files_edited_in_the_folder_of_the_export(tmp_path):
    dataset = odd_dataset(tmp_path / "in", many=4, odd=False)
    export(dataset, tmp_path / "out", format="labelme", shapes="masks")
    (file,) = (tmp_path / "out").rglob("data/**/*.json")
    content = json.loads(file.read_text())
    content["shapes"][0]["label"] = "truck"
    buffer = io.BytesIO()
    Image.fromarray(SQUARE[20:40, 30:50]).save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    content["shapes"][1] |= {"mask": picture, "points": [[30, 20], [49, 39]]}
    del content["shapes"][2]
    file.write_text(json.dumps(content))
    done = import_corrections(dataset, tmp_path / "out", format="labelme", by="cy")
    assert dict(done.counts) == {"renamed": 1, "redrawn": 1, "deleted": 1, "unchanged": 1}
    assert dict(done.people) == {"cy": 3}
    dataset.delete()


def test_yolo_has_no_ids_and_is_told_by_pixels_and_overlap(make, tmp_path):
    dataset = make("a.png", "b.png")
    export(dataset, tmp_path / "out", format="yolo", label_field="m", classes=["x", "y"])
    lines = (tmp_path / "out/labels/a.txt").read_text()
    (tmp_path / "out/labels/a.txt").write_text("1" + lines[1:])
    moved = " ".join(f"{float(value) + 0.02:.6f}" for value in (tmp_path / "out/labels/b.txt").read_text().split()[1:])
    (tmp_path / "out/labels/b.txt").write_text(f"0 {moved}\n")
    done = import_corrections(dataset, tmp_path / "out", "m", format="yolo")
    assert dict(done.counts) == {"renamed": 1, "redrawn": 1}
    assert dataset.values("m.detections.label") == [["y"], ["x"]]
    dataset.delete()


def test_a_format_that_is_not_remembered_says_so(make, tmp_path):
    dataset = make("a.png")
    export(dataset, tmp_path / "out", format="coco", label_field="m")
    done = import_corrections(dataset, tmp_path / "out", "m", format="coco")
    assert "what leaves in the format coco is not remembered; name the folder" in str(done.problems)
    assert not import_corrections(dataset, tmp_path / "out", "m", format="coco", data_dir=tmp_path / "in").problems
    dataset.delete()


def test_without_a_memory_of_the_export_nothing_counts_as_deleted(scene, tmp_path):
    corrected(tmp_path)
    clone = scene.clone()
    done = import_corrections(clone, tmp_path / "project.json")
    assert "no image was exported" in str(done.problems) or done.counts["deleted"] == 0
    clone.delete()


def test_files_that_lead_to_several_images_are_told(tmp_path, make):
    dataset = make("one/a.png", "two/a.png")
    export(dataset, tmp_path / "out", format="cvat", label_field="m")
    text = (
        (tmp_path / "out/annotations.xml").read_text().replace('name="one/', 'name="').replace('name="two/', 'name="')
    )
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "back").mkdir()
    (tmp_path / "back/annotations.xml").write_text(text)
    done = import_corrections(dataset, tmp_path / "back", "m", format="cvat")
    assert "2 images were exported as a.png" in str(done.problems)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({"label_field": "no"}, "label_field must be"), ({"format": "x"}, "format must be"), ({"accept": 3}, "accept")],
)
def test_wrong_arguments_are_told(scene, tmp_path, arguments, told):
    with pytest.raises(InputError, match=told):
        import_corrections(scene, tmp_path / "out", **arguments)
    assert ObjectId.is_valid(scene.first().id)
