"""The same rows from Ray's workers as from one process, workers that die included."""

from __future__ import annotations

import colorsys
import contextlib
import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.masks import rle
from fiftyone_ssa.presets import load_preset
from fiftyone_ssa.scale import on_ray
from fiftyone_ssa.scale.manifest import TABLES, read_manifest
from fiftyone_ssa.scale.on_ray import Cluster, connect
from fiftyone_ssa.scale.parquet_rows import mask_rows
from fiftyone_ssa.scale.ray_stages import Tasks
from fiftyone_ssa.scale.running import annotate_shards
from fiftyone_ssa.scale.shards import Record
from fiftyone_ssa.scale.store import Store
from fiftyone_ssa.types import Annotation
from tests.scale.conftest import broken, jpeg

DYING = """
import os
from pathlib import Path
from own import Thirds

class Dying(Thirds):
    def __call__(self, images):
        mark = Path(__file__).with_name("died")
        if images[0][0, 0, 0] == 7 and not mark.exists():  # the third image of the second tar
            mark.touch()
            for table in ("masks", "images"):  # as if it had died while it wrote them
                Path(__file__).with_name("two").joinpath(table).mkdir(parents=True, exist_ok=True)
                Path(__file__).with_name("two").joinpath(table, ".1-2.ssa-part").touch()
            os._exit(1)
        return super().__call__(images)
"""


WAITING = """
import time
from pathlib import Path
from own import Thirds

class Waiting(Thirds):
    def __call__(self, images):
        manifest, deadline = Path(__file__).with_name("out") / "manifest.jsonl", time.monotonic() + 30
        while images[0][0, 0, 0] == 5 and not manifest.exists():  # the first image of the second tar
            if time.monotonic() > deadline:
                raise ValueError("the first tar is not committed")
            time.sleep(0.01)
        return super().__call__(images)
"""


def rows(out, table):
    parts = {entry.shard: entry.part for entry in read_manifest(Store(out)).values()}
    return [row for shard in sorted(parts) for row in pq.read_table(out / table / parts[shard]).to_pylist()]


@pytest.fixture(scope="module")
def ray(tmp_path_factory):
    ray = pytest.importorskip("ray", reason="needs ray (pip install 'fiftyone-ssa[scale]')")
    here = tmp_path_factory.mktemp("here")
    for name in ("colorsys", "pandas", "torch", "PIL"):
        (here / f"{name}.py").write_text("raise SystemExit(7)\n")
    for name in ("first", "second"):
        (here / name).mkdir()
        (here / name / "there_twice.py").write_text(f"which = {name!r}\n")
    try:
        with contextlib.chdir(here), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [str(here / "first"), str(here / "second"), *sys.path])
            connect(ray, "local", num_cpus=4, include_dashboard=False, object_store_memory=10**9)
    except InputError as error:  # its parts wait for each other, 30 s at most, which is too little beside ten processes
        pytest.skip(f"Ray does not start on this busy machine: {error}")
    yield ray
    ray.shutdown()


def test_nothing_listens_beyond_this_machine(ray):
    ray.get(ray.remote(lambda: os.getpid()).remote())
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    sockets = [each for process in processes for each in process.net_connections("inet") if each.status == "LISTEN"]
    assert len(sockets) > 3
    assert {each.laddr.ip.removeprefix("::ffff:") for each in sockets} == {"127.0.0.1"}
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ


def test_the_working_folder_stands_in_for_no_library(ray):
    folder, path, imported = ray.get(ray.remote(lambda: (Path.cwd(), sys.path, colorsys.__file__)).remote())
    assert (folder / "colorsys.py").exists()
    assert str(folder) not in path
    assert imported == colorsys.__file__
    assert ray.get(ray.remote(lambda: importlib.import_module("there_twice").which).remote()) == "first"


def test_a_worker_that_is_lost_whenever_it_begins_ends_the_run(ray, tars, tmp_path, preset, monkeypatch):
    monkeypatch.setattr(on_ray, "RESTARTS", 1)
    (tmp_path / "lost.py").write_text("import os\n\n\ndef build():\n    os._exit(9)\n")
    lost = load_preset(preset, {"semantic.model": f"{tmp_path}/lost.py:build"})
    with pytest.raises(InputError, match="a worker was lost again and again"):
        annotate_shards(tars, tmp_path / "out", lost, device="cpu", progress=False, ray="local")
    assert annotate_shards(tars, tmp_path / "out", preset, device="cpu", overwrite=True, progress=False).shards == 3


def test_two_workers_one_of_which_dies_give_the_rows_of_one_process(ray, tars, tmp_path, preset):
    annotate_shards(tars, tmp_path / "one", preset, device="cpu", progress=False)
    (tmp_path / "dying.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{DYING}")
    dying = load_preset(preset, {"semantic.model": f"{tmp_path}/dying.py:Dying"})
    more = {"ray": "local", "workers": 2, "batch_size": 1}
    summary = annotate_shards(tars, tmp_path / "two", dying, device="cpu", progress=False, **more)
    assert (tmp_path / "died").exists()
    assert (summary.shards, summary.images, summary.failed) == (3, 15, 0)
    for table in TABLES:
        expected = [{**row, "revisions": ""} for row in rows(tmp_path / "one", table)]
        assert [{**row, "revisions": ""} for row in rows(tmp_path / "two", table)] == expected
        assert len(list((tmp_path / "two" / table).iterdir())) == 3
    again = annotate_shards(tars, tmp_path / "two", dying, device="cpu", progress=False, **more)
    assert (again.shards, again.skipped) == (0, 3)


def test_a_shard_is_committed_before_the_next_one_is_done(ray, tars, tmp_path, preset):
    (tmp_path / "waiting.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{WAITING}")
    waiting = load_preset(preset, {"semantic.model": f"{tmp_path}/waiting.py:Waiting"})
    summary = annotate_shards(tars, tmp_path / "out", waiting, device="cpu", progress=False, ray="local", batch_size=1)
    assert (summary.shards, summary.errors) == (3, {})


def test_tasks_that_decode_and_make_rows_give_the_rows_of_one_process(ray, tars, tmp_path, preset):
    broken(tars)
    one = annotate_shards(tars, tmp_path / "one", preset, device="cpu", progress=False)
    more = {"ray": "local", "decoders": 2, "batch_size": 2}
    two = annotate_shards(tars, tmp_path / "two", preset, device="cpu", progress=False, **more)
    assert replace(two, seconds=0) == replace(one, seconds=0)
    assert two.failed > 4
    for table in TABLES:
        assert rows(tmp_path / "two", table) == rows(tmp_path / "one", table)


def test_a_lost_task_is_an_image_or_nothing(ray, tmp_path):
    def dies(*_, **__):
        os._exit(1)

    tasks = Tasks(ray, 1)
    tasks._inputs = ray.remote(max_retries=0)(dies)
    with pytest.raises(InputError, match=r"m\.jpg cannot be decoded: its process is lost"):
        tasks.inputs(Record("s/m", "m.jpg", jpeg(1)), False)()
    tasks._rows = ray.remote(max_retries=0)(dies)
    annotation = Annotation(rle.mask_set((4, 4), []), (), np.zeros(0), ())
    shared = dict.fromkeys(("image_id", "shard", "member", "preset", "revisions"), "x")
    assert tasks.rows(annotation, **shared)().equals(mask_rows(annotation, **shared))


@pytest.mark.parametrize(
    ("cluster", "cores"),
    [
        (Cluster(workers=1), (2, 0)),
        (Cluster(workers=2), (1, 0)),
        (Cluster(workers=1, gpus=1), (1, 1)),
        (Cluster(workers=2, gpus=1), (1, 0)),
        (Cluster(workers=1, decoders=3), (1, 3)),
        (Cluster("auto", workers=8, decoders=3), (1, 3)),
    ],
)
def test_workers_leave_cores_for_their_tasks(cluster, cores):
    assert cluster.cores(2) == cores
    assert replace(cluster, workers=8, gpus=1, decoders=None).cores(64) == (1, 4)
    with pytest.raises(InputError, match="2 workers and their decoders need 3 cores, and Ray finds 2 here"):
        Cluster(workers=2, decoders=1).cores(2)


def test_a_workers_complaint_is_told_as_it_is(ray, tars, tmp_path, preset):
    wrong = load_preset(preset, {"semantic.model": f"{tmp_path}/own.py:Nobody"})
    with pytest.raises(InputError, match="Nobody"):
        annotate_shards(tars, tmp_path / "out", wrong, device="cpu", progress=False, ray="local", workers=2)


def test_without_ray_it_says_how_to_get_it(tars, tmp_path, preset, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'fiftyone-ssa\[scale\]'"):
        annotate_shards(tars, tmp_path / "out", preset, ray="local")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"workers": 2}, "add --ray local"),
        ({"gpus_per_worker": 0.5}, "add --ray local"),
        ({"decoders": 2}, "add --ray local"),
        ({"ray": "local", "decoders": -1}, "decoders must be a whole number"),
        ({"ray": "local", "workers": 0}, "workers must be a whole number"),
        ({"ray": "local", "gpus_per_worker": -1}, "gpus_per_worker must be a number from 0 to 64"),
    ],
)
def test_wrong_workers_are_refused(tars, tmp_path, preset, more, says):
    with pytest.raises(InputError, match=says):
        annotate_shards(tars, tmp_path / "out", preset, **more)
