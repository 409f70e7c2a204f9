"""What people touched survives every later run: of other settings, on changed images, on masks of someone else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from bson import json_util

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels.database import samples_of
from fiftyone_ssa.labels.merge import beside_touched
from fiftyone_ssa.types import MaskSet

from .conftest import box_of

Make = Callable[..., fo.Dataset]
Run = Callable[..., Any]


def stored(dataset: fo.Dataset, field: str = "ssa") -> list[list[dict[str, Any]]]:
    """Each sample's detections as the database holds them."""
    documents = samples_of(dataset).find({}, {field: 1}).sort("_id")
    return [(document.get(field) or {}).get("detections") or [] for document in documents]


def edit(dataset: fo.Dataset) -> None:
    """Relabel, reject, tag and draw, as a person does in the App; one image each."""
    samples = list(dataset)
    samples[0].ssa.detections[0].label = "lawn, I say"
    samples[1].ssa.detections[1].review = "rejected"
    samples[2].ssa.detections[2].tags = ["look again"]
    mask = samples[3].ssa.detections[0].mask.copy()
    mask[:3, :3] = False
    samples[3].ssa.detections[0].mask = mask
    drawn = fo.Detection(label="bird", bounding_box=box_of((2, 2, 8, 8)), mask=np.ones((8, 8), bool), my_note="mine")
    samples[4].ssa.detections.append(drawn)
    for sample in samples:
        sample.save()


def touched_rows(rows: list[list[dict[str, Any]]], marks: list[Any]) -> list[str]:
    return [json_util.dumps(row, sort_keys=True) for sample in rows for row in sample if row["_id"] in marks]


def test_overwrite_keeps_what_people_touched_and_redoes_the_rest(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(6)
    name_masks(dataset)
    first = [row["_id"] for sample in stored(dataset) for row in sample]
    edit(dataset)
    before = stored(dataset)
    marks = [before[0][0]["_id"], before[1][1]["_id"], before[2][2]["_id"], before[3][0]["_id"], before[4][3]["_id"]]
    for options in ({}, {"overwrite": False}):
        with pytest.raises(InputError, match=r"'ssa' .*results of other settings \(6 samples.*overwrite=True"):
            name_masks(dataset, "Other", **options)
    assert stored(dataset) == before
    summary = name_masks(dataset, "Other", overwrite=True)
    assert (summary.done, summary.kept) == (6, 5)
    assert "5 masks kept as people left them" in str(summary)
    after = stored(dataset)
    assert touched_rows(after, marks) == touched_rows(before, marks)
    assert [len(sample) for sample in after] == [3, 3, 3, 3, 4, 3]
    new = [row for sample in after for row in sample if row["_id"] not in marks]
    assert {row["label"] for row in new} == {"roof", "wall"}
    assert not {row["_id"] for row in new} & set(first)
    again = name_masks(dataset, "Other", overwrite=True)
    assert (again.done, again.kept) == (6, 5)
    assert touched_rows(stored(dataset), marks) == touched_rows(before, marks)
    assert name_masks(dataset, "Other", overwrite="everything").kept == 0
    assert all(len(sample) == 3 and not any("review" in row for row in sample) for sample in stored(dataset))


def test_a_detection_whose_mask_cannot_be_read_costs_itself_only(
    make_dataset: Make, name_masks: Run, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset(3)
    sample = dataset.first()
    outside = fo.Detection(label="bird", bounding_box=[2.0, 0.1, 0.1, 0.1], mask=np.ones((6, 9), bool))
    box_only = fo.Detection(label="cat", bounding_box=[0.1, 0.1, 0.2, 0.2], my_note="mine")
    sample.masks.detections = [box_only, *sample.masks.detections[:2], outside, sample.masks.detections[2]]
    sample.save()
    before = stored(dataset, "masks")
    summary = name_masks(dataset)
    assert (summary.done, summary.masks, summary.bad_masks, summary.errors) == (3, 9, 2, {})
    assert [row["label"] for row in stored(dataset)[0]] == ["sky", "sky", "grass"]
    assert [row["area"] for row in stored(dataset)[0]] == [600, 400, 800]
    (told,) = [record.getMessage() for record in caplog.records if "could not be read" in record.getMessage()]
    assert told.startswith("2 masks")
    assert "0.png: detection 0: it has no mask, only a box" in told
    assert name_masks(dataset, label_field="masks").bad_masks == 2
    rows = stored(dataset, "masks")[0]
    assert [row["label"] for row in rows] == ["cat", "sky", "sky", "bird", "grass"]
    assert [rows[0], rows[3]] == [before[0][0], before[0][3]]
    assert [row["_id"] for row in rows] == [row["_id"] for row in before[0]]
    assert name_masks(dataset, label_field="masks").done == 0


def test_what_people_added_to_a_mask_stays_when_it_is_named_anew(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    name_masks(dataset)
    sample = dataset.first()
    sample.ssa.detections[1]["my_note"] = "mine"
    sample.ssa.detections[1]["caption"] = "of an engine before"
    sample.save()
    dataset.evaluate_detections("ssa", gt_field="masks", eval_key="judged", classwise=False)
    assert "judged" in stored(dataset)[0][1]
    assert name_masks(dataset, "Other", overwrite=True).kept == 0
    rows = [row for sample in stored(dataset) for row in sample]
    assert [row.get("my_note") for row in rows] == [None, "mine", None, None, None, None]
    assert {row["label"] for row in rows} == {"roof", "wall"}
    assert not any(key in row for row in rows for key in ("caption", "judged", "judged_id", "judged_iou"))
    samples_of(dataset).update_many({}, {"$set": {"masks.detections.1.bounding_box": box_of((61, 4, 20, 20))}})
    name_masks(dataset, overwrite=True)
    assert not any("my_note" in row for sample in stored(dataset) for row in sample)  # that mask is gone
    assert name_masks(dataset, overwrite="everything").kept == 0


def test_masks_that_are_redone_give_way_too(make_dataset: Make, name_masks: Run, tmp_path: Path) -> None:
    dataset = make_dataset(5)
    name_masks(dataset)
    edit(dataset)
    before = stored(dataset)
    for path in dataset.values("filepath"):
        Path(path).touch()
    summary = name_masks(dataset)
    assert (summary.done, dict(summary.redone), summary.kept) == (5, {"image changed": 5}, 5)
    assert "5 redone: 5 images changed" in str(summary)
    after = stored(dataset)
    assert [len(sample) for sample in after] == [3, 3, 3, 3, 4]
    assert after[0][-1] == before[0][0]


def test_an_edit_during_a_run_is_kept(make_dataset: Make, name_masks: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from fiftyone_ssa.labels import writer

    dataset = make_dataset(3)
    name_masks(dataset)
    read = writer.LabelWriter._current
    edits = []

    def current(self: Any, entries: Any) -> Any:
        found = read(self, entries)
        if not edits:  # between what the run reads and what it writes
            edits.append(
                samples_of(dataset).update_one(
                    {"_id": next(iter(found.values()))["_id"]},
                    {
                        "$set": {
                            "ssa.detections.1.label": "a kite",
                            "last_modified_at": fo.core.odm.database.datetime.utcnow(),
                        }
                    },
                )
            )
        return found

    monkeypatch.setattr(writer.LabelWriter, "_current", current)
    summary = name_masks(dataset, "Other", overwrite=True)
    assert edits[0].modified_count == 1
    assert (summary.done, summary.kept) == (3, 1)
    dataset.reload()
    assert "a kite" in [d.label for d in dataset.first().ssa.detections]


def test_someone_elses_masks_are_refused_whatever_overwrite_says(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    before = stored(dataset, "masks")
    for overwrite in (False, True, "everything"):
        with pytest.raises(InputError, match=r"'masks' .* holds Detections that SSA did not make.*masks_field='masks'"):
            name_masks(dataset, masks_field=None, label_field="masks", overwrite=overwrite)
    assert stored(dataset, "masks") == before


def test_someone_elses_masks_are_named_in_place(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    sample = dataset.first()
    for detection, label in zip(sample.masks.detections, ("sky", "a roof", None), strict=True):
        detection.label, detection.tags, detection["mine"] = label, ["t"] if label else [], 7
    sample.save()
    before = stored(dataset, "masks")
    assert name_masks(dataset, label_field="masks").done == 2
    after = stored(dataset, "masks")
    for old, new in zip([*before[0], *before[1]], [*after[0], *after[1]], strict=True):
        assert {key: new.get(key) for key in old if key != "label"} == {k: v for k, v in old.items() if k != "label"}
    assert [row["label"] for row in after[0]] == ["sky", "a roof", "grass"]
    assert [row["class_name"] for row in after[0]] == ["sky", "sky", "grass"]
    assert [row.get("review") for row in after[0]] == ["accepted", None, None]
    assert [row["label"] for row in after[1]] == ["sky", "sky", "grass"]
    assert name_masks(dataset, label_field="masks").done == 0
    with pytest.raises(InputError, match="other settings"):
        name_masks(dataset, "Other", label_field="masks")
    assert name_masks(dataset, "Other", label_field="masks", overwrite=True).kept == 2
    again = stored(dataset, "masks")
    assert again[0][:2] == after[0][:2]
    assert [row["label"] for row in again[0]] == ["sky", "a roof", "wall"]
    assert [row["label"] for row in again[1]] == ["roof", "roof", "wall"]
    with pytest.raises(InputError, match="named in place"):
        name_masks(dataset, masks_field=None, label_field="masks", overwrite=True)
    assert name_masks(dataset, "Other", label_field="masks", overwrite="everything").done == 2
    assert [row["label"] for row in stored(dataset, "masks")[0]] == ["roof", "roof", "wall"]
    assert [row["_id"] for row in stored(dataset, "masks")[0]] == [row["_id"] for row in before[0]]


def test_a_view_names_only_the_masks_that_it_shows_in_place(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(1)
    ids = [d.id for d in dataset.first().masks.detections]
    view = dataset.select_labels(ids=ids[1:2], fields="masks")
    assert name_masks(view, label_field="masks").done == 1
    dataset.reload()
    assert [d.label for d in dataset.first().masks.detections] == [None, "sky", None]
    assert [d.id for d in dataset.first().masks.detections] == ids


def test_drawn_before_the_first_run_is_kept(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    name_masks(dataset[:1])
    sample = dataset.last()
    box = box_of((24, 4, 30, 20))
    sample["ssa"] = fo.Detections(detections=[fo.Detection(label="kite", bounding_box=box)])  # a box alone
    sample.save()
    assert name_masks(dataset).kept == 1
    dataset.reload()
    assert [d.label for d in dataset.last().ssa.detections] == ["sky", "grass", "kite"]


def test_a_copied_field_has_no_record_and_is_not_replaced_unasked(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    name_masks(dataset)
    dataset.clone_sample_field("ssa", "copy")
    before = stored(dataset, "copy")
    with pytest.raises(InputError, match=r"'copy' .* without a record of how \(a copied field\)"):
        name_masks(dataset, label_field="copy")
    assert stored(dataset, "copy") == before
    assert name_masks(dataset, label_field="copy", overwrite=True).done == 2


def test_labels_of_an_earlier_version(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    name_masks(dataset)
    new = ("class_name", "mask_digest")
    update = {f"ssa.detections.$[].{name}": "" for name in new} | {"ssa_inputs": ""}
    samples_of(dataset).update_many({}, {"$set": {"ssa_preset": "0123456789abcdef|masks"}, "$unset": update})
    dataset.reload()
    sample = dataset.first()
    sample.ssa.detections[0].label = "my sky"
    sample.ssa.detections[1].mask = sample.ssa.detections[1].mask[:, :10]
    sample.save()
    with pytest.raises(InputError, match="2 samples, of an earlier version or another database"):
        name_masks(dataset)
    assert name_masks(dataset, overwrite=True).kept == 2
    dataset.reload()
    assert [[d.label for d in label.detections] for label in dataset.values("ssa")] == [
        ["grass", "my sky", "sky"],
        ["sky", "sky", "grass"],
    ]


def test_the_best_proposal_of_an_earlier_version_is_the_first_text() -> None:
    row = {"_id": 1, "label": "sky", "area": 4, "mask": np.ones((2, 2), bool), "bounding_box": [0.0, 0.0, 0.5, 0.5]}
    for proposals, touched in (([None, "sky"], 0), ([7, "grass"], 1), ([7], 1), ("sky", 1)):
        old = [{**row, "class_proposals": proposals, "proposal_scores": [0.5, 0.5]}]
        assert beside_touched({"detections": []}, old, MaskSet.empty((4, 4)), from_before=True).kept == touched


@pytest.mark.parametrize("value", ["yes", "all", 1, None, "true", 0])
def test_overwrite_is_one_of_three_values(make_dataset: Make, name_masks: Run, value: object) -> None:
    with pytest.raises(InputError, match=r"overwrite must be False .*, True .* or \"everything\""):
        name_masks(make_dataset(1), overwrite=value)
