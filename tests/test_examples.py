"""The examples, run as a user would."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fiftyone_ssa.cli import main
from fiftyone_ssa.errors import InputError

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def model(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("ai_edge_litert")
    path = shared / "data/segmenter/deeplabv3_voc21.tflite"
    monkeypatch.setenv("DEEPLAB_TFLITE", str(path))
    return path


@pytest.mark.usefixtures("model")
def test_every_mask_of_the_photographs_is_named(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["annotate", str(shared / "data/photos"), str(out), "--preset", str(EXAMPLES / "photos.toml")]
    assert main([*command, "--save-images", "--device", "cpu"]) == 0
    names: dict[str, int] = {}
    for path in out.glob("*_semantic.json"):
        for row in json.loads(path.read_text())["annotations"]:
            names[row["class_name"]] = names.get(row["class_name"], 0) + 1
    assert sum(names.values()) == 50
    assert names["person"] > 15
    assert names["horse"] > 5
    assert len(list(out.glob("*_overlay.jpg"))) == 2


@pytest.mark.usefixtures("model")
def test_the_segmenter_tells_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import tflite_segmenter

    segmenter = tflite_segmenter.build()
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    (values,) = segmenter.probabilities([image])
    assert values.shape == (21, 514, 685)
    np.testing.assert_allclose(values.sum(axis=0), 1, atol=1e-5)
    assert segmenter([image])[0].ids.shape == (90, 120)
    monkeypatch.delenv("DEEPLAB_TFLITE")
    with pytest.raises(InputError, match="DEEPLAB_TFLITE must name"):
        tflite_segmenter.build()
