"""Masks of a field that have names: read where asked for, kept beside ours, and part of what a run depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_ssa.errors import InputError

Make = Callable[..., fo.Dataset]
Run = Callable[..., Any]
PROPOSED = {"masks.names": "proposed", "semantic.vote": "hard"}


@pytest.fixture
def named(make_dataset: Make) -> fo.Dataset:
    """One image; two masks in its upper half, which is sky, one in its lower, which is grass."""
    dataset = make_dataset()
    sample = dataset.first()
    upper, other, lower = sample.masks.detections
    upper.label, upper.confidence = "Grass", 1.0
    other.label = "dog"
    upper.bounding_box[3] = 40 / 64  # half of it lies on grass
    upper.mask = np.ones((40, 30), bool)
    sample.save()
    assert lower.label is None
    return dataset


def test_names_of_a_field_count_where_that_is_asked_for(named: fo.Dataset, name_masks: Run) -> None:
    name_masks(named, label_field="ssa", overrides={"semantic.vote": "hard"})
    assert named.values("ssa.detections.label") == [["sky", "sky", "grass"]]
    assert "ssa.detections.source_name" not in named.get_field_schema(flat=True)
    name_masks(named, label_field="told", overrides=PROPOSED)
    assert named.values("told.detections.label") == [["grass", "sky", "grass"]]
    assert named.values("told.detections.source_name") == [["Grass", "dog", None]]
    assert named.values("told.detections.source_score") == [[1.0, None, None]]
    assert named.count_values("told.detections.source_name") == {"Grass": 1, "dog": 1, None: 1}


def test_a_new_name_is_a_new_input(named: fo.Dataset, name_masks: Run) -> None:
    name_masks(named, label_field="told", overrides=PROPOSED)
    name_masks(named, label_field="ssa")
    assert name_masks(named, label_field="told", overrides=PROPOSED).done == 0
    sample = named.first()
    sample.masks.detections[0].label = "sky"
    sample.save()
    assert name_masks(named, label_field="ssa").done == 0  # where names are not read they do not matter
    again = name_masks(named, label_field="told", overrides=PROPOSED)
    assert (again.done, dict(again.redone)) == (1, {"image with changed masks": 1})
    assert named.values("told.detections.label") == [["sky", "sky", "grass"]]


def test_in_place_what_we_said_is_no_name_of_the_masks(named: fo.Dataset, name_masks: Run) -> None:
    """So that a second run hears the same as the first."""
    name_masks(named, label_field="masks", overrides=PROPOSED)
    first = named.values("masks.detections.class_name")
    assert first == [["grass", "sky", "grass"]]
    assert named.values("masks.detections.label") == [["Grass", "dog", "grass"]]
    assert named.values("masks.detections.source_name") == [["Grass", "dog", None]]
    assert name_masks(named, label_field="masks", overrides=PROPOSED).done == 0
    assert name_masks(named, label_field="masks", overrides=PROPOSED, overwrite=True).done == 1
    assert named.values("masks.detections.class_name") == first
    assert named.values("masks.detections.source_name") == [["Grass", "dog", None]]


def test_concepts_add_no_masks_in_place(named: fo.Dataset, name_masks: Run) -> None:
    with pytest.raises(
        InputError, match=r"masks\.concepts adds masks, and a field that is named in place keeps its own"
    ):
        name_masks(named, label_field="masks", overrides={"masks.concepts": "facebook/sam3"})
