"""Jobs as they run: here, scheduled, and in a process of their own; cancelled, resumed, failed, killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import PIL.Image
import psutil
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionContext, ExecutionError, ExecutionResult, execute_or_delegate_operator

from fiftyone_ssa.labels.database import own_collection, samples_of
from fiftyone_ssa.labels.jobs import DIED, LAUNCH, JobRow, cancel, job, jobs, log
from fiftyone_ssa.labels.lease import hold
from fiftyone_ssa.plugin import NAME

SLOW = """
import time
import numpy as np

class Slow:
    classes = ["sky", "grass"]

    def __call__(self, images):
        time.sleep(0.2)
        return [(np.arange(i.shape[0])[:, None] >= i.shape[0] // 2) + 0 * i[..., 0].astype(int) for i in images]
"""
LOST = """
from pathlib import Path

class Slow:
    classes = ["sky", "grass"]
    asked = 0

    def __call__(self, images):
        self.asked += 1
        if self.asked == 19 and Path({broken!r}).exists():
            raise RuntimeError("CUDA error: device-side assert triggered" + chr(10) + "Compile with TORCH_USE_CUDA_DSA")
        return [0 * image[..., 0].astype(int) for image in images]
"""
COUNT = 22
"""More than a run writes at once."""
SPACES = {"children": [{"type": "Samples", "component_id": "grid"}, {"type": "masks", "component_id": "the-panel"}]}
FROM_APP: dict[str, Any] = {"extended": {}, "filters": {}, "selected": [], "selected_labels": [], "spaces": SPACES}


@pytest.fixture(autouse=True)
def _found_by_others(registry, monkeypatch):
    """The processes that jobs start find the tests' plugin by the same settings, and nothing cuts their output."""
    monkeypatch.setenv("PYTHONPATH", "")


@pytest.fixture
def preset(tmp_path):
    """A preset whose segmenter takes 0.2 seconds an image."""
    (tmp_path / "slow.py").write_text(SLOW)
    path = tmp_path / "slow.toml"
    path.write_text(f'[masks]\nsource = "existing"\n[semantic]\nmodel = "{tmp_path}/slow.py:Slow"\n')
    return {"preset": "own TOML file", "preset_file": str(path), "masks_field": "masks", "batch_size": 1}


@pytest.fixture
def images(tmp_path):
    """A persistent dataset of small images, each with one mask."""
    dataset = fo.Dataset(persistent=True)
    for number in range(COUNT):
        path = tmp_path / f"{number}.png"
        PIL.Image.new("RGB", (40, 30), (10 * number, 120, 200)).save(path)
        mask = fo.Detection(bounding_box=[0.1, 0.1, 0.5, 0.5], mask=np.ones((15, 20), bool))
        dataset.add_sample(fo.Sample(filepath=str(path), masks=fo.Detections(detections=[mask])))
    yield dataset
    dataset.delete()


def press_execute(operator: str, dataset: fo.Dataset, **params: Any) -> ExecutionResult:
    """What the App's server does when a person presses "Execute"."""
    request = {**FROM_APP, "dataset_name": dataset.name, "view": [], "params": params}
    result = asyncio.run(execute_or_delegate_operator(f"{NAME}/{operator}", request))
    result.raise_exceptions()
    return result


def schedule(samples: Any, preset: dict[str, Any]) -> None:
    foo.get_operator(f"{NAME}/annotate")(samples, preset["preset_file"], masks_field="masks", delegate=True)


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def ended(identity: str) -> JobRow:
    wait_for(lambda: job(identity).state != "running")
    return job(identity)


def told(result: ExecutionResult) -> list[tuple[str, dict[str, Any]]]:
    return [(request.operator_uri, request.params) for request in result.executor._requests]


def holder(identity: str) -> int:
    return next(row["holder"]["pid"] for row in own_collection("jobs").find() if str(row["_id"]) == identity)


def test_from_python_it_runs_here_and_is_recorded(images, preset):
    result = foo.execute_operator(f"{NAME}/annotate", {"view": images[:2]}, params=preset)
    assert result.result["message"].startswith("2 images, 2 masks")
    (row,) = jobs(images)
    assert (row.state, row.where, row.operator, row.label_field) == ("done", "python", "annotate", "ssa")
    assert (row.done, row.total, row.failed) == (2, 2, 0)
    assert row.message == result.result["message"]
    assert holder(row.id) == os.getpid()


def test_ctrl_c_in_python_is_a_cancel(images, preset):
    def press():
        wait_for(lambda: jobs(images) and jobs(images)[0].done >= 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        foo.get_operator(f"{NAME}/annotate")(images, preset["preset_file"], masks_field="masks", batch_size=1)
    (row,) = jobs(images)
    assert row.state == "cancelled"
    images.reload()
    assert row.done - 1 <= images.exists("ssa").count() < COUNT


def test_scheduled_it_waits_runs_and_is_recorded_once(images, preset):
    schedule(images.limit(2), preset)
    (row,) = jobs(images)
    assert (row.state, row.where, row.operator, row.message) == ("waiting", "schedule", "annotate", "waits to be taken")
    service = DelegatedOperationService()
    service.execute_queued_operations(dataset_name=images.name)
    (row,) = jobs(images)
    assert (row.state, row.where, row.done) == ("done", "schedule", 2)
    (operation,) = service.list_operations(dataset_name=images.name)
    assert operation.status.label == "2 of 2 images"


def test_scheduled_where_nothing_takes_it_says_what_to_run(images, preset, monkeypatch):
    monkeypatch.setattr("fiftyone_ssa.labels.jobs.PATIENCE_SECONDS", 0.0)
    schedule(images, preset)
    (row,) = jobs(images)
    assert row.message == LAUNCH
    assert cancel(row.id) == "it waited, and is taken off the list"
    (row,) = jobs(images)
    assert row.state == "cancelled"
    DelegatedOperationService().execute_queued_operations(dataset_name=images.name)
    assert not images.has_sample_field("ssa")


def test_scheduled_with_a_bad_value_has_failed_with_its_sentence(images):
    foo.get_operator(f"{NAME}/repaint")(images, "masks", preset="mini-ssa", delegate=True)
    images.delete_sample_field("masks")
    DelegatedOperationService().execute_queued_operations(dataset_name=images.name)
    (row,) = jobs(images)
    assert row.state == "failed"
    assert row.message


def test_from_the_app_it_starts_is_followed_cancelled_and_resumed(images, preset):
    result = press_execute("annotate", images, **preset)
    assert result.result["state"] == "running"
    assert ("open_panel", "masks") in [(uri, params.get("name")) for uri, params in told(result)]
    assert (f"{NAME}/masks", {"panel_id": "the-panel", "__method__": "on_job"}) in told(result)
    identity = result.result["job"]
    assert os.getpid() not in (holder(identity), psutil.Process(holder(identity)).ppid())  # it outlives the App's
    refused = press_execute("annotate", images, **preset).result
    assert refused["state"] == "failed"
    assert "is being written by annotate since" in refused["message"]
    wait_for(lambda: job(identity).done >= 2)
    assert f"of {COUNT} images" in str(job(identity))
    press_execute("cancel_job", images, job=identity)
    row = ended(identity)
    assert row.state == "cancelled"
    assert 2 <= row.done < COUNT
    assert (
        row.message == f"cancelled after {row.done} of {COUNT} images; what is done is kept, resume goes on from there"
    )
    images.reload()
    finished = images.exists("ssa").count()
    assert row.done <= finished < COUNT
    assert own_collection("leases").count_documents({"_id": {"$regex": f"^{images._doc.id}"}}) == 0
    again = press_execute("resume_job", images, job=identity)
    row = ended(again.result["job"])
    assert row.state == "done", log(row.id)
    assert row.message.endswith(f", {finished} already done")
    images.reload()
    assert images.exists("ssa").count() == COUNT


def test_where_another_process_writes_the_field_form_and_run_say_so(images, preset):
    sentence = f"'ssa' of dataset {images.name!r} is being written by process {os.getpid()} on "
    form = foo.get_operator(f"{NAME}/annotate").resolve_input
    request = {**FROM_APP, "dataset_name": images.name, "view": [], "params": preset}
    with hold(images, "ssa"):
        refused = press_execute("annotate", images, **preset)
        assert sentence in refused.result["message"]
        assert ("notify", "error") in [(uri, params.get("variant")) for uri, params in told(refused)]
        with ExecutionContext(request) as ctx:
            assert sentence in form(ctx).type.properties["busy"].view.label
    assert jobs(images) == []
    with ExecutionContext(request) as ctx:
        assert "busy" not in form(ctx).type.properties


def test_a_killed_one_has_failed_and_resume_goes_on(images, preset):
    identity = press_execute("annotate", images, **preset).result["job"]
    wait_for(lambda: samples_of(images).count_documents({"ssa": {"$exists": True, "$ne": None}}))
    os.kill(holder(identity), signal.SIGKILL)
    wait_for(lambda: job(identity).state == "failed", seconds=3)
    assert job(identity).message == DIED
    row = ended(press_execute("resume_job", images, job=identity).result["job"])
    assert row.state == "done"
    images.reload()
    assert images.exists("ssa").count() == COUNT
    assert row.total < COUNT  # what was written is not done again


def test_one_that_loads_yet_can_be_cancelled(images, preset):
    identity = press_execute("annotate", images, **preset).result["job"]
    cancel(identity)
    row = ended(identity)
    assert row.state == "cancelled"
    assert row.done <= 1


def test_failures_are_counted_told_and_shown(images, preset):
    broken = images.limit(9).values("filepath")
    for path in broken:
        Path(path).write_text("no image")
    result = foo.execute_operator(f"{NAME}/annotate", {"view": images.limit(10)}, params=preset)
    assert result.result["message"].startswith("9 of 10 images failed (")
    assert "9 FAILED" not in result.result["message"]  # once is enough
    assert not any(path in result.result["message"] for path in broken[1:])
    (row,) = jobs(images)
    assert (row.state, row.failed, row.variant) == ("done", 9, "warning")
    assert set(row.errors) == set(broken)
    operator = foo.get_operator(f"{NAME}/annotate")
    output = operator.resolve_output(foo.ExecutionContext({"results": result.result})).to_json()
    assert output["type"]["properties"]["message"]["view"]["label"] == "9 of 10 images failed"
    shown = press_execute("show_failures", images, job=row.id)
    (view,) = [params["view"] for uri, params in told(shown) if uri == "set_view"]
    assert fo.DatasetView._build(images, view).values("filepath") == broken
    assert [failure["filepath"] for failure in shown.result["failures"]] == broken
    assert all(failure["reason"] for failure in shown.result["failures"])


def test_a_job_that_was_refused_shows_no_traceback_beside_its_sentence(registry):
    """The App asks for the output of a job that raised, too, and has no results then."""
    operator = foo.get_operator(f"{NAME}/annotate")
    output = operator.resolve_output(foo.ExecutionContext({"results": None})).to_json()
    assert output["type"]["properties"] == {}


def test_what_stops_a_job_is_its_message(images, preset):
    Path(preset["preset_file"]).with_name("slow.py").write_text("class Slow: pass")
    with pytest.raises(ExecutionError):
        foo.execute_operator(f"{NAME}/annotate", {"dataset": images}, params=preset)
    (here,) = jobs(images)
    there = ended(press_execute("annotate", images, **preset).result["job"])
    for row in (here, there):
        assert row.state == "failed"
        assert "Slow must build an object with" in row.message
    wait_for(lambda: "Traceback" in log(there.id))  # which its process prints when it ends


def test_a_lost_device_ends_the_job_keeps_what_is_done_and_resume_does_the_rest(images, tmp_path, preset):
    broken = tmp_path / "broken"
    broken.touch()
    (tmp_path / "slow.py").write_text(LOST.format(broken=str(broken)))
    with pytest.raises(ExecutionError, match="the device stopped working at"):
        foo.execute_operator(f"{NAME}/annotate", {"dataset": images}, params=preset)
    (row,) = jobs(images)
    assert (row.state, row.total, row.can_resume) == ("failed", COUNT, True)
    assert row.message.startswith("the device stopped working at ")
    assert "(CUDA error: device-side assert triggered); what was done before is kept" in row.message
    images.reload()
    assert images.exists("ssa").count() == 18
    broken.unlink()
    result = foo.execute_operator(f"{NAME}/annotate", {"dataset": images}, params=preset)
    assert result.result["message"].endswith("18 already done")


def test_a_library_that_is_not_installed_is_told_with_what_mends_it(images, preset, monkeypatch):
    monkeypatch.setitem(sys.modules, "fiftyone_ssa.naming.pipeline", None)
    with pytest.raises(ExecutionError, match=r"mend: pip install -r .*requirements\.txt"):
        foo.execute_operator(f"{NAME}/annotate", {"dataset": images}, params=preset)
    assert "pip install -r" in jobs(images)[0].message


def test_a_quick_one_answers_in_the_request(images, tmp_path):
    images.set_values("masks.detections.label", [["cat"]] * COUNT)
    params = {"label_field": "masks", "export_dir": str(tmp_path / "out"), "export_media": "none"}
    result = press_execute("export_coco", images, **params)
    assert result.result["state"] == "done"
    assert result.result["message"].startswith(f"{COUNT} masks of {COUNT} images")
    (row,) = jobs(images)
    assert row.where == "app"


@pytest.mark.parametrize("action", ["cancel_job", "resume_job", "show_failures"])
@pytest.mark.parametrize(("params", "message"), [({}, "job must be text"), ({"job": "x"}, "there is no job 'x'")])
def test_an_action_on_no_job_is_told(images, action, params, message):
    with pytest.raises(ExecutionError, match=message):
        foo.execute_operator(f"{NAME}/{action}", {"dataset": images}, params=params)


def test_a_dataset_is_loaded_and_opened_where_none_is(parity, tmp_path):
    shutil.copy(parity / "inputs/coffee.json", tmp_path / "sa_1.json")
    PIL.Image.open(parity / "inputs/coffee.png").convert("RGB").save(tmp_path / "sa_1.jpg")
    params = {"kind": "SA-1B", "folder": str(tmp_path), "name": "loaded"}
    request = {**FROM_APP, "dataset_name": None, "view": [], "params": params}
    result = asyncio.run(execute_or_delegate_operator(f"{NAME}/load_dataset", request))
    result.raise_exceptions()
    assert result.result["message"] == "1 image in dataset loaded"
    assert "loaded" in dict(told(result))["open_dataset"].values()
    assert jobs(None)[0].operator == "load_dataset"
    fo.delete_dataset("loaded")


def test_an_evaluation_tells_which_images_it_could_not_compare(images):
    truth = fo.Segmentation(mask=np.ones((4, 4), np.uint8))
    for name in ("ground_truth", "ssa_semantic"):
        images.set_values(name, [truth.copy() for _ in range(COUNT)])
    images.default_mask_targets = {1: "cat"}
    images.save()
    first = images.first()
    first["ssa_semantic"] = fo.Segmentation(mask_path=str(Path(first.filepath).with_name("no.png")))
    first.save()
    result = foo.execute_operator(f"{NAME}/evaluate", {"dataset": images})
    assert result.result["message"].startswith(f"1 of {COUNT} images failed (")
    assert list(jobs(images)[0].errors) == [first.filepath]
