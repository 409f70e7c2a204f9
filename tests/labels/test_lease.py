from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import fiftyone as fo
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import lease
from fiftyone_ssa.labels.database import own_collection
from fiftyone_ssa.labels.lease import LeaseHeldError, hold

HOLDER = """
import sys, time, fiftyone as fo
from fiftyone_ssa.labels.lease import hold
with hold(fo.load_dataset(sys.argv[1]), "ssa"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def dataset() -> fo.Dataset:
    return fo.Dataset(persistent=True)


def row(dataset: fo.Dataset) -> dict[str, Any]:
    found: dict[str, Any] = own_collection("leases").find_one({"_id": f"{dataset._doc.id}/ssa"})
    return found


def another_process(dataset: fo.Dataset) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.Popen(
        [sys.executable, "-c", HOLDER, dataset.name], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    while (line := run.stdout.readline()) != "held\n":
        assert line or run.poll() is None, "the holder ended"
    return run


def test_the_second_is_told_who_holds_it_and_others_are_not_in_its_way(dataset: fo.Dataset) -> None:
    with hold(dataset, "ssa"), hold(dataset, "other"), hold(fo.Dataset(), "ssa"):
        with pytest.raises(LeaseHeldError, match=rf"'ssa' .* by process {os.getpid()} on \S+ since 20\d\d-.* UTC"):
            hold(dataset, "ssa").__enter__()
        assert lease.held_fields(dataset) == ["other", "ssa"]
    with hold(dataset, "ssa"):
        pass
    assert row(dataset) is None


def test_a_killed_process_leaves_it_at_once(dataset: fo.Dataset) -> None:
    run = another_process(dataset)
    with pytest.raises(LeaseHeldError, match=f"by process {run.pid} on"):
        hold(dataset, "ssa").__enter__()
    run.send_signal(signal.SIGKILL)
    while Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)  # dead, and not waited for: as under a parent that does not care
    with hold(dataset, "ssa"):
        assert row(dataset)["pid"] == os.getpid()
    run.wait()


def test_a_process_id_that_was_given_out_again_is_another_process(dataset: fo.Dataset) -> None:
    with hold(dataset, "ssa") as first:
        own_collection("leases").update_one({"_id": first.key}, {"$inc": {"began": -1000.0}})
        with hold(dataset, "ssa"), pytest.raises(InputError, match="another took its place"):
            first.renew() or first.check()


def test_elsewhere_a_lease_lapses_with_time(dataset: fo.Dataset) -> None:
    with hold(dataset, "ssa") as first:
        leases = own_collection("leases")
        leases.update_one({"_id": first.key}, {"$set": {"place": "another machine", "host": "far"}})
        with pytest.raises(LeaseHeldError, match="on far since"):
            hold(dataset, "ssa").__enter__()
        late = row(dataset)["beat"] - timedelta(seconds=lease.TIMEOUT_SECONDS + 1)
        leases.update_one({"_id": first.key}, {"$set": {"beat": late}})
        with hold(dataset, "ssa"):
            pass


def test_a_holder_that_wakes_up_before_it_is_replaced_keeps_it(
    dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(dataset, "ssa") as first:

        def looks_dead(_: dict[str, Any]) -> bool:
            time.sleep(0.002)  # the server's clock counts milliseconds
            first.renew()
            return True

        monkeypatch.setattr(lease, "_is_dead", looks_dead)
        with pytest.raises(LeaseHeldError):
            hold(dataset, "ssa").__enter__()
        assert lease.drop_stale() == 0
        first.renew()
        assert not first.lost


def test_a_holder_renews(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with hold(dataset, "ssa") as held:
        before = row(dataset)["beat"]
        deadline = time.monotonic() + 20
        while row(dataset)["beat"] == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        held.renewed -= lease.TIMEOUT_SECONDS  # as after a long sleep
        held.check()
        assert not held.lost


def test_stale_ones_are_dropped(dataset: fo.Dataset) -> None:
    lease.drop_stale()
    gone = fo.Dataset()
    with hold(dataset, "ssa"), hold(gone, "ssa"):
        gone.delete()
        assert (lease.stale(), lease.drop_stale(), lease.stale()) == (1, 1, 0)


def test_a_run_is_refused_while_another_writes(
    make_dataset: Callable[..., fo.Dataset], name_masks: Callable[..., Any]
) -> None:
    dataset = make_dataset(2)
    with hold(dataset, "ssa"):
        for samples in (dataset, dataset[:1]):
            with pytest.raises(LeaseHeldError, match="is being written by process"):
                name_masks(samples)
        assert name_masks(dataset, label_field="other").done == 2
        assert name_masks(dataset.clone()).done == 2
    assert not dataset.has_sample_field("ssa")
    assert name_masks(dataset).done == 2
