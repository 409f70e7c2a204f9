"""The queue's order and counts, and what is shown of its masks."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest
from bson import ObjectId
from fiftyone import ViewField as F

from fiftyone_ssa.curation.decisions import relabel, review
from fiftyone_ssa.curation.queue import SHOWN_PIXELS, review_items, review_queue
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.doubt import doubt
from tests.labels.conftest import BOXES_XYWH

Make = Callable[..., fo.Dataset]
Run = Callable[..., Any]
MARGINS = (0.9, 0.1, 0.5, 0.7, 0.3, 0.2)


@pytest.fixture
def dataset(make_dataset: Make, name_masks: Run) -> fo.Dataset:
    """Two images of three masks each, with the margins above."""
    made = make_dataset(2)
    name_masks(made)
    made.reload()
    for number, mask in enumerate(made.values("ssa.detections.id", unwind=True)):
        values = {
            "vote_margin": MARGINS[number],
            "vote_share": MARGINS[number],
            "confidence": MARGINS[number],
            "proposal_scores": [0.9],
            "class_proposals": ["sky"],
        }
        change = {"$set": {f"ssa.detections.$[m].{name}": value for name, value in values.items()}}
        samples_of(made).update_many({}, change, array_filters=[{"m._id": ObjectId(mask)}])
    made.reload()
    return made


def plainly_sorted(dataset: fo.Dataset) -> list[tuple[str, str, float]]:
    """The whole queue, with every mask fetched and sorted here."""
    doubts = {"id": "$$this._id", "doubt": doubt()}
    found = samples_of(dataset).aggregate(
        [{"$project": {"masks": {"$map": {"input": "$ssa.detections", "in": doubts}}}}]
    )
    masks = [(mask["doubt"], str(mask["id"]), str(row["_id"])) for row in found for mask in row["masks"]]
    return [(image, mask, round(value, 3)) for value, mask, image in sorted(masks, key=lambda m: (-m[0], m[1]))]


def test_the_most_doubtful_come_first(dataset: fo.Dataset) -> None:
    queue = review_queue(dataset)
    assert queue.rows == plainly_sorted(dataset)
    assert len({doubt for *_, doubt in queue.rows}) > 1
    assert {sample for sample, *_ in queue.rows} == set(dataset.values("id"))
    assert (queue.total, queue.open, queue.reviewed, queue.label_field) == (6, 6, 0, "ssa")
    assert queue.names == ["sky", "grass"]
    assert queue.fields == ["masks", "ssa"]


def test_other_orders_and_the_limit(dataset: fo.Dataset) -> None:
    found = {d.id: d for sample in dataset for d in sample.ssa.detections}
    areas = [found[mask].area for _, mask, _ in review_queue(dataset, order="area").rows]
    assert areas == sorted(areas, reverse=True)
    labels = [found[mask].label for _, mask, _ in review_queue(dataset, order="class").rows]
    assert labels == ["grass"] * 2 + ["sky"] * 4
    short = review_queue(dataset, limit=2)
    assert (short.rows, short.total) == (review_queue(dataset).rows[:2], 6)


def test_only_open_masks_unless_asked(dataset: fo.Dataset) -> None:
    first, second, third = (mask for _, mask, _ in review_queue(dataset).rows[:3])
    relabel(dataset, ids=[first], label="kite")
    review(dataset, "reject", ids=[second])
    review(dataset, "accept", ids=[third])
    queue = review_queue(dataset)
    assert not {first, second, third} & {mask for _, mask, _ in queue.rows}
    assert (queue.total, queue.open, queue.reviewed) == (6, 3, 3)
    assert [mask for _, mask, _ in review_queue(dataset, states=["corrected"]).rows] == [first]
    assert len(review_queue(dataset, states=["rejected", "accepted", "open"]).rows) == 5
    assert set(review_queue(dataset).names) == {"sky", "grass", "kite"}


def test_views_classes_and_images_count(dataset: fo.Dataset) -> None:
    view = dataset.limit(1).filter_labels("ssa", F("label") == "sky")
    queue = review_queue(view)
    assert (queue.total, len(queue.rows), queue.names) == (2, 2, ["sky", "grass"])
    queue = review_queue(dataset, class_name="grass")
    assert (queue.total, len(queue.rows)) == (2, 2)
    queue = review_queue(dataset, sample_ids=[dataset.last().id])
    assert ({sample for sample, *_ in queue.rows}, queue.total) == ({dataset.last().id}, 3)
    patches = dataset.to_patches("ssa").limit(2)
    queue = review_queue(patches)
    assert {(sample, mask) for sample, mask, _ in queue.rows} == set(
        zip(*patches.values(["sample_id", "ssa.id"]), strict=True)
    )
    assert review_queue(patches, sample_ids=[dataset.last().id]).total == 0


def test_someone_elses_masks_are_open(make_dataset: Make) -> None:
    dataset = make_dataset(1)
    dataset.set_values("masks.detections.label", [["a", "b", "b"]])
    queue = review_queue(dataset)
    assert (queue.label_field, queue.open, queue.names) == ("masks", 3, ["b", "a"])
    assert review_items(dataset, "masks", [queue.rows[0][:2]])[0]["state"] == "open"


def test_what_is_shown_of_a_mask(dataset: fo.Dataset) -> None:
    sample = dataset.first()
    pairs = [(sample.id, d.id) for d in reversed(sample.ssa.detections)]
    items = review_items(dataset, "ssa", [*pairs, (sample.id, str(ObjectId()))])
    assert [(item["sample_id"], item["mask_id"]) for item in items] == pairs
    for item, detection in zip(items, reversed(sample.ssa.detections), strict=True):
        x, y, w, h = BOXES_XYWH[sample.ssa.detections.index(detection)]
        assert item["box"] == [x, y, w, h]
        assert (item["width"], item["height"], item["filepath"]) == (96, 64, sample.filepath)
        assert (item["label"], item["class_name"], item["state"]) == (detection.label, detection.label, "open")
        assert item["proposals"] == [{"name": "sky", "score": 0.9}]
        assert item["margin"] == detection.vote_margin
        assert (pixels(item) == 255).all()
        assert pixels(item).shape == (h, w)


def pixels(item: dict[str, Any]) -> Any:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(item["mask"]))))


def test_masks_on_disk_large_ones_damaged_ones_and_boxes(dataset: fo.Dataset, tmp_path: Path) -> None:
    save_png(np.full((3000, 2000), 255, np.uint8), tmp_path / "large.png")
    sample = dataset.first()
    values = {"0.mask_path": str(tmp_path / "large.png"), "1.mask": b"no mask", "2.proposal_scores": 0.9}
    change = {
        "$set": {f"ssa.detections.{name}": value for name, value in values.items()},
        "$unset": {"ssa.detections.0.mask": "", "ssa.detections.2.mask": ""},
    }
    samples_of(dataset).update_one({"_id": ObjectId(sample.id)}, change)
    items = review_items(dataset, "ssa", [(sample.id, d.id) for d in sample.ssa.detections])
    assert max(pixels(items[0]).shape) <= SHOWN_PIXELS
    assert [bool(item["mask"]) for item in items] == [True, False, False]
    assert [item["box"] for item in items] == [list(box) for box in BOXES_XYWH]
    assert [item["proposals"][0]["score"] for item in items] == [0.9, 0.9, None]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"order": "random"}, "order must be one of doubt, area, class; got 'random'"),
        ({"states": ["done"]}, "states must be a list of accepted, corrected, rejected, open; got"),
        ({"limit": True}, "limit must be a whole number"),
        ({"label_field": "ssa_semantic"}, "label_field must be a Detections field"),
        ({"sample_ids": "abc"}, "sample_ids must be a list of ids"),
    ],
)
def test_bad_arguments(dataset: fo.Dataset, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        review_queue(dataset, **options)


def test_no_field_of_masks(make_dataset: Make) -> None:
    dataset = make_dataset(1)
    dataset.delete_sample_field("masks")
    with pytest.raises(InputError, match=r"no field of .* holds masks; annotate first"):
        review_queue(dataset)
