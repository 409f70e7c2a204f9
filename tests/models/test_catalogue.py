"""What is known of models without loading one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
from safetensors.numpy import save_file

from fiftyone_ssa.models.catalogue import (
    OPEN_CLIP_REPOSITORIES,
    PREFERRED,
    facts,
    is_cached,
    parameters_m,
    preferred_preset,
    preset_models,
)
from fiftyone_ssa.presets import load_preset, preset_names


def test_models_that_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert not is_cached("some/model")
    repository = tmp_path / "models--some--model"
    snapshot = repository / "snapshots/abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("abc")
    (snapshot / "config.json").write_text("{}")
    assert not is_cached("some/model")  # a config without weights is a download that broke off
    (snapshot / "model.safetensors").touch()
    assert is_cached("some/model")


@pytest.mark.parametrize("setting", ["masks.model", "open_vocabulary.class_filter"])
def test_a_model_in_a_file_is_here_where_the_file_is(setting: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    named = f"{'ViT-L-14-quickgelu:' if setting.endswith('filter') else ''}{file}"
    assert facts(load_preset("mini-engine", {setting: named})).missing == (str(file),)
    file.touch()
    assert facts(load_preset("mini-engine", {setting: named})).missing == ()


@pytest.mark.parametrize("named", ["ViT-L-14:no-such-weights", "no id at all"])
def test_what_no_hub_can_have_is_missing(named: str) -> None:
    assert facts(load_preset("mini-engine", {"open_vocabulary.class_filter": named})).missing == (named,)


def test_the_models_of_presets() -> None:
    assert preset_models(load_preset("ssa-ade20k-b0")) == [
        "facebook/sam-vit-huge",
        "nvidia/segformer-b0-finetuned-ade-512-512",
    ]
    engine = preset_models(load_preset("engine-small"))
    assert "timm/vit_base_patch32_clip_224.openai" in engine
    assert "facebook/sam-vit-huge" not in engine  # its masks exist already
    without = preset_models(load_preset("engine-small", {"open_vocabulary.decider": "filter"}))
    assert without == engine[:-1]  # no model of its own


def test_every_preset_tells_its_size() -> None:
    for name in preset_names():
        for model in preset_models(load_preset(name)):
            assert parameters_m(model), model
    assert parameters_m("who/knows") is None


def test_the_size_of_a_folder_is_read_from_its_header(tmp_path: Path) -> None:
    save_file({"a": np.zeros((30, 50), np.float32), "b": np.zeros(500, np.float16)}, tmp_path / "model.safetensors")
    assert parameters_m(str(tmp_path)) == 0.002
    (tmp_path / "model.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0[1,2]")
    assert parameters_m(f"local-dir:{tmp_path}") is None
    assert parameters_m(str(tmp_path / "none")) is None


@pytest.mark.parametrize("name", OPEN_CLIP_REPOSITORIES)
def test_where_open_clip_loads_from(name: str) -> None:
    architecture, _, tag = name.partition(":")
    assert open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"].rstrip("/") == OPEN_CLIP_REPOSITORIES[name]


def test_listing_presets_loads_no_torch() -> None:
    code = "import sys; from fiftyone_ssa.cli import main; main(['presets']); print('torch' in sys.modules)"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert listed.splitlines()[-1] == "False"


def test_what_a_preset_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    about = facts(load_preset("ssa-ade20k"))
    assert len(about.missing) == 2
    assert about.parameters_m == 726
    assert about.download_gb == pytest.approx(2.904)
    assert about.memory_gb(gpu=True) == pytest.approx(3.452)
    assert not about.can_run(gpu=True, free_gb=80)
    small = facts(load_preset("mini-ssa"))
    assert not small.missing
    assert small.download_gb == 0
    assert small.can_run(gpu=False, free_gb=None)
    assert not small.can_run(gpu=False, free_gb=1)


def test_the_preferred_preset_is_there_and_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert preferred_preset(gpu=False, free_gb=16) == "mini-ssa"
    for model in preset_models(load_preset("ssa-ade20k")):
        snapshot = tmp_path / f"models--{model.replace('/', '--')}/snapshots/abc"
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs/main").write_text("abc")
        for name in ("config.json", "model.safetensors"):
            (snapshot / name).write_text("{}")
    assert preferred_preset(gpu=False, free_gb=16) == "ssa-ade20k"
    assert preferred_preset(gpu=False, free_gb=3) == "mini-ssa"
    assert set(PREFERRED) == {*preset_names()} - {"mini-engine"}
