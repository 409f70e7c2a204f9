"""A folder of results: one writer, settings of one kind, files known to be finished, missed, foreign or out of date."""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders import stamps
from fiftyone_ssa.folders.record import MARKER, Record, image_key
from fiftyone_ssa.folders.result_folder import (
    DAMAGED,
    FINISHED,
    FOREIGN,
    LOCK,
    MISSING,
    NEW,
    OTHER,
    OVERWRITTEN,
    ResultFolder,
)
from fiftyone_ssa.naming.stamp import Settings
from fiftyone_ssa.presets import Preset, Semantic

HARD, SOFT = (Settings({"semantic.model": "a/b@1", "semantic.vote": vote}) for vote in ("hard", "soft"))
MINE = Preset("mine", semantic=Semantic(model="a/b"))
INPUTS = {"image": "12-34", "masks": "5-6"}
Open = Callable[..., ResultFolder]


@pytest.fixture
def begun() -> Iterator[Open]:
    """A function that opens a folder for writing; all are closed at the end, as by a process that dies."""
    opened = []

    def begin(root: Path, settings: Settings = HARD, *, overwrite: bool = False, preset: Preset = MINE) -> ResultFolder:
        folder = ResultFolder(root, preset, settings, overwrite=overwrite)
        folder.claim()
        opened.append(folder)
        folder.begin(settings)
        return folder

    yield begin
    for folder in opened:
        folder.release()


def write(folder: ResultFolder, image_id: str, ending: str = "_semantic.json", inputs: dict[str, str] = INPUTS) -> None:
    folder.write(image_id, ending, json.dumps(stamps.stamped(folder.stamp(inputs), {})).encode())
    folder.remember(image_id)


def look(root: Path, settings: Settings = HARD, *, overwrite: bool = False) -> ResultFolder:
    return ResultFolder(root, MINE, settings, overwrite=overwrite)


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_finished_results_are_known_on_the_next_run(tmp_path: Path, begun: Open) -> None:
    write(begun(tmp_path / "out"), "sub/a.b.jpg")
    again = look(tmp_path / "out")
    assert again.path("sub/a.b.jpg") == tmp_path / "out/sub/a.b_semantic.json"
    assert again.state("sub/a.b.jpg", INPUTS) == FINISHED
    assert again.state("sub/a.b.jpg", INPUTS, "_overlay.jpg") == NEW
    assert again.state("c.jpg", INPUTS) == NEW


def test_why_a_result_does_not_count(tmp_path: Path, begun: Open) -> None:
    folder = begun(tmp_path)
    for name in ("same", "pixels", "masks", "gone", "empty", "half"):
        write(folder, f"{name}.jpg")
    folder.end()
    for name in ("empty", "half"):
        path = folder.path(f"{name}.jpg")
        path.write_bytes(path.read_bytes()[: -2 if name == "half" else 0])
    folder.path("gone.jpg").unlink()
    folder.path("theirs.jpg").write_text('{"annotations": []}\n')
    os.mkfifo(folder.path("pipe.jpg"))
    again = look(tmp_path)
    assert again.state("same.jpg", INPUTS) == FINISHED
    assert again.state("pixels.jpg", {**INPUTS, "image": "12-35"}) == "image changed"
    assert again.state("masks.jpg", {**INPUTS, "masks": ""}) == "mask file changed"
    assert again.state("gone.jpg", INPUTS) == MISSING
    assert again.state("empty.jpg", INPUTS) == again.state("half.jpg", INPUTS) == DAMAGED
    assert again.state("theirs.jpg", INPUTS) == again.state("pipe.jpg", INPUTS) == FOREIGN


def test_a_result_brought_from_another_folder(tmp_path: Path, begun: Open) -> None:
    write(begun(tmp_path / "soft", SOFT), "a.jpg")
    folder = begun(tmp_path / "hard")
    shutil.copy2(tmp_path / "soft/a_semantic.json", tmp_path / "hard")
    assert folder.state("a.jpg", INPUTS) == OTHER


def test_other_settings_are_refused_with_what_differs_and_what_to_do(tmp_path: Path, begun: Open) -> None:
    write(begun(tmp_path), "a.jpg")
    with pytest.raises(InputError, match=r"settings of mine: semantic.vote changed.*name another folder.*--overwrite"):
        look(tmp_path, SOFT)
    with pytest.raises(InputError, match=r"of preset mine, which differs from theirs in semantic.vote; "):
        ResultFolder(tmp_path, Preset("theirs"), SOFT)
    replaced = Settings({**HARD.values, "semantic.model": "a/b@2"})
    with pytest.raises(InputError, match=r"semantic.model changed, by value or by what the files it names hold"):
        look(tmp_path, replaced)
    assert ResultFolder(tmp_path, Preset("renamed"), HARD).state("a.jpg", INPUTS) == FINISHED  # a name is no setting


@pytest.mark.parametrize(("unknown", "other"), [("a/b@unknown", "c/d@unknown"), ("missing", "A 0123")])
def test_a_model_that_is_not_here_may_be_the_one_recorded(
    tmp_path: Path, begun: Open, unknown: str, other: str
) -> None:
    write(begun(tmp_path), "a.jpg")
    not_here = Settings({**HARD.values, "semantic.model": unknown}, known=False)
    assert look(tmp_path, not_here).state("a.jpg", INPUTS) == FINISHED
    with pytest.raises(InputError, match=r"semantic\.model"):
        look(tmp_path, Settings({**HARD.values, "semantic.model": other}, known=False))


def test_a_missing_file_of_another_name_is_another_model(tmp_path: Path, begun: Open) -> None:
    write(begun(tmp_path), "a.jpg")
    missing = Settings({**HARD.values, "semantic.model": "missing"}, known=False)
    with pytest.raises(InputError, match=r"semantic\.model"):
        ResultFolder(tmp_path, Preset("mine", semantic=Semantic(model="another/model")), missing)


def test_results_that_no_run_recorded_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a_semantic.json").write_text("{}")
    with pytest.raises(InputError, match="no run recorded here; name another folder, or add --overwrite"):
        look(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"[]",
        b"[" * 100_000,
        b'{"preset": 5}',
        b'{"preset": "mine", "fingerprint": "0", "settings": []}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_record(tmp_path: Path, begun: Open, content: bytes) -> None:
    write(begun(tmp_path), "a.jpg")
    (tmp_path / MARKER).write_bytes(content)
    with pytest.raises(InputError, match=r"whose record is of no use: .*\.fiftyone-ssa\.json .*add --overwrite"):
        look(tmp_path)
    assert look(tmp_path, overwrite=True).state("a.jpg", INPUTS) == OVERWRITTEN


@pytest.mark.parametrize("done", [5, None, "no base64", "AAAAAAA=", ["a"], {}])
def test_a_record_whose_counts_are_damaged_still_counts(tmp_path: Path, begun: Open, done: object) -> None:
    write(begun(tmp_path), "a.jpg")
    content = json.loads((tmp_path / MARKER).read_text()) | {"done": done, "since_ns": "yesterday", "overwriting": 3}
    (tmp_path / MARKER).write_text(json.dumps(content))
    assert look(tmp_path).state("a.jpg", INPUTS) == FINISHED


def test_overwriting_that_was_killed_goes_on_where_it_stopped(tmp_path: Path, begun: Open) -> None:
    first = begun(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        write(first, name)
        os.utime(first.path(name), (0, 0))  # results of yesterday
    first.end()
    first.release()
    second = begun(tmp_path, overwrite=True)
    assert second.state("a.jpg", INPUTS) == OVERWRITTEN
    write(second, "a.jpg")
    os.utime(second.path("a.jpg"), ns=(2**62, 2**62))  # the clock ticks between taking the lock and the first result
    second.release()
    for overwrite in (True, False):
        resumed = look(tmp_path, overwrite=overwrite)
        assert (resumed.state("a.jpg", INPUTS), resumed.state("b.jpg", INPUTS)) == (FINISHED, OVERWRITTEN)
    third = begun(tmp_path, overwrite=True)
    assert third.end() == 1
    third.release()
    assert look(tmp_path).state("b.jpg", INPUTS) == OVERWRITTEN
    assert look(tmp_path, overwrite=True).state("a.jpg", INPUTS) == OVERWRITTEN  # that pass had come to its end


def test_overwriting_other_settings(tmp_path: Path, begun: Open) -> None:
    first = begun(tmp_path)
    write(first, "a.jpg")
    first.end()
    first.release()
    second = begun(tmp_path, SOFT, overwrite=True)
    assert second.state("a.jpg", INPUTS) == OVERWRITTEN
    write(second, "b.jpg")
    assert second.end() >= 1
    assert look(tmp_path, SOFT).state("a.jpg", INPUTS) in (OVERWRITTEN, OTHER)
    with pytest.raises(InputError, match=r"semantic.vote"):
        look(tmp_path, HARD)


def test_only_a_killed_runs_own_part_files_are_removed(tmp_path: Path, begun: Open) -> None:
    root = tmp_path / "out"
    (root / "sub").mkdir(parents=True)
    (root / LOCK).write_text('{"token": "abcd1234", "pid": 1}')  # left by a run that was killed
    for part in (".abcd1234-00.ssa-part", "sub/.abcd1234-01.ssa-part", ".other-02.ssa-part", ".123.ssa-part"):
        (root / part).write_bytes(b"half")
    folder = begun(root)
    assert names(root) == [".123.ssa-part", MARKER, LOCK, ".other-02.ssa-part"]
    folder.release()
    assert LOCK not in names(root)


def test_a_preset_without_results_is_replaced(tmp_path: Path, begun: Open) -> None:
    begun(tmp_path).release()
    write(begun(tmp_path, SOFT), "a.jpg")
    assert look(tmp_path, SOFT).state("a.jpg", INPUTS) == FINISHED


def test_looking_changes_nothing(tmp_path: Path, begun: Open) -> None:
    write(begun(tmp_path), "a.jpg")
    assert look(tmp_path, SOFT, overwrite=True).state("a.jpg", INPUTS) == OVERWRITTEN
    assert look(tmp_path).state("a.jpg", INPUTS) == FINISHED
    look(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path: Path, begun: Open) -> None:
    first = begun(tmp_path)
    second = look(tmp_path)
    with pytest.raises(InputError, match=rf"another run \(process {os.getpid()} on .*, since 20\d\d-.*\) writes to"):
        second.claim()
    begun(tmp_path / "other")  # another folder is free, even one inside
    write(first, "a.jpg")
    first.release()
    second.claim()
    second.release()


def test_a_folder_made_for_nothing_is_removed(tmp_path: Path) -> None:
    folder = look(tmp_path / "new/out")
    folder.claim()
    folder.release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_a_result_folder_is_its_own(tmp_path: Path, begun: Open) -> None:
    outer = begun(tmp_path)
    write(begun(tmp_path / "branch", SOFT), "a.jpg")
    outer.release()
    assert look(tmp_path, SOFT).state("a.jpg", INPUTS) == NEW  # the outer one holds no result, so it may change


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_goes_away_is_told(tmp_path: Path, begun: Open, replaced: bool) -> None:
    folder = begun(tmp_path / "out")
    write(folder, "a.jpg")
    shutil.move(tmp_path / "out", tmp_path / "away")
    if replaced:
        shutil.copytree(tmp_path / "away", tmp_path / "out")
    for job in (lambda: write(folder, "b.jpg"), folder.end, folder.check):
        with pytest.raises(InputError, match="was removed or replaced"):
            job()
    assert (tmp_path / "out").exists() == replaced
    assert not (tmp_path / "out/b_semantic.json").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file/out", "Not a directory")):
        with pytest.raises(InputError, match=f"cannot take results: {reason}"):
            look(path).claim()
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / LOCK)
    with pytest.raises(InputError, match="must be a file of ours"):
        look(tmp_path / "out").claim()


def test_what_was_done_is_kept_in_four_bytes_an_image() -> None:
    record = Record().ended(array("I", map(image_key, ("a.jpg", "ü\udcff.jpg"))), outdated=False)
    record = record.ended(array("I", [image_key("b.jpg"), image_key("a.jpg")]), outdated=False)
    assert all(record.was_done(name) for name in ("a.jpg", "ü\udcff.jpg", "b.jpg"))
    assert not record.was_done("c.jpg")
    assert record.done.dtype == np.uint32
    assert len(record.done) == 3
