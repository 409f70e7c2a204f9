"""A folder in, results out: what is written, skipped, refused, and survives."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fiftyone_ssa.cli import main
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.folders.annotate import annotate_files
from fiftyone_ssa.naming.run import Summary
from fiftyone_ssa.presets import Preset, load_preset

SEGMENTER = """
import time
import numpy as np
from fiftyone_ssa.types import SemanticMap

class Brightness:
    classes = ["dark", "bright"]

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, images):
        time.sleep(self.seconds * len(images))
        return [SemanticMap((image[..., 0] > 127).astype(np.uint8), tuple(self.classes)) for image in images]

def build():
    return Brightness(0)

def slow():
    return Brightness(0.25)
"""
HALVES = [
    {"id": 1, "mine": "kept", "area": 6, "segmentation": {"size": [3, 4], "counts": [0, 6, 6]}},
    {"id": 2, "area": 12, "segmentation": {"size": [3, 4], "counts": [0, 12]}},
]


@pytest.fixture
def preset(tmp_path: Path) -> Preset:
    (tmp_path / "brightness.py").write_text(SEGMENTER)
    (tmp_path / "own.toml").write_text('masks.source = "existing"\nsemantic.model = "brightness:build"\n')
    return load_preset(tmp_path / "own.toml")


def add_image(path: Path, *, masks: bool = True) -> None:
    """A 3 x 4 picture, left half bright, with its mask file: the left half and the whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((3, 4, 3), np.uint8)
    picture[:, :2] = 255
    PIL.Image.fromarray(picture).save(path)
    if masks:
        path.with_suffix(".json").write_text(json.dumps({"annotations": HALVES}))


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def run(data: Path, out: Path, preset: Preset, **options: object) -> Summary:
    return annotate_files(data, out, preset, device="cpu", progress=False, **options)


def test_every_image_gets_its_result_under_the_same_sub_folder(tmp_path: Path, preset: Preset) -> None:
    for name in ("a.png", "ein Bild – 写真.PNG", "sub/b.c.bmp"):
        add_image(tmp_path / "data" / name)
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert (summary.done, summary.masks, summary.unlabelled, summary.errors) == (3, 6, 0, {})
    assert written(tmp_path / "out") == [
        ".fiftyone-ssa.json",
        "a_semantic.json",
        "ein Bild – 写真_semantic.json",
        "sub/b.c_semantic.json",
    ]
    record = json.loads((tmp_path / "out/sub/b.c_semantic.json").read_text())
    assert [(row["id"], row["class_name"], row["vote_share"]) for row in record["annotations"]] == [
        (2, "dark", 0.5),
        (1, "bright", 1.0),
    ]
    assert record["annotations"][1]["mine"] == "kept"
    assert record["classes"] == ["dark", "bright"]
    assert record["semantic_mask"] == {
        "0": {"size": [3, 4], "counts": "66"},
        "1": {"size": [3, 4], "counts": "066"},
    }


def test_a_single_image(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/a.png")
    add_image(tmp_path / "data/b.png")
    assert run(tmp_path / "data/b.png", tmp_path / "out", preset).done == 1
    assert written(tmp_path / "out") == [".fiftyone-ssa.json", "b_semantic.json"]


def test_finished_images_are_skipped_without_loading_a_model(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/a.png")
    run(tmp_path / "data", tmp_path / "out", preset)
    (tmp_path / "brightness.py").unlink()
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert (summary.done, summary.skipped) == (0, 1)


def test_other_inputs_and_lost_results_are_done_again_and_the_summary_says_why(tmp_path: Path, preset: Preset) -> None:
    data, out, branch = tmp_path / "data", tmp_path / "out", tmp_path / "branch"
    for name in ("same", "pixels", "touched", "masks", "no_result", "no_overlay", "no_branch", "cut"):
        add_image(data / f"{name}.png")
    options = {"save_images": True, "branch_dir": branch}
    run(data, out, preset, **options)
    PIL.Image.new("RGB", (4, 3), "white").save(data / "pixels.png")
    os.utime(data / "touched.png", ns=(1, 1))
    (data / "masks.json").write_text(json.dumps({"annotations": HALVES[:1]}))
    for path in (out / "no_result_semantic.json", out / "no_overlay_overlay.jpg", branch / "no_branch_semantic.json"):
        path.unlink()
    (out / "cut_semantic.json").write_bytes((out / "cut_semantic.json").read_bytes()[:-9])
    add_image(data / "new.png")
    summary = run(data, out, preset, **options)
    assert (summary.done, summary.skipped) == (8, 1)
    for reason in ("2 images changed", "1 mask file changed", "1 result missing", "1 overlay missing", "1 branch map"):
        assert reason in str(summary)
    assert "7 redone: " in str(summary)
    assert len(json.loads((out / "masks_semantic.json").read_text())["annotations"]) == 1
    assert json.loads((out / "pixels_semantic.json").read_text())["annotations"][0]["class_name"] == "bright"
    assert run(data, out, preset, **options).skipped == 9


def test_a_picture_of_masks_that_are_no_more_does_not_stay(tmp_path: Path, preset: Preset) -> None:
    for name in ("old.png", "same.png"):
        add_image(tmp_path / "data" / name)
    run(tmp_path / "data", tmp_path / "out", preset, save_images=True)
    (tmp_path / "data/old.json").write_text('{"annotations": []}')
    run(tmp_path / "data", tmp_path / "out", preset)
    assert not (tmp_path / "out/old_overlay.jpg").exists()
    assert (tmp_path / "out/same_overlay.jpg").exists()
    assert run(tmp_path / "data", tmp_path / "out", preset, save_images=True).redone == {"overlay missing": 1}


def test_results_of_a_segmenter_whose_code_changed_are_refused(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/a.png")
    run(tmp_path / "data", tmp_path / "out", preset)
    before = (tmp_path / "out/a_semantic.json").read_bytes()
    (tmp_path / "brightness.py").write_text(SEGMENTER.replace('"dark"', '"night"'))
    with pytest.raises(InputError, match=r"semantic\.model changed, by value or by what.*name another folder"):
        run(tmp_path / "data", tmp_path / "out", preset)
    assert (tmp_path / "out/a_semantic.json").read_bytes() == before
    assert run(tmp_path / "data", tmp_path / "out", preset, overwrite=True).redone == {"result overwritten": 1}
    assert b"night" in (tmp_path / "out/a_semantic.json").read_bytes()


def test_a_file_that_is_not_ours_is_no_result_and_stays(tmp_path: Path, preset: Preset) -> None:
    for name in ("a.png", "b.png", "c.png"):
        add_image(tmp_path / "data" / name)
    run(tmp_path / "data", tmp_path / "out", preset, limit=1)
    (tmp_path / "out/b_semantic.json").write_text('{"annotations": "mine"}')
    (tmp_path / "out/c_semantic.json").mkdir()
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert "b_semantic.json is not of this program" in summary.errors["b.png"]
    assert list(summary.errors) == ["b.png", "c.png"]
    assert (tmp_path / "out/b_semantic.json").read_text() == '{"annotations": "mine"}'
    assert run(tmp_path / "data", tmp_path / "out", preset, overwrite=True).errors.keys() == {"c.png"}


def test_what_one_image_cannot_be_written_for_costs_only_that_image(tmp_path: Path, preset: Preset) -> None:
    for name in ("a.png", "deep/b.png", "c.png"):
        add_image(tmp_path / "data" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/deep").write_text("a file where a folder is needed")
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert (summary.done, list(summary.errors)) == (2, ["deep/b.png"])


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ("shutil.move(out, out + '.away')", "was removed or replaced while results were written to it"),
        ("shutil.move(out, out + '.away'); os.mkdir(out)", "was removed or replaced while results"),
        ("shutil.move(out, out + '.away'); shutil.copytree(out + '.away', out)", "was removed or replaced while"),
        ("shutil.rmtree(out, ignore_errors=True)", "removed"),
        ("os.remove(out + '/1_semantic.json')", "1 of the results just written to .* were removed meanwhile"),
    ],
)
def test_results_that_go_away_end_the_run(tmp_path: Path, preset: Preset, job: str, says: str) -> None:
    for number in range(9):
        add_image(tmp_path / f"data/{number}.png")
    code = SEGMENTER.replace("        time.sleep", "        gone(images)\n        time.sleep")
    code += f"import os, shutil\nout = {str(tmp_path / 'out')!r}\nseen = []\n"
    code += (
        f"def gone(images):\n    seen.extend(images)\n    if len(seen) == 7:\n        time.sleep(0.5)\n        {job}\n"
    )
    (tmp_path / "brightness.py").write_text(code)
    with pytest.raises(InputError, match=says):
        run(tmp_path / "data", tmp_path / "out", preset, batch_size=1)
    for path in (tmp_path / "out").rglob("*_semantic.json"):
        json.loads(path.read_text())
    assert not (tmp_path / "out/8_semantic.json").exists() or "remove(" in job


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("batch_size", value) for value in (0, -1, True, "4", 10**30)),
        *(("limit", value) for value in (0, "1", 1.5)),
        *(("overwrite", "no"), ("save_images", 1), ("trust_remote_code", None), ("progress", 2)),
        *(("device", "gpu"), ("dtype", "half"), ("branch_dir", 5), ("branch_dir", "x" * 300)),
        *(("data_dir", None), ("data_dir", b"data"), ("out_dir", ""), ("out_dir", "a\0b"), ("preset", 5)),
    ],
)
def test_wrong_arguments_are_refused_by_name_before_anything_happens(
    tmp_path: Path, preset: Preset, argument: str, value: object
) -> None:
    add_image(tmp_path / "data/a.png")
    given: dict[str, object] = {"data_dir": tmp_path / "data", "out_dir": tmp_path / "out", "preset": preset}
    with pytest.raises(InputError, match=argument):
        annotate_files(**{**given, argument: value})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_whose_code_a_preset_names_is_said_before_it_runs(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/a.png")
    said: list[str] = []
    run(tmp_path / "data", tmp_path / "out", preset, say=said.append)
    assert said == [f"this preset runs code of its own: {tmp_path}/brightness.py"]
    run(tmp_path / "data", tmp_path / "out", preset, say=said.append)
    assert len(said) == 1  # nothing was left to do


def test_limit_takes_the_first_and_overwrite_does_them_again(tmp_path: Path, preset: Preset) -> None:
    for number in (1, 2, 10):
        add_image(tmp_path / f"data/{number}.png")
    assert run(tmp_path / "data", tmp_path / "out", preset, limit=2).done == 2
    assert written(tmp_path / "out")[1:] == ["1_semantic.json", "2_semantic.json"]
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert (summary.done, summary.skipped) == (1, 2)
    assert run(tmp_path / "data", tmp_path / "out", preset, overwrite=True).done == 3


def test_bad_images_are_recorded_and_the_others_go_on(tmp_path: Path, preset: Preset) -> None:
    data = tmp_path / "data"
    for name in ("good.png", "no_masks.png", "twin.png", "wrong_size.png", "no_list.png"):
        add_image(data / name)
    (data / "no_masks.json").unlink()
    PIL.Image.new("RGB", (4, 3)).save(data / "twin.bmp")
    PIL.Image.new("RGB", (5, 3)).save(data / "wrong_size.png")
    (data / "no_list.json").write_text("{}")
    (data / "zero.jpg").touch()
    (data / "text.jpg").write_text("not a picture")
    summary = run(data, tmp_path / "out", preset)
    assert summary.done == 1
    assert written(tmp_path / "out") == [".fiftyone-ssa.json", "good_semantic.json"]
    for name, reason in {
        "no_masks.png": "No such file",
        "no_list.png": 'has no "annotations" list',
        "wrong_size.png": "annotation 0: its mask is of size [3, 4] but the image is [3, 5]",
        "twin.png": "2 images called twin.*",
        "twin.bmp": "2 images called twin.*",
        "zero.jpg": "0 bytes",
        "text.jpg": "not a picture",
    }.items():
        assert reason in summary.errors[name]
    assert len(summary.errors) == 7


def test_a_segmenter_that_fails_on_one_image_loses_only_that_one(tmp_path: Path, preset: Preset) -> None:
    (tmp_path / "brightness.py").write_text(
        SEGMENTER.replace(
            "        time.sleep", "        assert not any(i.shape[1] == 5 for i in images)\n        time.sleep"
        )
    )
    for name in ("a.png", "b.png", "c.png"):
        add_image(tmp_path / "data" / name)
    PIL.Image.new("RGB", (5, 3)).save(tmp_path / "data/b.png")
    (tmp_path / "data/b.json").write_text('{"annotations": []}')
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert (summary.done, list(summary.errors)) == (2, ["b.png"])


def test_nothing_writes_on_after_a_run_was_stopped(
    tmp_path: Path, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(results: Iterator[object], *_: object) -> None:
        next(results)
        raise KeyboardInterrupt

    add_image(tmp_path / "data/a.png")
    monkeypatch.setattr("fiftyone_ssa.folders.annotate._consume", stop)
    others = threading.enumerate()  # of tests that left one at work
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(tmp_path / "data", tmp_path / "out", preset)
    assert not any(thread.name == "consume" for thread in threading.enumerate() if thread not in others)
    assert stopped.tb is not None  # it holds the run's frames, so that nothing was closed by chance


def test_an_image_without_masks_and_an_empty_mask(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/none.png")
    (tmp_path / "data/none.json").write_text('{"annotations": []}')
    add_image(tmp_path / "data/empty.png")
    empty = {"id": 3, "segmentation": {"size": [3, 4], "counts": [12]}}
    (tmp_path / "data/empty.json").write_text(json.dumps({"annotations": [empty]}))
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert (summary.done, summary.masks, summary.unlabelled) == (2, 1, 1)
    assert json.loads((tmp_path / "out/none_semantic.json").read_text())["annotations"] == []
    (row,) = json.loads((tmp_path / "out/empty_semantic.json").read_text())["annotations"]
    assert (row["id"], row["class_name"], row["class_proposals"]) == (3, None, [])


def test_the_same_answer_whatever_the_batch_size(tmp_path: Path, preset: Preset) -> None:
    for number in range(5):
        add_image(tmp_path / f"data/{number}.png")
    run(tmp_path / "data", tmp_path / "one", preset, batch_size=1)
    run(tmp_path / "data", tmp_path / "eight", preset, batch_size=8)
    assert written(tmp_path / "one") == written(tmp_path / "eight")
    for name in written(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "eight" / name).read_bytes()


def test_results_beside_the_images(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/a.png")
    assert run(tmp_path / "data", tmp_path / "data", preset, save_images=True).done == 1
    assert written(tmp_path / "data") == [".fiftyone-ssa.json", "a.json", "a.png", "a_overlay.jpg", "a_semantic.json"]
    assert run(tmp_path / "data", tmp_path / "data", preset, save_images=True).skipped == 1


def test_overlays_and_the_branchs_own_map_are_made_up_for_on_a_later_run(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/a.png")
    run(tmp_path / "data", tmp_path / "out", preset)
    summary = run(tmp_path / "data", tmp_path / "out", preset, save_images=True, branch_dir=tmp_path / "branch")
    assert (summary.done, summary.skipped) == (1, 0)
    assert written(tmp_path / "out") == [".fiftyone-ssa.json", "a_overlay.jpg", "a_semantic.json"]
    branch = json.loads((tmp_path / "branch/a_semantic.json").read_text())
    assert branch["classes"] == ["dark", "bright"]
    assert branch["semantic_mask"] == {
        "0": {"size": [3, 4], "counts": "66"},
        "1": {"size": [3, 4], "counts": "066"},
    }


def test_what_cannot_work_is_refused_before_a_model_is_loaded(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "data/a.png")
    with pytest.raises(InputError, match="cannot go to the folder of the results"):
        run(tmp_path / "data", tmp_path / "out", preset, branch_dir=tmp_path / "out")
    with pytest.raises(InputError, match="mini-engine has no segmenter's own map to save"):
        run(tmp_path / "data", tmp_path / "out", load_preset("mini-engine"), branch_dir=tmp_path / "branch")
    with pytest.raises(InputError, match=r'semantic\.source = "field" needs a FiftyOne dataset'):
        run(tmp_path / "data", tmp_path / "out", load_preset(preset, {"semantic.source": "field"}))
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path / "none", tmp_path / "out", preset)
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_stops_the_run_with_one_sentence(
    tmp_path: Path, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        add_image(tmp_path / f"data/{number}.png")
    real, calls = os.fsync, []

    def fsync(file: int) -> None:
        calls.append(file)
        if len(calls) > 3:  # the marker and two results fit
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InputError, match=r"2_semantic\.json cannot be written: No space left on device; what is fini"):
        run(tmp_path / "data", tmp_path / "out", preset, batch_size=1)
    assert written(tmp_path / "out") == [".fiftyone-ssa.json", "0_semantic.json", "1_semantic.json"]
    monkeypatch.undo()
    summary = run(tmp_path / "data", tmp_path / "out", preset)
    assert (summary.done, summary.skipped) == (7, 2)


def test_killed_in_the_middle_and_started_again(tmp_path: Path, preset: Preset) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for number in range(12):
        add_image(data / f"{number}.png")
    (tmp_path / "own.toml").write_text('masks.source = "existing"\nsemantic.model = "brightness:slow"\n')
    command = [sys.executable, "-m", "fiftyone_ssa.cli", "annotate", data, out, "--preset", tmp_path / "own.toml"]
    process = subprocess.Popen(
        [*map(str, command), "--batch-size", "1"], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("*_semantic.json"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    token = json.loads((out / ".fiftyone-ssa.lock").read_text())["token"]
    (out / f".{token}-0.ssa-part").write_bytes(b'{"annotations": [')  # what dying inside a write would leave
    before = {path: path.stat().st_mtime_ns for path in out.glob("*_semantic.json")}
    assert 3 <= len(before) < 12
    for path in before:
        json.loads(path.read_text())
    summary = run(data, out, load_preset(tmp_path / "own.toml"))
    assert (summary.done, summary.skipped, summary.errors) == (12 - len(before), len(before), {})
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert written(out) == sorted([".fiftyone-ssa.json", *(f"{number}_semantic.json" for number in range(12))])
    for path in out.glob("*_semantic.json"):
        assert len(json.loads(path.read_text())["annotations"]) == 2


@pytest.mark.parametrize("says", ["CUDA error: device-side assert triggered", "CUDA error: an illegal memory access"])
def test_a_lost_device_ends_the_run_and_the_next_one_goes_on(
    says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was done before is there, one sentence says what to do, and the same command does the rest."""
    (tmp_path / "lost.py").write_text(
        "import pathlib, torch\n"
        "from brightness import Brightness\n"
        "class Lost(Brightness):\n"
        "    def __call__(self, images):\n"
        f"        if pathlib.Path({str(tmp_path)!r}, 'broken').exists() and (images[0] == 77).any():\n"
        f"            raise torch.AcceleratorError({says!r} + '\\nCUDA kernel errors might be reported elsewhere')\n"
        "        return super().__call__(images)\n"
        "def build():\n"
        "    return Lost(0)\n"
    )
    (tmp_path / "brightness.py").write_text(SEGMENTER)
    (tmp_path / "own.toml").write_text(f'masks.source = "existing"\nsemantic.model = "{tmp_path}/lost.py:build"\n')
    (tmp_path / "broken").touch()
    for name in "abcdef":
        add_image(tmp_path / f"data/{name}.png")
    PIL.Image.new("RGB", (4, 3), (77, 77, 77)).save(tmp_path / "data/d.png")
    command = ["annotate", str(tmp_path / "data"), str(tmp_path / "out"), "--preset", str(tmp_path / "own.toml")]
    assert main([*command, "--device", "cpu", "--batch-size", "1"]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"fiftyone-ssa: the device stopped working at d.png ({says}); what was done before is kept")
    results = ["a_semantic.json", "b_semantic.json", "c_semantic.json"]
    assert written(tmp_path / "out") == [".fiftyone-ssa.json", *results]
    before = [(tmp_path / "out" / name).read_bytes() for name in results]
    (tmp_path / "broken").unlink()
    assert main([*command, "--device", "cpu"]) == 0
    assert "3 already done" in capsys.readouterr().out
    assert [(tmp_path / "out" / name).read_bytes() for name in results] == before
    assert len(written(tmp_path / "out")) == 7


def test_levels_are_written_where_the_preset_asks(tmp_path: Path, preset: Preset) -> None:
    add_image(tmp_path / "in/a.png")
    annotate_files(tmp_path / "in", tmp_path / "out", load_preset(preset, {"masks.levels": "written"}), progress=False)
    rows = json.loads((tmp_path / "out/a_semantic.json").read_text())["annotations"]
    assert {row["id"]: (row["level"], row["parent"]) for row in rows} == {1: ("part", 2), 2: ("whole", None)}
