"""Every preset runs as it is, offline, on small models in the form in which the hub publishes those it names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fiftyone_ssa.layouts import ade20k, cityscapes
from fiftyone_ssa.masks.rle import encode
from fiftyone_ssa.presets import load_preset, preset_names
from fiftyone_ssa.presets.settings import FILTER
from tests.models.hub_folders import cache, every_model

QUICK = {
    "masks.points_per_side": 3,
    "masks.crop_n_layers": 0,
    "masks.pred_iou_thresh": -1e6,  # random SAMs think little of their masks
    "masks.stability_score_thresh": 0.0,
    "masks.min_mask_region_area": 0,
}
FEW = {"masks.points_per_side": 12, "masks.crop_n_layers": 0}
"""The quickstart's own presets run whole in tests/quickstart."""
SCRIPT = """
import json, sys
from fiftyone_ssa.cli import main
presets, settings, folder = json.loads(sys.argv[1])
for preset in presets:
    chosen = [part for setting in settings[preset] for part in ("--set", setting)]
    code = main(["annotate", f"{folder}/in", f"{folder}/{preset}", "--preset", preset, "--device", "cpu", *chosen])
    print(preset, code)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> Path:
    """A folder of results a preset, all made in one process that sees a hub cache of small models and nothing else."""
    folder = tmp_path_factory.mktemp("presets")
    home = cache(tmp_path_factory.mktemp("hub"), parity / "models")
    _draw(folder / "in")
    settings = {}
    for preset in preset_names():
        changes = dict(FEW) if preset.startswith("mini") else dict(QUICK)
        if load_preset(preset).masks.source == "existing":  # beside which settings of SAM are idle
            changes = {key: value for key, value in changes.items() if not key.startswith("masks.")}
        if load_preset(preset).open_vocabulary.class_filter.endswith(":openai"):
            changes["open_vocabulary.class_filter"] = str(home / "clip")  # an open_clip tag names its size
        settings[preset] = [f"{key}={value}" for key, value in changes.items()]
    environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_CACHE", "HF_HUB_OFFLINE")}
    environment |= {
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": _path(),
    }
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([preset_names(), settings, str(folder)])],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (folder / "stdout").write_text(run.stdout)
    (folder / "stderr").write_text(run.stderr)
    return folder


def _path() -> str:
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(Path(__file__).parents[1]))))


def _draw(folder: Path) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    annotations = []
    for top, left in ((4, 24), (20, 50)):
        mask = np.zeros((64, 96), bool)
        mask[top : top + 30, left : left + 40] = True
        segmentation = {"size": [64, 96], "counts": encode(mask).decode()}
        annotations.append({"id": top, "segmentation": segmentation, "bbox": [left, top, 39, 29], "area": 1200})
    (folder / "a.json").write_text(json.dumps({"annotations": annotations}))


def test_each_model_that_a_preset_names_has_a_small_stand_in(tmp_path: Path, parity: Path) -> None:
    named = set()
    for preset in map(load_preset, (name for name in preset_names() if not name.startswith("mini"))):
        engine = preset.open_vocabulary
        named |= {preset.masks.model, preset.semantic.model, *engine.segmenters, engine.captioner}
        named |= {engine.class_filter, engine.decider}
    assert named - {"", FILTER} == set(every_model(tmp_path, parity / "models"))


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_names_masks(preset: str, results: Path) -> None:
    record = json.loads((results / preset / "a_semantic.json").read_text())
    names = [annotation["class_name"] for annotation in record["annotations"]]
    assert f"{preset} 0" in (results / "stdout").read_text().splitlines()
    assert names
    assert all(names)
    if preset.startswith("ssa-"):
        assert set(names) <= set(ade20k.NAMES if "ade20k" in preset or preset == "ssa-fast" else cityscapes.NAMES)


def test_no_library_adds_a_word(results: Path) -> None:
    """Nothing but the progress bars, one a preset."""
    lines = [line for line in (results / "stderr").read_text().replace("\r", "\n").splitlines() if line.strip()]
    assert [line for line in lines if "image" not in line] == []
