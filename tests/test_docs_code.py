"""Every code block of README, CONTRIBUTING, docs and skills runs; `python -m tools.doc_blocks` lists those that do not.

The blocks of a page run in their order, in a folder of its own, with two small scenes named by the quickstart's models.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tomllib
import traceback
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import pytest
from pycocotools import mask as coco

from fiftyone_ssa import cli
from fiftyone_ssa.labels.annotate import annotate
from fiftyone_ssa.layouts.ontology import Ontology
from fiftyone_ssa.plugin import install_plugin, uninstall_plugin
from fiftyone_ssa.presets import FOLDER, load_preset
from fiftyone_ssa.quickstart import run
from tools.doc_blocks import ROOT, Block, blocks, pages

ELSEWHERE = ("pip", "git", "apt-get", "cd", "source", "export", "docker")
"""Programs that set a machine up: lines that are not run, and need no mark."""
KEPT = "docs-quickstart"
FEW = {"points_per_side": 4, "crop_n_layers": 0}
ALONE = {
    **{"captioner": "", "segmenters": [], "decider": "filter", "decision": "published"},
    "vocabulary": ["sky", "tree", "road", "grass", "wall", "car", "house"],
}
SMALL = {"small-ssa.toml": ("mini-ssa", FEW, {}), "small-engine.toml": ("mini-engine", FEW, ALONE)}
"""Presets that blocks are run with: those of the quickstart, asking less."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """The dataset `docs-quickstart` and a folder with what pages find beside them; the plugin is installed."""
    folder = tmp_path_factory.mktemp("scenes")
    small = folder / "small-engine.toml"  # the whole engine would take a third of this file's time
    small.write_text(_preset(*SMALL[small.name]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "SIZES_HW", ((160, 208), (144, 192)))
        if fo.dataset_exists(run.DATASET):
            fo.delete_dataset(run.DATASET)
        dataset = run._dataset(folder / "scenes", 2)
        annotate(dataset, "mini-ssa", masks_field="regions", keep_branch=True, progress=False)
        annotate(dataset, small, label_field="engine", masks_field="ssa", progress=False)
    dataset.name = KEPT
    _write_beside(dataset, folder / "beside")
    install_plugin()
    yield folder / "beside"
    uninstall_plugin()
    fo.delete_dataset(KEPT)


def _write_beside(dataset: fo.Dataset, folder: Path) -> None:
    photos, ade = folder / "PHOTOS", folder / "ADEChallengeData2016"
    images, truths = ade / "images/validation", ade / "annotations/validation"
    for made in (photos, images, truths):
        made.mkdir(parents=True)
    for sample in dataset.iter_samples():
        stem = Path(sample.filepath).stem
        shutil.copy(sample.filepath, photos / f"{stem}.png")
        shutil.copy(sample.filepath, images / f"{stem}.png")
        shutil.copy(sample.ground_truth.mask_path, truths / f"{stem}.png")
        (photos / f"{stem}.json").write_text(json.dumps(_sa1b(sample)))
    shutil.copytree(photos, folder / "SA1B")
    Ontology.of(["sky", "tree", "road", "car"]).save(folder / "classes.toml")
    for name, (preset, masks, words) in SMALL.items():
        (folder / name).write_text(_preset(preset, masks, words))


def _sa1b(sample: fo.Sample) -> dict[str, Any]:
    height, width = sample.metadata.height, sample.metadata.width
    annotations = []
    for number, region in enumerate(sample.regions.detections):
        full = region.to_segmentation(frame_size=(width, height)).mask > 0
        code = coco.encode(np.asfortranarray(full.astype(np.uint8)))
        size, counts = code["size"], code["counts"].decode()
        annotations.append({"id": number, "segmentation": {"size": size, "counts": counts}, "area": int(full.sum())})
    image = {"file_name": Path(sample.filepath).name, "height": height, "width": width}
    return {"image": image, "annotations": annotations}


def _preset(name: str, masks: dict[str, Any], words: dict[str, Any]) -> str:
    settings = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    lines = [f'pipeline = "{settings["pipeline"]}"']
    for section, more in (("masks", masks), ("semantic", {}), ("open_vocabulary", words)):
        if section in settings:
            lines.append(f"[{section}]")
            values = {**settings[section], **more}
            lines += [f"{key} = {json.dumps(_absolute(value))}" for key, value in values.items()]
    return "\n".join(lines)


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(entry) for entry in value]
    if isinstance(value, str) and "../" in value:
        head, path = value.split("../", 1)
        return f"{head}{(FOLDER / '..' / path).resolve()}"
    return value


@pytest.fixture
def place(name, scenes, tmp_path, monkeypatch):
    """An own folder with the scenes' files, and the dataset `ssa-quickstart`, as a page's reader has them."""
    shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    before = set(fo.list_datasets())
    if run.DATASET in WITH_CODE[name].read_text():
        fo.load_dataset(KEPT).clone(run.DATASET, persistent=True)
    yield tmp_path
    for made in set(fo.list_datasets()) - before:
        fo.delete_dataset(made)


WITH_CODE = {str(page.relative_to(ROOT)): page for page in pages() if blocks(page)}


@pytest.mark.parametrize("name", WITH_CODE)
def test_blocks_of(name, place, monkeypatch):
    namespace: dict[str, Any] = {"__name__": "__main__"}
    left_out = []
    for block in blocks(WITH_CODE[name]):
        if block.not_run:
            left_out.append(f"{block.place}: {block.not_run}")
            continue
        try:
            _run(block, namespace)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, its place is told
            pytest.fail(f"{block.place}: {error!r}\n\n{block.to_run}\n\n{traceback.format_exc(limit=-4)}")


def _run(block: Block, namespace: dict[str, Any]) -> None:
    if block.given:
        exec(block.given, namespace)
    if block.saved_as:
        _written(block.saved_as, block.to_run)
    elif block.language == "python":
        source = "\n" * (block.line - 1) + block.to_run  # so that a traceback names the page's own line
        exec(compile(source, block.place.partition(":")[0], "exec"), namespace)
    elif block.language == "console":
        for line in block.to_run.replace("\\\n", " ").splitlines():
            _run_line(line, block)
    elif block.language == "toml":
        if "pipeline" in tomllib.loads(block.to_run):
            load_preset(_written("preset.toml", block.to_run))
    else:
        json.loads(block.to_run)


def _written(name: str, text: str) -> Path:
    Path(name).write_text(text)
    return Path(name).resolve()


def _run_line(line: str, block: Block) -> None:
    words = shlex.split(line, comments=True)
    if not words or words[0] in ELSEWHERE:
        return
    program, *arguments = [word for at, word in enumerate(words) if at or word != "$"]
    program = program.removeprefix(".venv/bin/")
    if program == "fiftyone-ssa":
        code = _ended(arguments)
        assert code == block.fails, f"`{line}` ended with {code}"
    elif program == "make":
        targets = {word for word in arguments if "=" not in word}
        known = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert targets <= known, f"the Makefile has no {', '.join(targets - known)}"
    elif program in ("pytest", "python") and arguments[0] not in ("-m", "-c"):
        assert (ROOT / arguments[0]).exists(), f"there is no {arguments[0]}"
    elif program not in ELSEWHERE:
        raise ValueError(f"{program!r} cannot be run here; mark the block `<!-- not run: why -->`")


def _ended(arguments: list[str]) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as stopped:  # --help, and what argparse refuses
        return int(stopped.code or 0)


def test_what_is_not_run_says_why():
    reasons = [block.not_run for page in pages() for block in blocks(page) if block.not_run]
    assert all(len(reason.split()) >= 3 for reason in reasons)
    assert os.environ["HF_HUB_OFFLINE"] == "1"  # no block downloads anything
