from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.models.class_filter import ClassFilter

CPU = torch.device("cpu")
NAMES = ["a red tree", "sky", "", "ünï cödé " * 60, "word " * 300, "sky"]


@pytest.fixture(scope="module")
def folder(parity: Path) -> str:
    return f"local-dir:{parity / 'models' / 'clip'}"


@pytest.fixture(scope="module")
def class_filter(folder: str) -> ClassFilter:
    return ClassFilter(folder, CPU, torch.float32)


@pytest.fixture(scope="module")
def crops(parity: Path) -> list[torch.Tensor]:
    image = torch.from_numpy(np.array(Image.open(parity / "inputs" / "rocket.png").convert("RGB")))
    random = np.random.default_rng(0)
    sizes = [(1, 1), (1, 250), (250, 1), (3, 90), (200, 3), *random.integers(2, 250, (45, 2)).tolist()]
    return [image[5 : 5 + height, 9 : 9 + width] for height, width in sizes]


@torch.inference_mode()
def test_embeddings_are_the_models_own(class_filter: ClassFilter, folder: str, crops: list[torch.Tensor]) -> None:
    network, _, preprocess = open_clip.create_model_and_transforms(folder)
    network.eval()
    tokens = open_clip.get_tokenizer(folder)(NAMES)
    texts = network.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(class_filter.texts(NAMES), texts, atol=1e-6)
    for crop, embedding in zip(crops, class_filter.images([crops])[0], strict=True):
        pixels = preprocess(Image.fromarray(crop.numpy()))[None]
        np.testing.assert_allclose(embedding, network.encode_image(pixels, normalize=True)[0].numpy(), atol=1e-6)
    assert class_filter.logit_scale == pytest.approx(float(network.logit_scale.exp()))


def test_a_name_is_embedded_once_a_run(class_filter: ClassFilter) -> None:
    first = class_filter.texts(["quay", "jetty"])
    forward, calls = class_filter._network.encode_text, []
    class_filter._network.encode_text = lambda tokens: (calls.append(len(tokens)), forward(tokens))[1]
    try:
        again = class_filter.texts(["jetty", "quay", "jetty"])
    finally:
        del class_filter._network.encode_text
    assert calls == []
    assert np.array_equal(again, first[[1, 0, 1]])


def test_nothing_in_nothing_out(class_filter: ClassFilter) -> None:
    assert class_filter.images([]) == []
    assert len(class_filter.images([[]])[0]) == len(class_filter.texts([])) == 0


def test_an_endless_crop_is_cut_to_its_middle(class_filter: ClassFilter) -> None:
    crop = torch.zeros((1, 20_000, 3), dtype=torch.uint8)
    crop[:, 9_990:10_010] = 255
    middle = class_filter.images([[crop, crop[:, 9_000:11_000], crop[:, :1000]]])[0]
    np.testing.assert_allclose(middle[0], middle[1], atol=1e-6)
    assert np.abs(middle[0] - middle[2]).max() > 1e-3


def test_bfloat16_runs(folder: str, class_filter: ClassFilter, crops: list[torch.Tensor]) -> None:
    half = ClassFilter(folder, CPU, torch.bfloat16)
    np.testing.assert_allclose(half.images([crops]), class_filter.images([crops]), atol=0.05)
    np.testing.assert_allclose(half.texts(NAMES), class_filter.texts(NAMES), atol=0.05)


def test_openais_weights_get_their_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def create(name: str, **options: Any) -> None:
        asked.update(options, name=name)
        raise RuntimeError("no hub here")

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", create)
    for model, quick in (("ViT-L-14:openai", True), ("ViT-L-14:laion2b_s32b_b82k", False)):
        with pytest.raises(InputError, match="no hub here"):
            ClassFilter(model, CPU, torch.float32)
        assert (asked["name"], asked["force_quick_gelu"]) == ("ViT-L-14", quick)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ViT-L-14:openai", r"open_clip.create_model\('ViT-L-14', 'openai'\).* or give a folder"),
        ("ViT-L-14", "needs weights after a colon, got ''"),
        ("ViT-L-14:unknown", "needs weights after a colon, got 'unknown'"),
        ("ViT-Q-3:openai", "knows no model 'ViT-Q-3'"),
        ("local-dir:/nowhere", "cannot load the class filter: /nowhere does not exist"),
    ],
)
def test_a_model_that_is_not_there_is_told(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClassFilter(model, CPU, torch.float32)


def test_without_open_clip_the_command_is_told(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install open_clip_torch"):
        ClassFilter(folder, CPU, torch.float32)
