"""Done means done: inputs are what they were, outputs are there, and what disappears under a run is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import writer
from fiftyone_ssa.labels.clean import default_folder
from fiftyone_ssa.labels.database import samples_of

Make = Callable[..., fo.Dataset]
Run = Callable[..., Any]


def top_names(dataset: fo.Dataset, field: str = "ssa_semantic") -> list[str]:
    """The name of each map's first pixel."""
    return [dataset.mask_targets[field][int(label.get_mask()[0, 0])] for label in dataset.values(field)]


@pytest.mark.parametrize("field", ["ssa", "ssa_semantic", "ssa_branch"])
def test_a_deleted_or_cleared_field_is_made_again(field: str, make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    name_masks(dataset, keep_branch=True)
    dataset.delete_sample_field(field)
    reason = "image whose labels were gone" if field == "ssa" else "image without a class map"
    summary = name_masks(dataset, keep_branch=True)
    assert (summary.done, dict(summary.redone)) == (2, {reason: 2})
    dataset[:1].clear_sample_field(field)
    summary = name_masks(dataset, keep_branch=True)
    assert (summary.done, summary.skipped, dict(summary.redone)) == (1, 1, {reason: 1})
    assert dataset.count(field) == 2
    assert name_masks(dataset, keep_branch=True).skipped == 2


def test_lost_files_are_made_again(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(3)
    name_masks(dataset, keep_branch=True, mask_files_above=0)
    first, second, third = dataset
    Path(first.ssa_semantic.mask_path).unlink()
    Path(second.ssa_branch.mask_path).unlink()
    Path(third.ssa.detections[1].mask_path).unlink()
    summary = name_masks(dataset, mask_files_above=0)
    assert (summary.done, dict(summary.redone), summary.kept) == (3, {"image whose files were gone": 3}, 0)
    dataset.reload()
    assert all(Path(d.mask_path).is_file() for label in dataset.values("ssa") for d in label.detections)
    assert all(Path(label.mask_path).is_file() for label in dataset.values("ssa_branch"))


def test_changed_inputs_are_done_again(make_dataset: Make, name_masks: Run, tmp_path: Path) -> None:
    dataset = make_dataset(4)
    dataset.add_sample_field("given", fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    name_masks(dataset, label_field="first", keep_branch=True)
    options = {"semantic_field": "first_branch", "label_field": "second", "overrides": {}}
    name_masks(dataset, **options)
    samples = list(dataset)
    shutil.copy(samples[0].filepath, tmp_path / "other.png")
    shutil.copy(tmp_path / "other.png", samples[0].filepath)
    mask = samples[1].masks.detections[0].mask.copy()
    mask[0, 0] = False
    samples[1].masks.detections[0].mask = mask
    samples[2].masks.detections[0].label = "a name says nothing of a mask"
    samples[2].masks.detections = samples[2].masks.detections[::-1]
    Path(samples[3].first_branch.mask_path).touch()
    for sample in samples:
        sample.save()
    summary = name_masks(dataset, **options)
    assert (summary.done, summary.skipped) == (3, 1)
    reasons = {"image changed": 1, "image with changed masks": 1, "image with a changed class map": 1}
    assert dict(summary.redone) == reasons
    assert name_masks(dataset, **options).done == 0


def test_masks_saved_anew_are_the_same_masks(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(1)
    name_masks(dataset)
    before = samples_of(dataset).find_one()["masks"]["detections"][0]["mask"]
    sample = dataset.first()
    sample["masks"] = fo.Detections(
        detections=[
            fo.Detection(bounding_box=d.bounding_box, mask=d.mask.astype(np.uint8) * 255)
            for d in sample.masks.detections
        ]
    )
    sample.save()
    assert samples_of(dataset).find_one()["masks"]["detections"][0]["mask"] != before
    assert name_masks(dataset).skipped == 1


def test_a_failed_sample_is_tried_again(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    path = Path(dataset.first().filepath)
    content = path.read_bytes()
    path.write_bytes(b"")
    assert len(name_masks(dataset).errors) == 1
    path.write_bytes(content)
    summary = name_masks(dataset)
    assert (summary.done, summary.skipped) == (1, 1)


def test_clones_copies_and_other_samples_never_read_another_map(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(4)
    name_masks(dataset)
    clone = dataset.clone()
    dataset.clone_sample_field("ssa_semantic", "copy")
    dataset.mask_targets["copy"] = dict(dataset.mask_targets["ssa_semantic"])
    dataset.save()
    files = dataset.values("ssa_semantic.mask_path")
    contents = [Path(path).read_bytes() for path in files]
    for segmenter in ("Turned", "Other", "Halves"):
        name_masks(dataset[:2], segmenter, overwrite=True)
        top = {"Turned": "sky", "Other": "roof", "Halves": "sky"}[segmenter]
        assert top_names(dataset) == [top, top, "sky", "sky"]
        assert top_names(clone) == top_names(dataset, "copy") == ["sky"] * 4
        assert [Path(path).read_bytes() for path in files] == contents
        assert clone.mask_targets["ssa_semantic"] == {1: "sky", 2: "grass"}
    assert name_masks(clone, "Other", overwrite=True).done == 4
    assert top_names(clone) == ["roof"] * 4
    assert top_names(dataset)[2:] == ["sky", "sky"]
    assert [Path(path).read_bytes() for path in files] == contents


def test_two_fields_of_two_processes_keep_each_others_class_names(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(1)
    name_masks(dataset, label_field="mine")
    datasets = (
        dataset._doc._get_db().datasets if hasattr(dataset._doc, "_get_db") else fo.core.odm.get_db_conn().datasets
    )
    datasets.update_one({"_id": dataset._doc.id}, {"$set": {"mask_targets.theirs": {"1": "sea"}}})  # another process
    name_masks(dataset, label_field="third")
    found = datasets.find_one({"_id": dataset._doc.id})["mask_targets"]
    assert found["theirs"] == {"1": "sea"}
    assert {"mine_semantic", "third_semantic"} <= found.keys()


def during(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object], *, batch: int = 2) -> None:
    """Do something after the first batch of a run is written."""
    write, done = writer.LabelWriter._write_once, []

    def write_once(self: Any, entries: Any) -> Any:
        left = write(self, entries)
        if not done:
            done.append(action())
        return left

    monkeypatch.setattr(writer, "BATCH_SAMPLES", batch)
    monkeypatch.setattr(writer.LabelWriter, "_write_once", write_once)


def files_of(dataset: fo.Dataset) -> set[str]:
    return {str(path) for path in default_folder(dataset).rglob("*") if path.is_file()}


def test_samples_deleted_meanwhile_are_counted_apart(
    make_dataset: Make, name_masks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(8)
    ids = dataset.values("id")
    during(monkeypatch, lambda: samples_of(dataset).delete_many({"_id": {"$in": [ObjectId(ids[7])]}}))
    summary = name_masks(dataset)
    assert (summary.done, summary.deleted, summary.errors, summary.masks) == (7, 1, {}, 21)
    assert "1 deleted meanwhile" in str(summary)
    dataset.reload()
    assert files_of(dataset) == set(dataset.values("ssa_semantic.mask_path"))


@pytest.mark.parametrize("field", ["ssa", "ssa_semantic", "ssa_preset"])
def test_a_field_deleted_meanwhile_ends_the_run(
    field: str, make_dataset: Make, name_masks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(8)
    name = dataset.name

    def delete() -> None:
        document = fo.core.odm.get_db_conn().datasets.find_one({"name": name})
        samples_of(dataset).update_many({}, {"$unset": {field: ""}})
        kept = [row for row in document["sample_fields"] if row["name"] != field]
        fo.core.odm.get_db_conn().datasets.update_one({"name": name}, {"$set": {"sample_fields": kept}})

    during(monkeypatch, delete)
    with pytest.raises(InputError, match=rf"field '{field}' of .* was deleted or renamed while"):
        name_masks(dataset)
    assert samples_of(dataset).count_documents({field: {"$exists": True}}) == 0


def test_a_dataset_deleted_meanwhile_ends_the_run(
    make_dataset: Make, name_masks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(8)
    name, folder, samples = dataset.name, default_folder(dataset), samples_of(dataset)

    def delete() -> None:
        fo.core.odm.get_db_conn().datasets.delete_one({"name": name})
        samples.drop()

    during(monkeypatch, delete)
    with pytest.raises(InputError, match=f"dataset '{name}' was deleted"):
        name_masks(dataset)
    assert samples.count_documents({}) == 0
    assert len(list(folder.rglob("*.png"))) <= 2


def test_a_dataset_that_this_process_deleted_is_one_sentence(
    make_dataset: Make, name_masks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(8)
    during(monkeypatch, dataset.delete)
    with pytest.raises(InputError, match=r"dataset '.*' was deleted"):
        name_masks(dataset)
    with pytest.raises(InputError, match="this dataset was deleted"):
        name_masks(dataset)


def test_labels_that_were_all_deleted_are_made_again(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    name_masks(dataset)
    one = dataset.first().ssa.detections[0].id
    dataset.delete_labels(ids=[one], fields="ssa")  # a person's choice
    assert name_masks(dataset).skipped == 2
    dataset.delete_labels(view=dataset[:1], fields="ssa")
    summary = name_masks(dataset)
    assert (summary.done, dict(summary.redone)) == (1, {"image whose labels were gone": 1})


def test_what_bson_does_not_take_is_one_samples_failure(make_dataset: Make, name_masks: Run, segmenters: Path) -> None:
    segmenters.write_text(segmenters.read_text() + "class Odd(Halves):\n" + "    classes = ['sky\\udc80', 'grass']\n")
    dataset = make_dataset(3)
    try:
        summary = name_masks(dataset, "Odd")
    except InputError:
        return  # a name that is no text may be refused at once
    assert len(summary.errors) == 3 - summary.done
