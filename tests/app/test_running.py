"""Running jobs from the App: started and followed in the panel, cancelled, resumed, and what failed shown."""

import os
import signal
from pathlib import Path

import PIL.Image
import pytest

from fiftyone_ssa.labels.database import dataset_id, own_collection
from fiftyone_ssa.labels.jobs import jobs
from tools.app import open_form, press, run_operator, run_scheduled, settle, wait_until

pytestmark = pytest.mark.browser
COUNT = 32
SLOW = """
import time
import numpy as np

class Slow:
    classes = ["sky", "grass"]

    def __call__(self, images):
        time.sleep(0.3 * len(images))
        return [(np.arange(i.shape[0])[:, None] >= i.shape[0] // 2) + 0 * i[..., 0].astype(int) for i in images]
"""


@pytest.fixture
def preset(tmp_path):
    """What is filled in for a preset whose segmenter takes 0.3 seconds an image."""
    (tmp_path / "slow.py").write_text(SLOW)
    path = tmp_path / "slow.toml"
    path.write_text(f'[masks]\nsource = "existing"\n[semantic]\nmodel = "{tmp_path}/slow.py:Slow"\n')
    return {"Preset": "Your own TOML file", "TOML file": str(path), "Masks": "Take those of the field regions"}


@pytest.fixture
def many(bare_scenes, tmp_path):
    """Samples of small pictures of their own, with the masks of the drawn scenes."""
    scenes = list(bare_scenes)
    for number in range(COUNT):
        scene = scenes[number % len(scenes)]
        path = tmp_path / f"{number}.png"
        PIL.Image.open(scene.filepath).save(path)
        sample = scene.copy()
        sample.filepath = str(path)
        bare_scenes.add_sample(sample)
    bare_scenes.delete_samples(scenes)
    return bare_scenes


def newest(dataset):
    return jobs(dataset)[0]


def start(page, preset, button="Execute"):
    form = open_form(page, "SSA: name masks", preset)
    press(page, form, button)
    form.wait_for(state="hidden", timeout=60_000)


def runs_tab(page):
    """The panel's tab Runs; the panel may be open from an earlier test, on another tab."""
    panel = page.locator('[data-cy="panel-content-masks"]')
    if not panel.count():
        page.locator('[data-cy="new-panel-btn"]').first.click()
        page.locator('[data-cy="new-panel-option-masks"]').click()
    if not panel.get_by_text(" UTC").count():
        panel.get_by_role("button", name="Runs").click()
    return panel


def named(dataset):
    dataset.reload()
    return dataset.exists("ssa").count() if dataset.has_sample_field("ssa") else 0


def test_a_job_is_followed_cancelled_killed_and_resumed(app, many, preset, shot):
    page = app(many)
    start(page, preset)
    page.get_by_text("its progress is in the panel Masks, tab Runs").wait_for(timeout=60_000)
    page.locator('[data-cy="panel-content-masks"]').wait_for(timeout=60_000)  # it opens by itself
    settle(page)
    shot(page, "running-started")
    panel = runs_tab(page)
    panel.get_by_text(f"of {COUNT} images").first.wait_for(timeout=180_000)
    page.locator('[data-cy="looker"]').first.wait_for(timeout=60_000)  # the App stays usable
    wait_until(lambda: newest(many).done >= 6, "it does not get on", 180, page)
    shot(page, "running-progress")
    panel.get_by_role("button", name="Cancel").first.click()
    wait_until(lambda: newest(many).state == "cancelled", "it is not cancelled", 60, page)
    panel.get_by_text("what is done is kept").first.wait_for(timeout=60_000)
    shot(page, "running-cancelled")
    done = newest(many).done
    assert 0 < done <= named(many) < COUNT
    panel.get_by_role("button", name="Resume").first.click()
    wait_until(lambda: newest(many).state == "running" and newest(many).done >= 3, "it does not go on", 180, page)
    here = {"state": "running", "dataset": dataset_id(many)}  # other tests' records name this very process
    os.kill(own_collection("jobs").find_one(here)["holder"]["pid"], signal.SIGKILL)
    wait_until(lambda: newest(many).state == "failed", "its end is not seen", 60, page)
    panel.get_by_text("its process ended without a word").first.wait_for(timeout=60_000)
    shot(page, "running-killed")
    panel.get_by_role("button", name="Resume").first.click()
    wait_until(lambda: newest(many).state == "done", "it does not end", 240, page)
    panel.get_by_text("already done").first.wait_for(timeout=60_000)
    page.locator('[data-cy="checkbox-ssa"]').wait_for(timeout=60_000)  # the App shows the new field by itself
    shot(page, "running-done")
    assert named(many) == COUNT


def test_failures_are_told_and_open_as_a_view(app, many, preset, session, shot):
    broken = many[1:6].values("filepath")  # the harness waits for the first
    for path in broken:
        Path(path).write_text("no image")
    many.delete_samples(many[6:])
    page = app(many)
    start(page, preset)
    panel = runs_tab(page)
    panel.get_by_text("5 of 6 images failed").first.wait_for(timeout=60_000)
    shot(page, "running-failed")
    panel.get_by_role("button", name="Show 5 failures").first.click()
    wait_until(lambda: session.view is not None and session.view.count() == 5, "no view opens", 60, page)
    assert sorted(session.view.values("filepath")) == sorted(broken)
    page.get_by_text("5 samples", exact=True).first.wait_for(timeout=60_000)
    shot(page, "running-failures")


def test_a_scheduled_job_is_announced_when_it_ends(app, scenes, shot):
    page = app(scenes)
    panel = runs_tab(page)
    run_operator(page, "SSA: evaluate a class map (mIoU)", {"Evaluation key": "later"}, button="Schedule")
    wait_until(lambda: newest(scenes).state == "waiting", "it does not wait", 60, page)
    worker = run_scheduled(wait=False)
    page.get_by_text("stored as later").first.wait_for(timeout=60_000)
    shot(page, "running-scheduled")
    worker.wait(30)
    assert newest(scenes).where == "schedule"
    scenes.reload()
    assert "later" in scenes.list_evaluations()
    assert panel.count()
