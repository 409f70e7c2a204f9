"""What left for an annotation tool, until it comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.exported import (
    GIVEN_UP,
    ExportedMask,
    Exports,
    collection,
    endings,
    exported_mask,
    pixels_digest,
    recall,
)
from fiftyone_ssa.labels.journal import Said
from fiftyone_ssa.masks import rle

MASK = ExportedMask(ObjectId(), "car", "a", "b", Said("car", None, None))


@pytest.fixture
def dataset():
    """An id that no dataset has."""
    identity = ObjectId()
    yield identity
    collection().delete_many({"dataset": identity})


def send(dataset, sample, *names, finish=True):
    exports = Exports(dataset, "ssa", "cvat")
    exports.add(str(sample), names, [MASK])
    if finish:
        exports.finish()
    return exports


def test_the_last_export_that_was_finished_counts(dataset):
    sample, other = ObjectId(), ObjectId()
    send(dataset, sample, "data/a.png")
    send(dataset, other, "data/b.png")
    assert recall(dataset, "ssa", "cvat", sample=str(sample)).masks == (MASK,)
    later = Exports(dataset, "ssa", "cvat")
    later.add(str(sample), ["a.png"], [])
    assert len(recall(dataset, "ssa", "cvat", sample=str(sample)).masks) == 1
    later.finish()
    assert recall(dataset, "ssa", "cvat", sample=str(sample)).masks == ()
    assert len(recall(dataset, "ssa", "cvat", sample=str(other)).masks) == 1
    assert recall(dataset, "ssa", "yolo", sample=str(sample)) is None


def test_a_path_is_known_by_its_longest_end(dataset):
    first, second = ObjectId(), ObjectId()
    send(dataset, first, "one/a.png", "a.png")
    send(dataset, second, "two/a.png", "a.png")
    assert recall(dataset, "ssa", "cvat", path=Path("/x/two/a.png")).sample == second
    assert recall(dataset, "ssa", "cvat", path=Path("/x/b.png")) is None
    with pytest.raises(InputError, match=r"2 images were exported as a\.png"):
        recall(dataset, "ssa", "cvat", path=Path("/x/three/a.png"))
    assert endings(Path("/x/two/a.png"))[1:] == ["x/two/a.png", "two/a.png", "a.png"]


def test_exports_that_were_killed_are_forgotten_and_running_ones_are_not(dataset):
    sample = ObjectId()
    send(dataset, sample, "a.png", finish=False)
    Exports(dataset, "ssa", "cvat")
    assert collection().count_documents({"dataset": dataset}) == 1
    collection().update_many({"dataset": dataset}, {"$set": {"at": datetime.now(UTC) - 2 * GIVEN_UP}})
    Exports(dataset, "ssa", "cvat")
    assert collection().count_documents({"dataset": dataset}) == 0


def test_pixels_digest_tells_pixels_and_sizes_apart_and_no_codes():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2] = True
    code = rle.encode(mask)
    assert pixels_digest(code, (4, 6)) == pixels_digest(rle.encode(mask.copy()), (4, 6))
    moved = np.roll(mask, 1, axis=1)
    assert pixels_digest(code, (4, 6)) != pixels_digest(rle.encode(moved), (4, 6))
    assert pixels_digest(rle.encode(np.ones((4, 6), bool)), (4, 6)) != pixels_digest(
        rle.encode(np.ones((6, 4), bool)), (6, 4)
    )
    assert exported_mask({"_id": 3}, "car", "a", "b") is None
