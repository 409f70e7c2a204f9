"""Presets: the published settings, checked keys, overrides, paths, fingerprints."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiftyone_ssa import presets
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.vocabulary import read_vocabulary
from fiftyone_ssa.presets import Preset, load_preset, parse_override, preset_names
from fiftyone_ssa.presets.settings import SECTIONS

OURS = ("engine-2026", "engine-fast", "ssa-fast")
"""Presets of real models whose choice is ours."""


def test_the_published_settings() -> None:
    published = [name for name in preset_names() if not name.startswith("mini-") and name not in OURS]
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


def test_our_own_settings() -> None:
    fast, new = load_preset("engine-fast"), load_preset("engine-2026")
    assert (fast.masks.points_per_side, new.masks.points_per_side) == (16, 32)
    assert not fast.open_vocabulary.captioner
    assert not fast.open_vocabulary.segmenters
    names = read_vocabulary(fast.open_vocabulary.vocabulary)
    assert len(names) == 571
    assert all(name == name.strip().lower() for name in names)
    assert {*names} >= {"person", "car", "dog", "pizza", "sky", "grass", "wall", "sea", "building", "eye", "wheel"}
    assert fast.open_vocabulary.decider == new.open_vocabulary.decider == "filter"


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
        ("vote = 'auto'", "unknown key 'vote' .did you mean semantic.vote"),
        ("points_per_sid = 3", "unknown key 'points_per_sid' .did you mean masks.points_per_side"),
        ("VOTE = 'auto'", "unknown key 'VOTE' .did you mean semantic.vote"),
        ("[mask]\nsource = 'sam'", "unknown key 'mask' .did you mean 'masks'"),
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
            "nothing proposes names; set open_vocabulary segmenters, captioner, vocabulary or ontology",
        ),
        (
            "pipeline = 'engine'\n[open_vocabulary]\nclass_filter = 'a'\ndecider = 'b'\ntemplate = 'a photo'",
            "template must hold {}, where the name goes, got 'a photo'",
        ),
        (
            "pipeline = 'engine'\n[open_vocabulary]\nsegmenters = 'one'",
            r'must be a list of strings, such as \["one", "two"\] or \[\], got .one.',
        ),
        (
            "pipeline = 'engine'\n[semantic]\nvocabulary = 'words.txt'",
            r'semantic\.vocabulary \(did you mean open_vocabulary\.vocabulary\?\) does .* where pipeline = "engine", '
            r"which reads masks and open_vocabulary \(segmenters, .*\); leave it out, or choose a preset with pipeline",
        ),
        ("[open_vocabulary]\ndecider = 'filter'", r'open_vocabulary\.decider does nothing where pipeline = "ssa"'),
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


def test_what_the_pipeline_does_not_read_is_refused() -> None:
    """Where somebody gives it; not what a preset brings along that is made one of the other pipeline."""
    engine = {"pipeline": "engine", "open_vocabulary.class_filter": "a", "open_vocabulary.decider": "b"}
    engine |= {"open_vocabulary.captioner": "c"}
    assert load_preset("ssa-ade20k", engine).pipeline == "engine"
    assert load_preset(load_preset("mini-ssa"), engine).open_vocabulary.captioner == "c"
    for preset in ("mini-engine", load_preset("mini-engine")):
        for given in ({"semantic.vote": "auto"}, {"semantic": {"vote": "hard"}}):
            with pytest.raises(InputError, match=r"mini-engine.*semantic\.vote does nothing"):
                load_preset(preset, given)
    with pytest.raises(InputError, match=r"open_vocabulary\.top_k does nothing"):
        load_preset("mini-ssa", {"open_vocabulary.top_k": 9})


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


def test_overrides_of_a_sweep(tmp_path: Path) -> None:
    """Numbers of numpy's, lists of them, and paths."""
    (tmp_path / "words.txt").write_text("car")
    given = {"open_vocabulary.top_k": np.arange(5)[4], "open_vocabulary.filter_scale": np.float32(1.5)}
    found = load_preset("mini-engine", {**given, "open_vocabulary.vocabulary": tmp_path / "words.txt"})
    assert found == load_preset(
        "mini-engine",
        {
            "open_vocabulary.top_k": 4,
            "open_vocabulary.filter_scale": 1.5,
            "open_vocabulary.vocabulary": str(tmp_path / "words.txt"),
        },
    )
    with pytest.raises(InputError, match=r"vote must be one of .*, got \[1, 2\]"):
        load_preset("mini-ssa", {"semantic.vote": np.array([1, 2])})


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
    (here / "field").mkdir()
    assert model("./field") == str(here / "field")
    with pytest.warns(DeprecationWarning, match=r'semantic\.source = "field" now'):
        assert model("field") == ""
    assert load_preset(toml).semantic.source == "field"
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
    (here / "filter").mkdir()
    toml.write_text(toml.read_text().replace("c/d", "filter"))
    assert load_preset(toml).open_vocabulary.decider == "filter"  # a word, whatever lies beside the preset
    toml.write_text(toml.read_text().replace("'filter'", "'./filter'"))
    assert load_preset(toml).open_vocabulary.decider == str(here / "filter")


def test_a_vocabulary_with_commas_is_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever door it comes through: `--set` and the App's changes are lines, TOML and Python have lists, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a, b").write_text("sky\n")

    def vocabulary(line: str) -> str:
        return load_preset("mini-engine", dict([parse_override(line)])).open_vocabulary.vocabulary

    for given in ("dog, red car,,", '"dog,red car"', '["dog", "red car"]', '"dog\\nred car\\n"'):
        assert vocabulary(f"open_vocabulary.vocabulary={given}") == "dog\nred car\n"
    assert vocabulary('open_vocabulary.vocabulary="dog, red car\\n"') == "dog\nred car\n"
    assert vocabulary("open_vocabulary.vocabulary=dog,") == "dog\n"
    assert vocabulary("open_vocabulary.vocabulary=a, b") == str(tmp_path / "a, b")
    for word in ("dog", ",", "my, words.txt"):  # a file, which whoever reads it says is not there
        assert vocabulary(f"open_vocabulary.vocabulary={word}") == word
    for path in ("/data/my,own", "./my, own", "~/my,own"):
        assert vocabulary(f"open_vocabulary.vocabulary={path}").endswith("own")
    (tmp_path / "own.toml").write_text("[semantic]\nmodel = 'a/b'\nvocabulary = 'dog, red car'")
    assert load_preset(tmp_path / "own.toml").semantic.vocabulary == "dog\nred car\n"


def test_a_fingerprint_follows_what_can_change_a_label(tmp_path: Path) -> None:
    preset = load_preset("ssa-ade20k")
    copy = tmp_path / "copy.toml"
    copy.write_text((Path(load_preset.__code__.co_filename).parent / "ssa-ade20k.toml").read_text())
    assert load_preset(copy).fingerprint == preset.fingerprint
    assert load_preset(preset, {"semantic.vote": "soft"}).fingerprint != preset.fingerprint
    assert load_preset(preset, {"masks.points_per_batch": 9}).fingerprint == preset.fingerprint
    existing = load_preset(preset, {"masks.source": "existing"})
    assert existing.fingerprint != preset.fingerprint
    assert load_preset(existing, {"masks.points_per_side": 1}).fingerprint == existing.fingerprint
    assert len(preset.fingerprint) == 16
    assert pickle.loads(pickle.dumps(preset)) == preset


FINGERPRINTS = {
    "engine-2026": "31b45c011627dbb6",
    "engine-base": "f52e2495118c5cdc",
    "engine-fast": "711ef8ea833248f6",
    "engine-small": "c78f5dadf28858de",
    "ssa-ade20k": "2aa01148b6269667",
    "ssa-ade20k-b0": "7edd331f387e272c",
    "ssa-cityscapes": "98ac7ca272cef431",
    "ssa-fast": "efb10437a699de4a",
    "ssa-foggy-driving": "5141050aae7a1b35",
}


def test_fingerprints_stay() -> None:
    """Another one would turn all finished work into another preset's: never change a default (presets/settings.py)."""
    published = [name for name in preset_names() if not name.startswith("mini-")]
    assert {name: _without_folder(name).fingerprint for name in published} == FINGERPRINTS


def _without_folder(name: str) -> Preset:
    """A preset whose vocabulary is named as in its file; in stamps it counts by its content."""
    preset = load_preset(name)
    file = Path(preset.open_vocabulary.vocabulary).name
    return dataclasses.replace(preset, open_vocabulary=dataclasses.replace(preset.open_vocabulary, vocabulary=file))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_changes_the_fingerprint_or_says_that_it_cannot(section: str) -> None:
    kind = SECTIONS[section]
    sources = {"masks": "sam", "semantic": "model", "open_vocabulary": None}
    preset = load_preset("engine-small" if section == "open_vocabulary" else "ssa-ade20k")
    preset = load_preset(preset, {"masks.source": "sam"})
    existing = load_preset(preset, {"masks.source": "existing"})
    assert load_preset(existing, {"masks.names": "proposed"}).fingerprint != existing.fingerprint
    for entry in dataclasses.fields(kind):
        if entry.name == "source" or (section, entry.name) == ("masks", "names"):
            continue
        assert entry.metadata.get("applies", sources[section]) == sources[section], f"{entry.name} is never read"
        table = getattr(preset, section)
        changed = dataclasses.replace(table, **{entry.name: _other(getattr(table, entry.name))})
        same = dataclasses.replace(preset, **{section: changed}).fingerprint == preset.fingerprint
        assert same is not entry.metadata.get("labels", True), entry.name


def _other(value: object) -> object:
    if isinstance(value, tuple):
        return (*value, "one more")
    return f"{value}x" if isinstance(value, str) else value + 1  # type: ignore[operator]


@pytest.mark.parametrize(
    "settings",
    [
        {"masks": 5, "masks.source": "sam"},
        {"masks.source": "sam", "masks": [1]},
        {"masks.points_per_side": 10**5000},
        {"masks.pred_iou_thresh": int("9" * 400)},
        {"semantic.model": "~nosuchuser/x"},
        {"semantic.vote": "x" * 5000},
        {"masks.source": ["sam"]},
        {"masks.model": None},
        {"x" * 5000: 1},
        {5: 1},
        [("semantic.vote", "hard")],
    ],
    ids=range(11),
)
def test_settings_of_any_kind_get_one_sentence(settings: Any) -> None:
    with pytest.raises(InputError) as caught:
        load_preset("mini-ssa", settings)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


def test_long_names_are_names() -> None:
    assert load_preset("mini-ssa", {"semantic.model": "x" * 300}).semantic.model == "x" * 300


@pytest.mark.parametrize("preset", [None, 5, "~nosuchuser/x.toml", "x" * 300, "x" * 300 + ".toml", "/", "\0.toml"])
def test_presets_of_any_kind_get_one_sentence(preset: Any) -> None:
    with pytest.raises(InputError):
        load_preset(preset)


@pytest.mark.parametrize("text", ["x = " + "9" * 5000, "x = " + "[" * 5000, "\xff"])
def test_files_that_are_no_toml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="not a TOML file"):
        load_preset(path)


def test_an_override_holds_one_value() -> None:
    assert parse_override("semantic.vote=1\nx=2") == ("semantic.vote", "1\nx=2")
    assert parse_override("masks.points_per_side=" + "9" * 5000)[1] == "9" * 5000


@pytest.mark.parametrize(
    ("preset", "overrides", "told"),
    [
        (
            "mini-engine",
            {"open_vocabulary.decider": "filter", "open_vocabulary.decide_scale": 2.0},
            ['open_vocabulary.decide_scale does nothing where open_vocabulary.decider = "filter"'],
        ),
        (
            "mini-engine",
            {"open_vocabulary.captioner": "", "open_vocabulary.prompt": "names"},
            ['open_vocabulary.prompt does nothing where open_vocabulary.captioner = ""'],
        ),
        (
            "mini-ssa",
            {"masks.source": "existing", "masks.points_per_side": 7},
            ['masks.points_per_side does nothing where masks.source = "existing"'],
        ),
        ("mini-engine", {"open_vocabulary.decider": "filter", "open_vocabulary.decide_scale": 1.6}, []),
        ("mini-engine", {"open_vocabulary.decide_scale": 2.0}, []),
        ("engine-2026", {"open_vocabulary.decider": "filter", "masks.source": "existing"}, []),
    ],
)
def test_settings_that_another_makes_idle_are_told_once(
    preset: str, overrides: dict[str, Any], told: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    presets._tell_once.cache_clear()
    for _ in range(2):
        load_preset(preset, overrides)
    assert [record.getMessage() for record in caplog.records] == told
    load_preset(load_preset(preset, overrides), {"masks.levels": "written"})
    assert len(caplog.records) == len(told)


def test_a_file_of_ones_own_is_told_of_by_itself_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    presets._tell_once.cache_clear()
    text = (presets.FOLDER / "mini-engine.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace("[masks]\n", "[masks]\nconcept_thresh = 0.7\n"))
    load_preset(mine, {"masks.source": "existing"})
    assert not caplog.records
    load_preset(mine)
    assert [record.getMessage() for record in caplog.records] == [
        'masks.concept_thresh does nothing where masks.concepts = ""'
    ]
