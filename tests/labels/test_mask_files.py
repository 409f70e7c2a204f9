"""Masks in files beside the dataset: every reader, edit and run finds there what it finds in documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.exporting import export
from fiftyone_ssa.labels.clean import clean, default_folder
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.levels import levels
from fiftyone_ssa.labels.repaint import repaint
from fiftyone_ssa.labels.stored_masks import mask_set_from_detections


def _masks(dataset: fo.Dataset, field: str) -> list[Any]:
    return [mask_set_from_detections(row[field], (64, 96)).rles for row in samples_of(dataset).find().sort("_id")]


def _said(dataset: fo.Dataset, field: str, *names: str) -> list[Any]:
    found: list[Any] = dataset.values([f"{field}.detections.{name}" for name in names])
    return found


def test_files_hold_what_documents_hold(
    make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any], tmp_path: Path
) -> None:
    dataset = make_dataset(count=3)
    name_masks(dataset, label_field="inside")
    name_masks(dataset, label_field="beside", mask_files_above=0)
    files = sorted((default_folder(dataset) / "beside_masks").glob("*/*.png"))
    assert len(files) == dataset.count("beside.detections") == 9
    assert not any(
        row.get("mask") for document in samples_of(dataset).find() for row in document["beside"]["detections"]
    )
    assert _masks(dataset, "beside") == _masks(dataset, "inside")
    names = ("label", "class_name", "mask_digest", "area", "confidence")
    assert _said(dataset, "beside", *names) == _said(dataset, "inside", *names)
    for field in ("inside", "beside"):
        assert name_masks(dataset, label_field=field, mask_files_above=0 if field == "beside" else 4.0).skipped == 3
        assert repaint(dataset, field).unchanged == 3
        levels(dataset, field)
        export(dataset, tmp_path / field, label_field=field)
    assert _said(dataset, "beside", "level") == _said(dataset, "inside", "level")
    pair = [(tmp_path / field / "labels.json").read_text() for field in ("inside", "beside")]
    assert [text.count('"counts"') for text in pair] == [9, 9]


def test_what_a_person_redraws_stays_and_files_that_nothing_names_go(
    make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]
) -> None:
    dataset = make_dataset(count=2)
    name_masks(dataset, label_field="ssa", mask_files_above=0)
    sample = dataset.first()
    drawn = sample.ssa.detections[0]
    drawn.mask_path, drawn.mask = None, np.ones((5, 5), bool)
    sample.save()
    assert clean(dataset).files == 1  # the file of the mask that is in the document now
    summary = name_masks(dataset, label_field="ssa", mask_files_above=0, overwrite=True)
    assert summary.kept == 1
    kept = next(row for row in dataset.first().ssa.detections if row.id == drawn.id)
    assert kept.mask.shape == (5, 5)
    assert clean(dataset).files == 5 + 2  # the masks before, and both class maps
    assert all(Path(path).is_file() for path in filter(None, _said(dataset, "ssa", "mask_path")[0][0]))


@pytest.mark.parametrize("wrong", [-1, 5, "4", None, float("nan")])
def test_a_size_that_no_document_holds_is_refused(
    wrong: Any, make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match="mask_files_above must be a number of megabytes from 0 to 4"):
        name_masks(make_dataset(), mask_files_above=wrong)
