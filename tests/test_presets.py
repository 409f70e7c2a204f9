"""Presets: the published settings, checked keys, overrides, paths, fingerprints."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.presets import load_preset, parse_override, preset_names


def test_the_published_settings() -> None:
    published = [name for name in preset_names() if not name.startswith("mini-")]
    assert published == sorted(
        ["engine-base", "engine-small", "ssa-ade20k", "ssa-ade20k-b0", "ssa-cityscapes", "ssa-foggy-driving"]
    )
    for name in published:
        preset = load_preset(name)
        assert preset.name == name
        assert preset.pipeline == name.split("-")[0]
        masks = preset.masks
        assert (masks.pred_iou_thresh, masks.stability_score_thresh, masks.min_mask_region_area) == (0.86, 0.92, 100)
        assert masks.crop_n_points_downscale_factor == 2
    points = {name: load_preset(name).masks.points_per_side for name in published}
    assert list(points.values()) == [32, 16, 64, 64, 64, 128]
    assert load_preset("ssa-ade20k").masks.crop_n_layers == 1
    assert load_preset("ssa-foggy-driving").semantic.model == "shi-labs/oneformer_cityscapes_dinat_large"
    assert load_preset("ssa-ade20k").semantic.vote == "hard"
    base = load_preset("engine-base").open_vocabulary
    assert (base.top_k, base.filter_scale, base.caption_scale, base.decide_scale) == (3, 1.2, 1.6, 1.6)


def test_the_small_models_come_with_the_package() -> None:
    for name in ("mini-ssa", "mini-engine"):
        preset = load_preset(name)
        chosen = preset.open_vocabulary
        filters = chosen.class_filter.removeprefix("local-dir:")
        sam = preset.masks.model if preset.masks.source == "sam" else ""
        models = [sam, preset.semantic.model, *chosen.segmenters, chosen.captioner, filters, chosen.decider]
        for model in filter(None, models):
            assert (Path(model) / "README.md").is_file()
            assert next(Path(model).glob("*.safetensors")).stat().st_size < 12_000_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pipelin = 'ssa'", "unknown key 'pipelin' .did you mean 'pipeline'.*legal are pipeline, masks"),
        ("pipeline = 'sssa'", "pipeline must be one of ssa, engine, got 'sssa' .did you mean 'ssa'"),
        ("[masks]\npoints_per_sid = 3", r"unknown key masks\.points_per_sid .did you mean 'points_per_side'"),
        ("[masks]\nsource = 'exists'", r"masks\.source must be one of sam, existing"),
        ("[masks]\npoints_per_side = 0", r"masks\.points_per_side must be from 1 to 512, got 0"),
        ("[masks]\npoints_per_side = 1.5", r"masks\.points_per_side must be a whole number, got 1\.5"),
        ("[masks]\npoints_per_side = true", r"must be a whole number, got True"),
        ("[masks]\nstability_score_thresh = 'a'", r"must be a number, got 'a'"),
        ("[masks]\nstability_score_thresh = nan", r"stability_score_thresh must be from 0 to 1, got nan"),
        ("masks = 3", "masks must be a table of settings, got 3"),
        ("[semantic]\nmodel = 3", r"semantic\.model must be a string, got 3"),
        ("[semantic]\nvote = 'sof'", "did you mean 'soft'"),
        ("", r"semantic\.model is missing"),
        ("pipeline = 'engine'", r"open_vocabulary\.class_filter is missing"),
        (
            "pipeline = 'engine'\n[open_vocabulary]\nclass_filter = 'a'\ndecider = 'b'",
            "nothing proposes names; set open_vocabulary segmenters, captioner or vocabulary",
        ),
        ("[open_vocabulary]\nsegmenters = 'one'", "must be a list of strings, got 'one'"),
        ("not toml", "is not a TOML file"),
    ],
)
def test_a_bad_preset_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        load_preset(path)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_files() -> None:
    with pytest.raises(InputError, match=r"no preset 'ssa-adk20k' \(did you mean 'ssa-ade20k'\?\)"):
        load_preset("ssa-adk20k")
    with pytest.raises(InputError, match=r"preset file nowhere/x\.toml does not exist"):
        load_preset("nowhere/x.toml")


def test_overrides() -> None:
    assert parse_override("semantic.vote=soft") == ("semantic.vote", "soft")
    assert parse_override("masks.points_per_side = 8") == ("masks.points_per_side", 8)
    assert parse_override('open_vocabulary.segmenters=["a", "b"]') == ("open_vocabulary.segmenters", ["a", "b"])
    assert parse_override("semantic.model=a=b") == ("semantic.model", "a=b")
    for wrong in ("semantic.vote", "=3"):
        with pytest.raises(InputError, match=r"section\.key=value"):
            parse_override(wrong)
    changed = load_preset("ssa-ade20k", {"masks.points_per_side": 8, "semantic": {"vote": "soft"}})
    assert (changed.masks.points_per_side, changed.semantic.vote) == (8, "soft")
    assert changed.semantic.model == load_preset("ssa-ade20k").semantic.model
    assert load_preset(changed, {"pipeline": "ssa", "semantic.vote": "hard"}).masks.points_per_side == 8
    with pytest.raises(InputError, match="unknown key 'mask'"):
        load_preset("ssa-ade20k", {"mask.points_per_side": 8})


def test_paths_are_relative_to_the_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here/models/segformer").mkdir(parents=True)
    (tmp_path / "here/own.py").touch()
    (tmp_path / "here/words.txt").touch()
    toml = tmp_path / "here/mine.toml"
    monkeypatch.chdir(tmp_path)

    def model(value: str) -> str:
        toml.write_text(f"semantic.model = '{value}'")
        return load_preset(toml).semantic.model

    here = tmp_path / "here"
    assert model("models/segformer") == str(here / "models/segformer")
    assert model("./models/none") == str(here / "models/none")
    assert model("nvidia/segformer-b0") == "nvidia/segformer-b0"
    assert model("own:build") == f"{here}/own.py:build"
    assert model("own.py:build") == f"{here}/own.py:build"
    assert model("package.own:build") == "package.own:build"
    assert model("field") == "field"
    override = load_preset("ssa-ade20k", {"semantic.model": "here/models/segformer"})
    assert override.semantic.model == str(here / "models/segformer")
    toml.write_text(
        "pipeline = 'engine'\n[open_vocabulary]\nsegmenters = ['own:build', 'a/b']\n"
        "class_filter = 'local-dir:clip'\ndecider = 'c/d'\nvocabulary = 'words.txt'"
    )
    chosen = load_preset(toml).open_vocabulary
    assert chosen.segmenters == (f"{here}/own.py:build", "a/b")
    assert chosen.class_filter == f"local-dir:{here}/clip"
    assert chosen.vocabulary == str(here / "words.txt")


def test_a_fingerprint_follows_what_can_change_a_label(tmp_path: Path) -> None:
    preset = load_preset("ssa-ade20k")
    copy = tmp_path / "copy.toml"
    copy.write_text((Path(load_preset.__code__.co_filename).parent / "ssa-ade20k.toml").read_text())
    assert load_preset(copy).fingerprint == preset.fingerprint
    assert load_preset(preset, {"semantic.vote": "soft"}).fingerprint != preset.fingerprint
    assert load_preset(preset, {"open_vocabulary.top_k": 9}).fingerprint == preset.fingerprint
    existing = load_preset(preset, {"masks.source": "existing"})
    assert load_preset(existing, {"masks.points_per_side": 1}).fingerprint == existing.fingerprint
    assert len(preset.fingerprint) == 16
    words = tmp_path / "words.txt"
    words.write_text("kite\n")
    engine = load_preset("engine-small", {"open_vocabulary.vocabulary": str(words)})
    before = engine.fingerprint
    assert before == engine.fingerprint
    words.write_text("kite\nrocket\n")
    assert engine.fingerprint != before
    assert pickle.loads(pickle.dumps(preset)) == preset
