"""The App itself, in a browser: masks are shown, the jobs are found, and the form schedules."""

import importlib.util
import time
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

from tools.screenshot import chromium, open_app

pytestmark = pytest.mark.browser


def wait_until(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.mark.skipif(chromium() is None, reason="needs Chromium (apt-get install chromium)")
@pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs playwright (pip install playwright)")
def test_app_shows_the_masks_and_opens_the_form(registry, photographs, monkeypatch):
    # the App is another process, which must find the package where it is not installed, and may schedule jobs
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("FIFTYONE_ALLOW_LEGACY_ORCHESTRATORS", "true")
    mask = fo.Detection(label="cat", bounding_box=[0.1, 0.1, 0.8, 0.8], mask=np.ones((9, 9), bool))
    photographs.set_values("ssa", [fo.Detections(detections=[mask.copy()]) for _ in range(3)])
    with open_app(photographs) as page:
        image, box = page.locator('[data-cy="looker"]').last, page.locator('[data-cy="checkbox-ssa"]')
        box.click()
        page.mouse.move(800, 900)
        page.wait_for_timeout(500)
        bare = image.screenshot()
        box.click()
        page.mouse.move(800, 900)
        wait_until(lambda: image.screenshot() != bare, "the masks change nothing in the picture")
        page.keyboard.press("`")
        page.keyboard.type("SSA")
        for label in (
            "load a dataset",
            "evaluate a class map (mIoU)",
            "export masks as COCO",
            "repaint class maps",
            "name masks",
        ):
            page.wait_for_selector(f"text=SSA: {label}", timeout=20_000)
        page.get_by_text("SSA: name masks").first.click()
        page.wait_for_selector("text=Existing masks", timeout=20_000)
        page.get_by_role("button", name="Schedule").wait_for(timeout=20_000)
