"""The kill tests: a few kills here, many by hand (`python -m tools.kills`), and they see what they should."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from fiftyone_ssa.folders.annotate import annotate_files
from fiftyone_ssa.presets import load_preset
from tools.kills.files import FilesTrial
from tools.kills.shards import ShardsTrial
from tools.kills.trial import Figures, run_round


def test_two_kills_lose_nothing(tmp_path: Path) -> None:
    chance, figures = random.Random(3), Figures()
    trial = FilesTrial(tmp_path, chance, images=24, seconds=0.1)
    trial.save_images = trial.save_branch = True
    run_round(trial, chance, 2, figures)
    assert figures.faults == []
    assert figures.kills == 2


def test_killed_runs_on_tars_lose_nothing(tmp_path: Path) -> None:
    chance, figures = random.Random(5), Figures()
    trial = ShardsTrial(tmp_path, chance, tars=4, images=3, seconds=0.05)
    run_round(trial, chance, 2, figures, within_s=0.3)
    assert figures.faults == []
    assert figures.kills == 2


def test_a_killed_run_on_a_dataset_loses_nothing(tmp_path: Path) -> None:
    from fiftyone_ssa.labels.annotate import annotate  # loads FiftyOne
    from tools.kills.datasets import DatasetTrial

    chance, figures = random.Random(3), Figures()
    trial = DatasetTrial(tmp_path, chance, samples=12, seconds=0.05)
    trial.begin_round()
    annotate(trial.dataset, "mini-ssa", masks_field="masks", overrides={"semantic.model": trial.factory}, device="cpu")
    assert trial.after_end("") == []
    trial.begin_round()
    run_round(trial, chance, 1, figures, within_s=0.3)
    assert figures.faults == []


def test_it_sees_what_a_bad_run_would_leave(tmp_path: Path) -> None:
    trial = FilesTrial(tmp_path, random.Random(0), images=4, seconds=0)
    preset = load_preset("mini-ssa", {"masks.source": "existing", "semantic.model": f"{tmp_path}/own.py:plain"})
    annotate_files(trial.data, trial.out, preset, device="cpu", progress=False)
    assert trial.after_end("") == []
    result = trial.out / "0_semantic.json"
    whole = json.loads(result.read_text())
    for content, says in (
        (result.read_text()[:-20], "half written"),
        (json.dumps({**whole, "annotations": whole["annotations"] * 2}), "holds the masks [0, 0, 1, 1]"),
        (json.dumps({**whole, "classes": ["cloud", "rock", "lawn"]}), "is of ['cloud'"),
    ):
        result.write_text(content)
        assert says in " ".join(trial.after_start(killed=True) if "half" in says else trial.after_end(""))
    other = trial.out / "3_semantic.json"
    os.utime(other, ns=(2**61, 2**61))
    assert f"{other} was made again or is gone" in trial.after_start(killed=True)
    (trial.out / ".1-2.ssa-part").write_bytes(b"half")
    result.unlink()
    said = " ".join(trial.after_end(""))
    for wrong in ("left over: ['.1-2.ssa-part']", "missing: ['0_semantic.json']", "is not finished"):
        assert wrong in said


def test_kills_through_ray_are_of_each_kind_and_nodes_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs ray (pip install 'fiftyone-ssa[scale]')")
    from tools.kills import on_ray

    kills = on_ray.kills_of_each(20, random.Random(2))
    assert sorted(kills) == sorted(on_ray.KINDS * 20)
    assert kills != on_ray.kills_of_each(20, random.Random(3))
    answers = iter([RuntimeError("not yet"), RuntimeError("not yet"), "node"])

    def ask(*about: str) -> str:
        assert about == ("gcs", "id")
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    assert on_ray._asked_long(ask, "gcs", "id") == "node"
    monkeypatch.setattr(on_ray, "START_S", 0)
    answers = iter([RuntimeError("never")])
    with pytest.raises(RuntimeError, match="never"):
        on_ray._asked_long(ask, "gcs", "id")
