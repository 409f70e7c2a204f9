"""The GPU's benchmark, rehearsed on the CPU as on a machine that has torch and transformers and little else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import _probes, _sections
from benchmarks._architectures import CLIPS
from benchmarks._sections import Section, run_section
from benchmarks._stand_ins import DrawnMasks, GivenMasks, WordPhrases, _open, tokenize
from benchmarks.gpu import SECTIONS, summary
from fiftyone_ssa.masks.rle import encode, mask_set
from fiftyone_ssa.models.found_masks import Encoding
from fiftyone_ssa.models.lowres import Frame
from fiftyone_ssa.models.point_grids import point_grid

ROOT = Path(__file__).parents[2]
ABSENT = ("fiftyone", "open_clip", "spacy", "pycocotools", "supervision", "eta")
FAILING = Section("failing", "tests.benchmarks.failing_sections", 1)


def run(*arguments: str, absent: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m` in the repository, without a GPU; `absent` is a folder that hides packages."""
    paths = [str(path) for path in (ROOT, absent) if path]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000)


def last(figures: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """A section's figures when it has ended."""
    return list(figures)[-1]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the whole command writes."""
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n")
    out = folder / "figures.json"
    done = run("benchmarks.gpu", "--rehearse", "--budget", "3000", "--out", str(out), absent=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    report: dict[str, Any] = json.loads(out.read_text())
    return report


def test_every_section_has_all_its_figures(rehearsal: dict[str, Any]) -> None:
    assert rehearsal["rehearsed"] is True
    wrong = [
        f"{section.name}: {what}: {value}"
        for section in SECTIONS
        for what, value in rehearsal[section.name].items()
        if what == "ended" or (isinstance(value, dict) and {"failed", "skipped"} & set(value))
    ]
    assert wrong == []


def test_what_is_absent_is_told(rehearsal: dict[str, Any]) -> None:
    assert set(rehearsal["machine"]["stand_ins"]) == {"open_clip", "spacy"}


@pytest.mark.parametrize("pipeline", ["ssa-ade20k", "ssa-cityscapes", "engine"])
def test_labels_are_compared(pipeline: str, rehearsal: dict[str, Any]) -> None:
    parity = rehearsal["parity"]
    for variant in ("cpu as gpu, float32", "cpu as gpu, float32 without tf32"):
        assert parity[f"{pipeline}, {variant}"]["share_of_labels_equal"] == 1
    assert "share_of_labels_equal" in parity[f"{pipeline}, cpu as gpu, bfloat16"]
    # the engine's stand-ins rank names otherwise than published
    assert parity[f"{pipeline}, cpu float32"].get("share_as_published", 1) == 1
    assert ("share_as_published" in parity[f"{pipeline}, cpu float32"]) == (pipeline != "engine")


@pytest.mark.parametrize("pipeline", ["ssa", "engine"])
def test_a_pipelines_figures(pipeline: str, rehearsal: dict[str, Any]) -> None:
    figures = rehearsal[pipeline]
    for count in (1, 2):
        assert figures[f"{count} images"]["seconds_per_image"] > 0
        assert figures[f"{count} images"]["masks_named"] == 3 * count
        assert set(figures[f"{count} images"]["share_of_matrix_rate"]) == {"float32", "tf32"}
    assert figures["work"]["tflop_per_image"] > 0
    assert figures["waits"]["in all"] == sum(figures["waits"]["places"].values()) > 0
    assert any(place.startswith("models/scores.py:") for place in figures["waits"]["places"])
    assert figures["out of memory"]["share_of_labels_equal"] == 1


def test_the_engine_beside_its_estimates(rehearsal: dict[str, Any]) -> None:
    engine = rehearsal["engine"]
    assert set(engine["1 images"]["stages_of_the_last"]) == set(engine["stages"])
    assert all(engine["stages"][stage]["operator_calls"] > 0 for stage in ("segment", "caption", "filter", "decide"))
    assert engine["estimates"]["caption"]["busy_ms"] == {"estimated": 165, "measured": None}
    assert engine["estimates"]["caption"]["waited_for_ms"] > 0
    assert engine["modules"]["OneFormerForUniversalSegmentation"]["calls"] == 4
    said = engine["out of memory"]["said"]
    assert "out of memory in the captioner: going on with batches of 1" in said
    assert set(engine["out of memory"]["rows_at_a_time"].values()) <= {1, 32}


def test_everything_mode(rehearsal: dict[str, Any]) -> None:
    sam = rehearsal["sam"]
    assert sam["everything"]["masks"] > 0
    assert sam["SSA's preset"]["masks"] > 0
    assert sam["modules"]["SamVisionEncoder"]["calls"] == 1


def test_without_a_gpu_it_says_so_in_a_line() -> None:
    alone = run("benchmarks.gpu")
    assert (alone.returncode, len(alone.stdout.splitlines())) == (0, 1)
    assert "no GPU" in json.loads(alone.stdout)["skipped"]
    among_all = run("benchmarks", "--only", "gpu")
    assert among_all.returncode == 0
    assert json.loads(among_all.stdout)["gpu"] == json.loads(alone.stdout)


def test_a_figure_that_fails_costs_itself_only(tmp_path: Path) -> None:
    figures = last(run_section(FAILING, "figure", tmp_path, 60, fork=True))
    assert figures["good"] == {"seconds": 1}
    assert figures["bad"]["failed"].startswith("IndexError: list index out of range (failing_sections.py:")
    assert "it needs about 1000000" in figures["long"]["skipped"]
    assert figures["later"] == 2
    assert "ended" not in figures


@pytest.mark.parametrize(("how", "ended"), [("raises", "status 1"), ("dies", "status 9"), ("hangs", "was stopped")])
def test_a_section_that_ends_badly_keeps_its_figures(
    how: str, ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sections, "GRACE_S", 0.5)
    figures = last(run_section(FAILING, how, tmp_path, 4 if how == "hangs" else 60, fork=True))
    assert figures["good"] == {"seconds": 1}
    assert ended in figures["ended"]
    assert any(ended in line for line in summary({"failing": figures}))


def test_a_stopped_run_has_written_what_it_measured(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--only", "machine", "sam", "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("sam | loading" in line for line in process.stderr)
    process.terminate()
    assert process.wait(30) == 143
    assert "machine" in json.loads(out.read_text())


def test_a_section_in_a_fresh_process(tmp_path: Path) -> None:
    assert last(run_section(FAILING, "", tmp_path, 60, fork=False))["good"] == {"seconds": 1}


def test_kernels_copies_and_launches_are_told_apart() -> None:
    events = [
        ("cudaLaunchKernel", 4.0, False),
        ("cuLaunchKernelEx", 5.0, False),
        ("cudaMemcpyAsync", 7.0, False),
        ("ampere_bf16_gemm", 1000.0, True),
        ("elementwise", 500.0, True),
        ("Memcpy HtoD (Pinned -> Device)", 250.0, True),
    ]
    told = _probes._tally(events)
    longest = told.pop("longest_ms")
    assert told == {
        "kernels": 2,
        "copies": 1,
        "busy_ms": 1.75,
        "copies_ms": 0.25,
        "launches": 2,
        "launching_ms": 0.01,
    }
    assert next(iter(longest)) == "ampere_bf16_gemm"


def test_the_clip_that_stands_in_is_open_clips(parity: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    name = f"local-dir:{parity / 'models' / 'clip'}"
    theirs, ours = open_clip.create_model_from_pretrained(name, return_transform=False).eval(), _open(name)[0].eval()
    pixels = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    tokens = tokenize(["a cat", "two dogs on a wall", ""])
    with torch.inference_mode():
        assert torch.equal(theirs.encode_image(pixels), ours.encode_image(pixels))
        assert torch.equal(theirs.encode_text(tokens), ours.encode_text(tokens))
    assert {name: open_clip.get_model_config(name) for name in CLIPS} == CLIPS


def test_phrases_are_pairs_of_words() -> None:
    assert WordPhrases()(["a red car on the road", "tree", ""]) == [("a red", "car on"), ("tree",), ()]


class Flat:
    device, side = torch.device("cpu"), 256

    def encode_all(self, images: Any) -> list[Encoding]:
        return [Encoding(None, Frame((200, 256), (200, 256), 256, by_input=True)) for _ in images]

    def decode(self, encoding: Encoding, points_xy: Any, from_iou: float) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(points_xy), 3, 64, 64), torch.zeros(len(points_xy), 3)


def test_drawn_masks_hold_their_points() -> None:
    drawn = DrawnMasks(Flat())
    points_xy = point_grid(8) * [256, 200]
    logits, ious = drawn.decode(*drawn.encode_all([None]), points_xy)  # type: ignore[arg-type]
    cells = np.floor(points_xy / 4).astype(int)
    at_point = logits[torch.arange(len(cells)), :, cells[:, 1], cells[:, 0]]
    sure = ious > 0.86
    assert 0.1 < sure.float().mean() < 0.99
    # the smallest are narrower than a cell
    assert (at_point[sure] > 0).float().mean() > 0.9
    assert (at_point[~sure] < 0).float().mean() > 0.9


def test_given_masks_answer_the_points_in_them() -> None:
    dense = np.zeros((4, 200, 256), np.bool_)
    dense[0], dense[1, :96], dense[2, 32:64, 64:128], dense[3, 40:48, 80:96] = True, True, True, True
    given = GivenMasks(Flat(), mask_set((200, 256), [encode(plane) for plane in dense]))
    points_xy = np.array([[88, 44], [100, 50], [10, 150]])
    logits, ious = given.decode(*given.encode_all([None]), points_xy)  # type: ignore[arg-type]
    # the three smallest that hold each point, and where fewer do the smallest again
    assert (ious > 0.86).all()
    padded = np.zeros((4, 256, 256), np.bool_)
    padded[:, :200] = dense
    seen = padded[:, 2::4, 2::4]
    for row, expected in enumerate([[3, 2, 1], [2, 1, 0], [0, 0, 0]]):
        assert np.array_equal((logits[row] > 0).numpy(), seen[expected])
