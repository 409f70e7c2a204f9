"""Job records: what a curator sees of a job while it runs, when it ends, when it is cancelled, and when it dies."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.labels import job_record
from fiftyone_ssa.labels.database import own_collection
from fiftyone_ssa.labels.job_record import Cancelled, JobRecord, begin
from fiftyone_ssa.labels.jobs import DIED, JobRow, cancel, ended_since, job, jobs, log

JOB = """
import sys, time, fiftyone as fo
from fiftyone_ssa.labels.job_record import JobRecord, begin
with JobRecord(begin("annotate", fo.load_dataset(sys.argv[1]))).running():
    print("running", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def dataset() -> fo.Dataset:
    return fo.Dataset(persistent=True)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def work(record: JobRecord, count: int, seconds: float = 0.0) -> None:
    with fou.ProgressBar(total=count, progress=record.progress) as bar:
        for _ in bar(range(count)):
            time.sleep(seconds)


def test_a_job_is_followed_from_its_begin_to_its_end(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_record, "BEAT_SECONDS", 0.05)
    record = JobRecord(begin("annotate", dataset, label_field="ssa"))
    (row,) = jobs(dataset)
    assert (row.state, row.operator, row.label_field, row.total) == ("running", "annotate", "ssa", None)
    before = {row.id: row.state}
    with record.running():
        logging.getLogger("fiftyone_ssa").warning("half way")
        work(record, 2)
        wait_until(lambda: job(record.id).done == 2)
        assert str(job(record.id)) == "2 of 2 images"  # what comes at once tells no rate
        work(record, 4, 0.4)
        wait_until(lambda: job(record.id).done == 4)
        row = job(record.id)
        assert str(row).startswith("4 of 4 images, ")
        assert 0 < (row.rate or 0) < 3
        assert row.seconds_left == 0
        record.end("done", "3 images", {"/a.png": "broken"})
    (row,) = jobs(dataset)
    assert (row.state, row.message, row.failed, dict(row.errors)) == ("done", "3 images", 1, {"/a.png": "broken"})
    assert row.variant == "warning"
    assert row.ended is not None
    assert log(row.id).splitlines()[0].endswith("half way")
    assert log(row.id).splitlines()[1] == "/a.png: broken"
    assert ended_since([row], before) == [row]
    assert ended_since([row], {row.id: "done"}) == []
    assert jobs(fo.Dataset()) == []


def test_cancel_ends_it_at_its_next_image(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_record, "BEAT_SECONDS", 0.05)
    record = JobRecord(begin("annotate", dataset))
    with record.running():
        assert "what is done is kept" in cancel(record.id)
        with pytest.raises(Cancelled):
            work(record, 1000, 0.01)
        assert record.done < 100
        record.end("cancelled", "")
    assert cancel(record.id) == "it has ended already"
    assert job(record.id).variant == "warning"


@pytest.mark.parametrize("identity", ["nonsense", "0" * 24])
def test_a_job_that_is_not_there_is_told(identity: str) -> None:
    for ask in (cancel, log, job):
        with pytest.raises(InputError, match=f"there is no job '{identity}'"):
            ask(identity)


def test_a_killed_process_has_failed_as_soon_as_one_looks(dataset: fo.Dataset) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.Popen(
        [sys.executable, "-c", JOB, dataset.name], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert "running\n" in iter(run.stdout.readline, "")
    assert [row.state for row in jobs(dataset)] == ["running"]
    run.send_signal(signal.SIGKILL)
    run.wait()
    (row,) = jobs(dataset)
    assert (row.state, row.message) == ("failed", DIED)


def test_one_of_another_machine_has_failed_when_it_is_not_heard_of(dataset: fo.Dataset) -> None:
    identity = begin("annotate", dataset)
    elsewhere: dict[str, Any] = {"holder.place": "another machine"}
    own_collection("jobs").update_one({"dataset": dataset._doc.id}, {"$set": elsewhere})
    assert job(identity).state == "running"
    long_ago = [{"$set": {"beat": {"$subtract": ["$$NOW", 61_000]}}}]
    own_collection("jobs").update_one({"dataset": dataset._doc.id}, long_ago)
    assert job(identity).state == "failed"


def test_only_the_latest_are_kept(dataset: fo.Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(job_record, "KEPT_JOBS", 2)
    outputs = [tmp_path / f"{number}.log" for number in range(5)]
    for output in outputs:
        output.touch()
        record = JobRecord(begin("annotate", dataset))
        own_collection("jobs").update_one(record._where, {"$set": {"output": str(output)}})
        record.end("done", "")
    assert len(jobs(dataset)) == 3  # two, and the one that began last
    assert [output.exists() for output in outputs] == [False, False, True, True, True]
    dataset.delete()
    begin("annotate", fo.Dataset())
    assert not any(output.exists() for output in outputs)


def test_what_is_shown_is_short() -> None:
    began = job_record.datetime.now()
    row = JobRow("1", "annotate", "d", "ssa", "running", "app", began, done=3, total=9, rate=0.5, seconds_left=12)
    assert str(row) == "3 of 9 images, 0.5 images/s, 12 s left"
    assert row.variant == "info"


def test_what_a_later_job_did_is_resumed_no_more(dataset: fo.Dataset) -> None:
    def end(state: Any, **about: Any) -> str:
        record = JobRecord(begin(**{"operator": "annotate", "dataset": dataset, "label_field": "ssa"} | about))
        record.end(state, "over")
        return record.id

    def resumable() -> list[str]:
        return [row.id for row in jobs(dataset) if row.can_resume]

    whole, part, other = end("cancelled"), end("failed", target="five images"), end("cancelled", label_field="engine")
    assert resumable() == [other, part, whole]
    again = end("failed", target="five images")
    assert resumable() == [again, other, whole]
    end("done", operator="repaint")
    assert resumable() == [again, other, whole]
    end("done")
    assert resumable() == [other]
