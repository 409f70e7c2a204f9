"""From a key to the next mask on the screen, in the panel "Review masks" at 100,000 masks: real App, real browser.

    python -m benchmarks.review_panel [--samples 1000] [--masks 100] [--decisions 60] [--pause 400]

Needs mongod and Chromium; works in a database of its own. The browser itself measures: from the key's time stamp to the
frame that shows the next mask. Prints one JSON object; milliseconds, by which key.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from tools.mongod import use_own_database

PHOTOS = 40
"""Different pictures; samples share them."""
KEYS = ("Enter", "1", "2", "x", "ArrowRight")


def benchmark(samples: int = 1000, masks: int = 100, decisions: int = 60, pause: int = 400) -> dict[str, Any]:
    """How long the queue takes to come, and each key; `pause` is the milliseconds that a curator looks at a mask."""
    with tempfile.TemporaryDirectory() as folder:
        use_own_database()
        os.environ |= {"FIFTYONE_DEFAULT_DATASET_DIR": f"{folder}/datasets", "FIFTYONE_DO_NOT_TRACK": "1"}
        os.environ |= {"FIFTYONE_PLUGINS_DIR": f"{folder}/plugins", "FIFTYONE_LOGGING_LEVEL": "ERROR"}
        from benchmarks.review_speed import SIZE_HW, _dataset

        dataset = _dataset(Path(folder), samples, masks)
        photos = _photos(Path(folder), SIZE_HW)
        dataset.set_values("filepath", [photos[place % PHOTOS] for place in range(samples)])
        return {"samples": samples, "masks": samples * masks, **in_app(dataset, decisions, pause)}


def in_app(dataset: Any, decisions: int, pause: int) -> dict[str, Any]:
    """The figures of one dataset."""
    from fiftyone_ssa.plugin import install_plugin
    from tools.app import browse, serve, visit

    install_plugin()
    with serve() as session, browse() as page:
        return _review(visit(page, session, dataset), decisions, pause)


def _photos(folder: Path, size_hw: tuple[int, int]) -> list[str]:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(PHOTOS):
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (30, 45, 3), dtype=np.uint8))
        path = folder / f"photo-{number}.jpg"
        coarse.resize(size_hw[::-1], PIL.Image.Resampling.BICUBIC).save(path, quality=92)
        paths.append(str(path))
    return paths


def _review(page: Any, decisions: int, pause: int) -> dict[str, Any]:
    from tools.app import open_panel, wait_until

    page.wait_for_timeout(5_000)  # the grid loads its own pictures
    started = time.perf_counter()
    open_panel(page, "Review masks")
    root, picture = (page.locator(f'[data-cy="{name}"]') for name in ("review-masks", "review-picture"))
    wait_until(lambda: picture.count() and picture.get_attribute("data-shown"), "no mask", 120, page)
    opened = time.perf_counter() - started
    page.wait_for_timeout(3_000)
    times: dict[str, list[float]] = {key: [] for key in KEYS}
    for number in range(decisions):
        key = KEYS[number % len(KEYS)]
        before = root.get_attribute("data-latencies")
        page.keyboard.press(key)
        wait_until(lambda before=before: root.get_attribute("data-latencies") != before, f"{key}: no next", 30, page)
        times[key].append(float(root.get_attribute("data-latency-ms")))
        page.wait_for_timeout(pause)
    wait_until(lambda: root.get_attribute("data-waiting") == "0", "not saved", 60, page)
    every = sorted(ms for those in times.values() for ms in those)
    return {
        "load": round(os.getloadavg()[0], 1),  # of the machine: what else runs is in these figures
        "queue_seconds": round(opened, 2),
        "reviewed": int(page.locator('[data-cy="review-progress"]').get_attribute("data-reviewed")),
        "next_mask_ms": {
            **{key: _spread(those) for key, those in times.items()},
            "all": _spread(every) | {"p95": every[int(0.95 * len(every))]},
        },
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "max": max(values)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--decisions", type=int, default=60)
    parser.add_argument("--pause", type=int, default=400, help="milliseconds between two keys")
    print(json.dumps(benchmark(**vars(parser.parse_args())), indent=1))
