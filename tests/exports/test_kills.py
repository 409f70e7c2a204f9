"""Exports that are killed: nothing is lost, doubled or left over once the next one has run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fiftyone_ssa.exports.folder import STAGING
from fiftyone_ssa.exports.marker import MARKER

ROOT = Path(__file__).parents[2]
FILES = {"old": [f"data/{n}" for n in range(4)] + ["labels"], "new": [f"data/{n}" for n in range(2, 7)] + ["labels"]}

# Every call that changes a folder is counted; at the chosen one the process kills itself before making it.
DIES_AT = """
import os, signal, sys
count = int(sys.argv[1])
def watch(event, arguments):
    global count
    if event in ("os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink") or (
        event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wx")
    ):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
from pathlib import Path
from fiftyone_ssa.exports.folder import ExportFolder
sys.addaudithook(watch)
with ExportFolder(Path(sys.argv[2]), "test export") as folder:
    for name in sys.argv[4:]:
        with folder.stage(name) as path:
            path.write_text(sys.argv[3])
    folder.commit({})
count = 0
"""


def write(root, content, names, die_at=0):
    arguments = [sys.executable, "-c", DIES_AT, str(die_at), str(root), content, *names]
    return subprocess.run(arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode


def test_a_kill_at_any_step_loses_nothing(tmp_path, contents):
    root = tmp_path / "out"
    rng = random.Random(0)
    steps = sorted(rng.sample(range(1, 40), 8))
    for step in steps:
        assert write(root, "1", FILES["old"]) == 0
        (root / "data/mine").write_text("mine")
        killed = write(root, "2", FILES["new"], die_at=step)
        assert killed == -signal.SIGKILL or step == steps[-1]
        found = contents(root)
        assert found["data/mine"] == b"mine"
        assert found["labels"] in (b"1", b"2")
        wanted = FILES["old" if found["labels"] == b"1" else "new"]
        assert found.keys() >= {MARKER, *wanted}
        assert write(root, "3", FILES["new"]) == 0
        found = contents(root)
        found.pop(MARKER)
        assert found == {"data/mine": b"mine", **dict.fromkeys(FILES["new"], b"3")}
        assert not (root / STAGING).exists()


def test_a_first_export_that_was_killed_is_simply_started_again(tmp_path, contents):
    for step in range(1, 26, 4):
        root = tmp_path / f"out{step}"
        assert write(root, "1", FILES["old"], die_at=step) == -signal.SIGKILL
        assert write(root, "2", FILES["old"]) == 0
        assert contents(root).keys() == {MARKER, *FILES["old"]}


EXPORT = """
import sys
import fiftyone as fo
from fiftyone_ssa.exports.coco import export_coco
print("begins", flush=True)
print(export_coco(fo.load_dataset(sys.argv[1]), sys.argv[2], label_field="m", overwrite=True, progress=False))
"""


@pytest.mark.parametrize("seed", range(int(os.environ.get("SSA_TEST_KILLS", "1"))))
def test_a_killed_export_of_a_dataset(make, tmp_path, contents, seed):
    dataset = make(*(f"{number % 7}/{number}.png" for number in range(120)))
    dataset.persistent = True
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", EXPORT, dataset.name, str(out)]
    run = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "begins\n"
    watched = out / "data" if seed % 2 else out / STAGING / "data"  # while files get their places, or are copied
    wanted = random.Random(seed).randrange(120)
    while run.poll() is None and sum(path.is_file() for path in watched.rglob("*")) < wanted:
        time.sleep(0.001)
    run.kill()
    run.communicate()
    if (out / "labels.json").exists():
        json.loads((out / "labels.json").read_text())
    (out / "data").mkdir(parents=True, exist_ok=True)
    (out / "data/mine.png").write_text("mine")
    if not (out / MARKER).exists():  # it was killed before it began, and a picture of someone else's is in the way now
        (out / "data/mine.png").rename(tmp_path / "mine.png")
        (out / "data").rmdir()
    said = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
    assert "120 masks of 120 images" in said
    found = contents(out)
    found.pop("data/mine.png", None)
    pictures = {image["file_name"] for image in json.loads(found["labels.json"])["images"]}
    assert found.keys() == {MARKER, "labels.json", "categories.json", *(f"data/{name}" for name in pictures)}
    assert len(pictures) == 120
    assert all(found[f"data/{name}"] == (tmp_path / "in" / name).read_bytes() for name in pictures)
