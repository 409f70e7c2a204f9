"""A vocabulary is embedded once for a model's content, and any file that is not what it should be is made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fiftyone_ssa.models.class_filter import load_class_filter
from fiftyone_ssa.naming import known_names
from fiftyone_ssa.naming.known_names import recall_names

NAMES = [f"name {i}" for i in range(80)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/fiftyone-ssa/names"


def run(model: Path, names: list[str] = NAMES, *facts: str) -> tuple[np.ndarray, int]:
    """What a filter says of names after it was reminded, and how many it embedded."""
    asked = load_class_filter(str(model), torch.device("cpu"), torch.float32)
    embed, embedded = asked._embed_texts, []  # type: ignore[attr-defined]
    asked._embed_texts = lambda some: (embedded.extend(some), embed(some))[1]  # type: ignore[attr-defined]
    recall_names(asked, str(model), names, *facts)
    return asked.texts(names), len(set(embedded))


def test_an_earlier_run_is_recalled(parity: Path, cache: Path) -> None:
    model = parity / "models/clip"
    first, embedded = run(model)
    again, none = run(model)
    assert (embedded, none) == (80, 0)
    assert np.array_equal(first, again)
    assert run(model, NAMES, "another template")[1] == 80
    assert run(model, NAMES[::-1])[1] == 80
    assert len(list(cache.glob("*.npy"))) == 3


def test_another_content_of_the_model_is_another_model(parity: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(parity / "models/clip", tmp_path / "clip"))
    assert run(model)[1] == 80
    config = model / "open_clip_config.json"
    config.chmod(0o644)
    config.write_text(config.read_text() + "\n")
    assert run(model)[1] == 80


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_a_damaged_file_is_made_anew(content: bytes | None, parity: Path, cache: Path) -> None:
    expected, _ = run(parity / "models/clip")
    (file,) = cache.glob("*.npy")
    if content is None:
        np.save(file, np.full((80, 4), np.nan, np.float32))
    else:
        file.write_bytes(content)
    found, embedded = run(parity / "models/clip")
    assert embedded == 80
    assert np.array_equal(found, expected)
    assert run(parity / "models/clip")[1] == 0


def test_few_names_and_a_folder_that_cannot_be_written(
    parity: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(parity / "models/clip", NAMES[:10])[1] == 10
    assert not cache.exists()
    cache.parent.parent.write_text("a file where the folder should be")
    assert run(parity / "models/clip")[1] == 80


def test_old_files_go(parity: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_names, "KEPT", 2)
    for fact in "abc":
        run(parity / "models/clip", NAMES, fact)
    assert len(list(cache.glob("*.npy"))) == 2
    assert run(parity / "models/clip", NAMES, "c")[1] == 0
