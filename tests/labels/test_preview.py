"""What a field holds and what a run would do to it, against fields that are made for each case."""

import time

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.annotate import Job
from fiftyone_ssa.labels.preview import preview


def job(dataset, **options):
    return Job(dataset, **{"label_field": "ssa", "preset": "mini-ssa", **options})


@pytest.fixture
def dataset(tmp_path):
    """Six images: three done by mini-ssa with two masks each, one failed, two new."""
    dataset = fo.Dataset()
    dataset.add_samples(fo.Sample(filepath=str(tmp_path / f"{index}.png")) for index in range(6))
    fields = (("ssa", fo.Detections), ("ssa_preset", None), ("ssa_error", None))
    for name, kind in fields:
        options = {"embedded_doc_type": kind} if kind else {}
        dataset.add_sample_field(name, fo.EmbeddedDocumentField if kind else fo.StringField, **options)
    settings = job(dataset).settings()
    runs.begin(dataset, "ssa", "mini-ssa", settings, tmp_path, overwrite=False)
    for sample in dataset[:3].iter_samples(autosave=True):
        masks = [fo.Detection(label=name, class_name=name, mask=np.ones((2, 2), bool)) for name in ("cat", "dog")]
        sample["ssa"] = fo.Detections(detections=masks)
        sample["ssa_preset"] = settings.fingerprint
    for sample in dataset[3:4].iter_samples(autosave=True):
        sample["ssa_preset"], sample["ssa_error"] = settings.fingerprint, "no such file"
    yield dataset
    dataset.delete()


def test_an_empty_field_is_to_be_filled(dataset):
    assert str(preview(job(dataset, label_field="new"))) == "new holds nothing yet: 6 images will be named."


def test_what_is_done_is_skipped_and_what_failed_is_tried_again(dataset):
    found = preview(job(dataset))
    assert (found.images, found.done, found.failed, found.to_do) == (6, 3, 1, 3)
    assert str(found) == (
        "ssa holds 6 masks (preset mini-ssa in 3 images). "
        "3 images done with these settings: skipped; 3 images to do, 1 of them failed before."
    )


def test_what_people_touched_is_counted_and_stays(dataset):
    masks = dataset.first().ssa.detections
    dataset.set_label_values("ssa.detections.review", {masks[0].id: "rejected"})
    dataset.set_label_values("ssa.detections.label", {masks[1].id: "tiger"})
    redone = preview(job(dataset, overwrite=True))
    assert redone.touched == 2
    assert redone.to_do == 6
    assert str(redone).endswith("All 6 images are redone; the 2 touched masks stay as they are.")
    assert str(preview(job(dataset, overwrite="everything"))).endswith("All are replaced, the 2 touched ones, too.")


def test_tags_and_drawn_masks_count_as_touched(dataset):
    sample = dataset.first()
    sample.ssa.detections[0].tags = ["odd"]
    sample.ssa.detections.append(fo.Detection(label="mine", mask=np.ones((2, 2), bool)))
    sample.save()
    assert preview(job(dataset)).touched == 2


def test_other_settings_are_not_done(dataset):
    found = preview(job(dataset, overrides={"semantic.vote": "soft"}))
    assert (found.done, found.to_do) == (0, 6)


def test_only_the_first_are_looked_at(dataset):
    found = preview(job(dataset), at_most=3)
    assert (found.images, found.looked_at, found.to_do) == (6, 3, 0)
    assert str(found).startswith("In the first 3 images ssa holds 6 masks")


def test_only_the_view_counts(dataset):
    assert preview(job(dataset[4:])).images == 2
    assert preview(job(dataset[4:])).masks == 0


def test_it_is_quick_where_there_is_much(dataset):
    masks = [fo.Detection(label="cat", class_name="cat", mask=np.ones((20, 20), bool)) for _ in range(100)]
    sample = dataset.first()
    sample["ssa"] = fo.Detections(detections=masks)
    sample.save()
    document = dataset._sample_collection.find_one({"_id": sample._id})
    for _ in range(3):
        copies = [{**document, "_id": ObjectId()} for _ in range(300)]
        dataset._sample_collection.insert_many(copies)
    preview(job(dataset))
    started = time.process_time()
    assert preview(job(dataset)).masks > 40_000
    assert time.process_time() - started < 1.5  # .15 s on a quiet machine
