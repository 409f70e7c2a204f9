"""Stamps: settings count by the content of what they name, and nothing else makes two settings differ."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fiftyone_ssa.naming.stamp import file_stamp, settings_stamp
from fiftyone_ssa.presets import load_preset


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(100))
    (folder / "README.md").write_text("words")
    return folder


def stamp(model, **settings):
    return settings_stamp(load_preset("mini-ssa", {"semantic.model": str(model), **settings}))


def test_weights_count_and_words_about_them_do_not(model):
    before = stamp(model)
    (model / "README.md").write_text("other words")
    assert stamp(model).fingerprint == before.fingerprint
    (model / "model.safetensors").write_bytes(b"1" * 100)
    after = stamp(model)
    assert after.fingerprint != before.fingerprint
    assert after.differences(before.values) == ["semantic.model"]
    assert json.loads(json.dumps(after.values)) == after.values


def test_the_filter_as_decider_has_no_content(tmp_path, monkeypatch):
    before = settings_stamp(load_preset("mini-engine", {"open_vocabulary.decider": "filter"}))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "filter").mkdir()
    after = settings_stamp(load_preset("mini-engine", {"open_vocabulary.decider": "filter"}))
    assert (after, after.known) == (before, True)
    assert after.differences(settings_stamp(load_preset("mini-engine")).values) == ["open_vocabulary.decider"]


def test_a_moved_model_is_the_same_model(model, tmp_path):
    before = stamp(model)
    moved = shutil.copytree(model, tmp_path / "elsewhere")
    assert stamp(moved).fingerprint == before.fingerprint
    shutil.copy(moved / "config.json", moved / "generation_config.json")
    assert stamp(moved).fingerprint != before.fingerprint


@pytest.mark.parametrize("form", ["own.py:build", "own:build"])
def test_a_factory_counts_by_its_source(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def build(): pass")
    before = stamp(form)
    assert stamp(f"{tmp_path}/own.py:build").fingerprint == before.fingerprint
    assert stamp(form.replace("build", "other")).fingerprint != before.fingerprint
    (tmp_path / "own.py").write_text("def build(): return 1")
    assert stamp(form).fingerprint != before.fingerprint


def test_an_installed_factory_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "package/inner"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = stamp("package.inner:build")
    (package / "__init__.py").write_text("raise SystemExit('imported again')")
    assert stamp("package.inner:build").fingerprint != before.fingerprint


def test_a_vocabulary_and_a_checkpoint_count_by_content(tmp_path):
    words, checkpoint = tmp_path / "words.txt", tmp_path / "sam.pth"
    words.write_text("kite\n")
    checkpoint.write_bytes(b"1")

    def both():
        settings = {"open_vocabulary.vocabulary": str(words), "masks.source": "sam", "masks.model": str(checkpoint)}
        return settings_stamp(load_preset("mini-engine", settings))

    first = both()
    words.write_text("kite\nrocket\n")
    assert both().differences(first.values) == ["open_vocabulary.vocabulary"]
    checkpoint.write_bytes(b"2")
    assert both().differences(first.values) == ["masks.model", "open_vocabulary.vocabulary"]


def test_a_hub_model_counts_by_its_revision(tmp_path):
    cache = tmp_path / "models--a--b"
    code = (
        "import sys; from fiftyone_ssa.naming.stamp import settings_stamp;"
        "from fiftyone_ssa.presets import load_preset;"
        "s = settings_stamp(load_preset('ssa-ade20k', {'semantic.model': 'a/b', 'masks.source': 'existing'}));"
        "print(s.values['semantic.model'], s.known, 'torch' in sys.modules)"
    )

    def told():
        environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True).stdout

    assert told() == "a/b@unknown False False\n"
    for revision in ("abc1", "abc2"):
        (cache / "refs").mkdir(parents=True, exist_ok=True)
        (cache / "refs/main").write_text(revision)
        (cache / "snapshots" / revision).mkdir(parents=True)
        (cache / "snapshots" / revision / "config.json").write_text("{}")
        assert told() == f"a/b@{revision} True False\n"


def test_what_a_record_lacks_had_its_default(model):
    now = stamp(model)
    recorded = {key: value for key, value in now.values.items() if key != "masks.answered_iou_thresh"}
    assert now.differences(recorded) == ["masks.answered_iou_thresh"]
    assert stamp(model, **{"masks.answered_iou_thresh": 0.0}).differences(recorded) == []
    assert now.differences(None) == []


def test_fields_count_where_they_are_named(model):
    preset = load_preset("mini-ssa", {"semantic.model": str(model)})
    assert settings_stamp(preset, masks_field=None).fingerprint == settings_stamp(preset).fingerprint
    assert settings_stamp(preset, masks_field="a").fingerprint != settings_stamp(preset, masks_field="b").fingerprint


def test_a_file_has_a_size_and_a_date(tmp_path):
    path = tmp_path / "a"
    assert file_stamp(path) == ""
    path.write_bytes(b"1")
    os.utime(path, ns=(5, 7))
    assert file_stamp(path) == "1-7"
