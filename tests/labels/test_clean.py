from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import pytest
from bson import ObjectId

from fiftyone_ssa import clean
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import PART
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.clean import default_folder
from fiftyone_ssa.labels.database import dataset_id, own_collection
from fiftyone_ssa.labels.lease import LeaseHeldError, hold

Make = Callable[..., fo.Dataset]
Run = Callable[..., Any]


def files_below(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def maps_of(*datasets: fo.Dataset, field: str = "ssa_semantic") -> set[str]:
    return {path for dataset in datasets for path in dataset.values(f"{field}.mask_path")}


def test_only_what_nothing_points_to_goes(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(3)
    folder = default_folder(dataset)
    name_masks(dataset)
    clone = dataset.clone()
    dataset.clone_sample_field("ssa_semantic", "kept")
    by_path = fo.Dataset()
    by_path.add_sample(fo.Sample(filepath=dataset.values("ssa_semantic.mask_path")[2]))
    first = maps_of(dataset)
    name_masks(dataset, "Turned", overwrite=True)
    second = maps_of(dataset)
    name_masks(dataset, "Other", overwrite=True)
    would = clean(dataset, dry_run=True)
    assert (would.files, would.dry_run) == (3, True)
    assert files_below(folder) == first | second | maps_of(dataset)
    cleaned = clean(dataset)
    assert (cleaned.files, cleaned.size_bytes) == (3, would.size_bytes)
    assert str(cleaned).startswith("removed 3 files that no label points to (")
    assert files_below(folder) == first | maps_of(dataset)
    dataset.delete_sample_field("kept")
    assert clean(dataset.name).files == 0
    clone.delete()
    assert clean(dataset).files == 2  # the third is another dataset's picture
    assert name_masks(dataset, "Other").skipped == 3


def test_masks_in_files_go_with_their_folder(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(2)
    name_masks(dataset, mask_files_above=0)
    name_masks(dataset, "Other", overwrite=True, mask_files_above=0)
    assert clean(dataset).files == 2 * (1 + 3)
    masks = {d.mask_path for label in dataset.values("ssa") for d in label.detections}
    assert files_below(default_folder(dataset)) == maps_of(dataset) | masks
    assert len(list((default_folder(dataset) / "ssa_masks").iterdir())) == 2


def test_a_folder_of_ones_own_keeps_all_that_is_not_of_this_dataset(
    make_dataset: Make, name_masks: Run, tmp_path: Path
) -> None:
    dataset, other = make_dataset(2), make_dataset(2)
    folder = tmp_path / "maps"
    for each in (dataset, other):
        name_masks(each, semantic_dir=folder)
    mine = folder / "ssa_semantic"
    foreign = [
        folder / "holiday.png",
        mine / "notes.txt",
        mine / "cat.png",
        mine / f"{'0' * 24}.png",
        mine / f"{'0' * 24}-{'a' * 12}.png",
        mine / f".1-2{PART}",
    ]
    for path in foreign:
        path.write_bytes(b"x")
    name_masks(dataset, "Other", overwrite=True, semantic_dir=folder)
    name_masks(other, "Other", overwrite=True, semantic_dir=folder)
    assert clean(dataset).files == 2
    assert all(path.exists() for path in foreign)
    assert len(files_below(folder)) == len(foreign) + 2 + 2 + 2


def test_half_written_files_and_dead_leases_go(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(1)
    name_masks(dataset)
    part = default_folder(dataset) / "ssa_semantic" / f".12-abcd{PART}"
    part.write_bytes(b"half")
    clean(dataset)
    assert not part.exists()
    gone = fo.Dataset()
    with hold(gone, "ssa"):
        gone.delete()
        assert clean(dataset).leases == 1


def test_not_while_a_run_goes_on(make_dataset: Make, name_masks: Run) -> None:
    dataset = make_dataset(1)
    name_masks(dataset)
    name_masks(dataset, "Other", overwrite=True)
    with hold(dataset, "ssa"), pytest.raises(LeaseHeldError, match=r"'ssa' .* is being written by process"):
        clean(dataset)
    assert len(files_below(default_folder(dataset))) == 2


def test_what_is_no_dataset_is_one_sentence(make_dataset: Make) -> None:
    for name in ("no-such-dataset", "", 3):
        with pytest.raises(InputError, match="there is no dataset"):
            clean(name)
    view = make_dataset(1).limit(1)
    with pytest.raises(InputError, match=f"clean takes a whole dataset, got a view of '{view.dataset_name}'"):
        clean(view)


def test_what_a_killed_run_did_not_live_to_store_goes_with_the_next_run(
    make_dataset: Make, name_masks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fiftyone_ssa.labels import writer

    dataset = make_dataset(3)
    name_masks(dataset[:1])
    monkeypatch.setattr(writer.LabelWriter, "flush", lambda self: None)  # as if killed before
    monkeypatch.setattr(runs, "finish", lambda tokens: None)
    name_masks(dataset)
    monkeypatch.undo()
    folder = default_folder(dataset)
    assert len(files_below(folder)) == 3
    assert name_masks(dataset[:1]).skipped == 1
    assert files_below(folder) == maps_of(dataset[:1])
    assert own_collection("runs").count_documents({"dataset": dataset._doc.id, "state": runs.OPEN}) == 0
    assert name_masks(dataset).done == 2


def test_an_overwriting_run_that_was_killed_is_gone_on_with(
    make_dataset: Make, name_masks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fiftyone_ssa.labels import writer

    dataset = make_dataset(6)
    name_masks(dataset)
    write, calls = writer.LabelWriter.write, []

    def until_the_third(self: Any, result: Any) -> None:
        calls.append(result)
        if len(calls) > 3:
            raise KeyboardInterrupt
        write(self, result)

    monkeypatch.setattr(writer.LabelWriter, "write", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        name_masks(dataset, overwrite=True)
    monkeypatch.undo()
    dataset.reload()
    runs_so_far = [text.rpartition("|")[2] for text in dataset.values("ssa_inputs")]
    assert len(set(runs_so_far)) == 2
    done = dict(zip(dataset.values("id"), runs_so_far, strict=True))
    summary = name_masks(dataset, overwrite=True)
    assert (summary.done, summary.skipped) == (3, 3)
    dataset.reload()
    now = dict(zip(dataset.values("id"), (t.rpartition("|")[2] for t in dataset.values("ssa_inputs")), strict=True))
    assert [now[key] == done[key] for key in now] == [True] * 3 + [False] * 3
    assert name_masks(dataset, overwrite=True).done == 6  # that one was finished: this is a new one


def test_what_is_kept_of_datasets_that_are_gone_goes_too(make_dataset: Make) -> None:
    dataset, gone = make_dataset(1), ObjectId()
    for name in ("settings", "calibrations"):
        own_collection(name).insert_many(
            [{"dataset": identity, "key": "x"} for identity in (gone, dataset_id(dataset))]
        )
    clean(dataset)
    for name in ("settings", "calibrations"):
        kept = own_collection(name).distinct("dataset", {"dataset": {"$in": [gone, dataset_id(dataset)]}})
        assert kept == [dataset_id(dataset)]
