"""From a folder to named masks in the App only: pictures of docs/app.md are made by this."""

import re

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest

pytest.importorskip("playwright", reason="needs playwright (pip install playwright)")
from playwright.sync_api import TimeoutError

from fiftyone_ssa.labels.jobs import jobs
from fiftyone_ssa.layouts import ade20k
from fiftyone_ssa.quickstart.run import draw
from tools.app import fill_field, open_form, press, visit, wait_until

pytestmark = pytest.mark.browser
SEEDS = range(4, 10)
NAME = "drawn"


@pytest.fixture
def folder(tmp_path):
    """Six drawn scenes as ADE20K lays its images and their truth out."""
    root = tmp_path / "ADEChallengeData2016"
    for part in ("images/validation", "annotations/validation"):
        (root / part).mkdir(parents=True)
    for seed in SEEDS:
        scene = draw(seed)
        truth = scene.semantic("ade20k")
        values = [ade20k.NAMES.index(name) + 1 for name in truth.names]
        values = np.array([*values, *[0] * (256 - len(values))], np.uint8)  # 255 is nothing, which is 0 in ADE20K
        PIL.Image.fromarray(scene.image).save(root / f"images/validation/{seed}.jpg", quality=95)
        PIL.Image.fromarray(values[truth.ids]).save(root / f"annotations/validation/{seed}.png")
    yield root
    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)


@pytest.fixture
def other(folder):
    """What the App has open before anything is loaded."""
    dataset = fo.Dataset("other", persistent=True)
    dataset.add_sample(fo.Sample(filepath=str(folder / f"images/validation/{SEEDS[0]}.jpg")))
    yield dataset
    dataset.delete()


def test_a_folder_is_loaded_and_its_masks_are_named(app, session, other, folder, shot):
    page = app(other)
    name_masks(page, load(page, session, folder, shot), shot)


def load(page, session, folder, shot):
    """Load the folder: the App opens the new dataset by itself, where that takes no longer than the request waits."""
    form = open_form(page, "SSA: load a dataset", {"What it is": "ADE20K", "Folder": str(folder), "Name": NAME})
    shot(page, "flow-1-load")
    press(page, form)
    wait_until(lambda: fo.dataset_exists(NAME), "nothing is loaded", 60, page)
    dataset = fo.load_dataset(NAME)
    try:
        page.wait_for_url(f"**/datasets/{NAME}*", timeout=15_000)
    except TimeoutError:
        visit(page, session, dataset)
    page.locator('[data-cy="looker"] canvas').first.wait_for(timeout=60_000)
    assert dataset.exists("ground_truth").count() == dataset.count() == len(SEEDS)
    close(page)
    return dataset


def name_masks(page, dataset, shot):
    """Name the masks with the preset that comes with the package, and see it get on in the panel."""
    form = open_form(page, "SSA: name masks", {"Preset": "mini-ssa", "More settings": True})
    fill_field(page, form, "Keep the segmenter's own map beside the refined one", True)
    wait_until(lambda: form.get_by_text("images").count(), "no preview", page=page)
    shot(page, "flow-2-name")
    press(page, form)
    panel = page.locator('[data-cy="panel-content-masks"]')
    panel.get_by_text(re.compile(rf"of {len(SEEDS)} images|{len(SEEDS)} images,")).first.wait_for(timeout=90_000)
    shot(page, "flow-3-progress")
    wait_until(lambda: jobs(dataset)[0].state == "done", "the job is not done", 120, page)
    page.locator('[data-cy="checkbox-ssa"]').wait_for(timeout=20_000)
    dataset.reload()
    assert dataset.exists("ssa").count() == len(SEEDS)
    panel.get_by_text("Overview").first.click()
    page.wait_for_timeout(3_000)
    shot(page, "flow-4-named")


def close(page):
    """Close what a job said in its dialog."""
    button = page.locator('[data-cy="operators-prompt-modal"]').get_by_role("button", name="Close")
    page.wait_for_timeout(500)
    if button.count():
        button.first.click()
        button.first.wait_for(state="hidden")
