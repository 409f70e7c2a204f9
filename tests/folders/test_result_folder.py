"""A folder of results: one preset, whole files, known to be finished."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.result_folder import ResultFolder
from fiftyone_ssa.presets import Preset, load_preset

PRESET = load_preset("ssa-ade20k")
OTHER = load_preset("ssa-ade20k", {"semantic.vote": "soft", "masks.points_per_side": 8})


def begun(root: Path, preset: Preset, *, overwrite: bool = False) -> ResultFolder:
    folder = ResultFolder(root, preset, overwrite=overwrite)
    folder.begin()
    return folder


def test_finished_results_are_known_on_the_next_run(tmp_path: Path) -> None:
    folder = begun(tmp_path / "out", PRESET)
    folder.write("sub/a.b.jpg", "_semantic.json", b"{}")
    again = ResultFolder(tmp_path / "out", PRESET)
    assert again.path("sub/a.b.jpg") == tmp_path / "out/sub/a.b_semantic.json"
    assert again.is_finished("sub/a.b.jpg")
    assert not again.is_finished("sub/a.b.jpg", "_overlay.jpg")
    assert not again.is_finished("c.jpg")


def test_results_of_presets_do_not_mix(tmp_path: Path) -> None:
    begun(tmp_path, PRESET).write("a.jpg", "_semantic.json", b"{}")
    with pytest.raises(InputError, match=r"differs from ssa-ade20k in masks.points_per_side, semantic.vote; .*--overw"):
        ResultFolder(tmp_path, OTHER)
    assert ResultFolder(tmp_path, PRESET).is_finished("a.jpg")  # the refusal changed nothing


def test_results_that_no_run_recorded_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a_semantic.json").write_text("{}")
    with pytest.raises(InputError, match="no run recorded here; name another folder, or add --overwrite"):
        ResultFolder(tmp_path, PRESET)


def test_overwriting_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = begun(tmp_path, PRESET)
    for name in ("a.jpg", "b.jpg"):
        first.write(name, "_semantic.json", b"old")
        os.utime(first.path(name), (0, 0))  # results of yesterday
    second = begun(tmp_path, OTHER, overwrite=True)
    assert not second.is_finished("a.jpg")
    second.write("a.jpg", "_semantic.json", b"new")
    resumed = ResultFolder(tmp_path, OTHER)
    assert resumed.is_finished("a.jpg")
    assert not resumed.is_finished("b.jpg")
    assert resumed.outdated() == 1


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/.123.ssa-part").write_bytes(b"half")
    begun(tmp_path, PRESET)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".fiftyone-ssa.json"]


def test_a_preset_without_results_is_replaced(tmp_path: Path) -> None:
    begun(tmp_path, PRESET)
    begun(tmp_path, OTHER).write("a.jpg", "_semantic.json", b"{}")
    assert ResultFolder(tmp_path, OTHER).is_finished("a.jpg")


def test_looking_changes_nothing(tmp_path: Path) -> None:
    begun(tmp_path, PRESET).write("a.jpg", "_semantic.json", b"{}")
    assert not ResultFolder(tmp_path, OTHER, overwrite=True).is_finished("a.jpg")
    assert ResultFolder(tmp_path, PRESET).is_finished("a.jpg")
    ResultFolder(tmp_path / "new", PRESET)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file/out", "Not a directory")):
        with pytest.raises(InputError, match=f"cannot take results: {reason}"):
            begun(path, PRESET)
