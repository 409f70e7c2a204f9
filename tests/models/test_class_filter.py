from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.models.class_filter import ClassFilter
from fiftyone_ssa.presets import load_preset

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


def test_a_folder_is_a_folder(parity: Path, class_filter: ClassFilter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parity / "models")
    for name in (str(parity / "models/clip"), "clip", "./clip", "local-dir:clip", "local-dir:./clip"):
        assert np.array_equal(ClassFilter(name, CPU, torch.float32).texts(["quay"]), class_filter.texts(["quay"]))
    (chosen,) = (load_preset("mini-engine", {"open_vocabulary.class_filter": "clip"}).open_vocabulary.class_filter,)
    assert chosen == str(parity.resolve() / "models/clip")


@torch.inference_mode()
@pytest.mark.parametrize("mode", ["longest", "shortest", "squash"])
@pytest.mark.parametrize("size", [32, [32, 48]])
def test_crops_are_shaped_as_open_clip_does(
    mode: str, size: int | list[int], parity: Path, crops: list[torch.Tensor], tmp_path: Path
) -> None:
    """`longest` pads; only what a side would vanish from differs, where open_clip itself fails."""
    shutil.copytree(parity / "models/clip", tmp_path / "clip")
    config_file = tmp_path / "clip/open_clip_config.json"
    config_file.chmod(0o644)
    config = json.loads(config_file.read_text())
    config["model_cfg"]["vision_cfg"]["image_size"] = size
    config["preprocess_cfg"]["resize_mode"] = mode
    config_file.write_text(json.dumps(config))
    file = tmp_path / "clip/open_clip_model.safetensors"
    file.chmod(0o644)
    save_file({name: weight.float() for name, weight in load_file(file).items()}, file)
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'clip'}")
    network.eval()
    found = ClassFilter(str(tmp_path / "clip"), CPU, torch.float32).images([crops])[0]
    for crop, embedding in zip(crops, found, strict=True):
        if mode == "longest" and max(crop.shape[:2]) > 32 * min(crop.shape[:2]):
            continue
        pixels = preprocess(Image.fromarray(crop.numpy()))[None]
        np.testing.assert_allclose(embedding, network.encode_image(pixels, normalize=True)[0].numpy(), atol=1e-6)
    tensors = ClassFilter(str(tmp_path / "clip"), CPU, torch.float32)._shape
    assert {tuple(tensors(crop.permute(2, 0, 1)).shape[1:]) for crop in crops} == {(32, size if size == 32 else 48)}


@pytest.fixture(scope="module")
def small_architecture(parity: Path) -> Iterator[str]:
    """The reference model's architecture under a name of its own, and its twin with OpenAI's activation."""
    config = json.loads((parity / "models/clip/open_clip_config.json").read_text())["model_cfg"]
    known = open_clip.factory._MODEL_CONFIGS
    known["ViT-tiny"] = {**config, "quick_gelu": False}
    known["ViT-tiny-quickgelu"] = {**config, "quick_gelu": True}
    yield "ViT-tiny"
    del known["ViT-tiny"], known["ViT-tiny-quickgelu"]


@pytest.mark.parametrize(
    ("file", "quick"),
    [
        ("models--timm--vit_tiny_clip.openai/snapshots/0/open_clip_pytorch_model.bin", True),
        ("OpenAI/weights.safetensors", True),
        ("archive/ViT-T.pt", True),
        ("with_config/open_clip_model.safetensors", True),
        ("laion/open_clip_pytorch_model.bin", False),
    ],
)
def test_a_weights_file_of_openais_gets_its_activation(
    file: str,
    quick: bool,
    parity: Path,
    small_architecture: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    weights, path = load_file(parity / "models/clip/open_clip_model.safetensors"), tmp_path / file
    path.parent.mkdir(parents=True)
    if file.startswith("archive"):
        torch.jit.script(_Archive(weights)).save(path)
    elif path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    if file.startswith("with_config"):
        (path.parent / "open_clip_config.json").write_text('{"model_cfg": {"quick_gelu": true}}')
    found = ClassFilter(f"{small_architecture}:{path}", CPU, torch.float32)
    says_so = ClassFilter(f"{small_architecture}{'-quickgelu' if quick else ''}:{path}", CPU, torch.float32)
    assert np.array_equal(found.texts(NAMES), says_so.texts(NAMES))
    kinds = {type(module).__name__ for module in found._network.modules()}
    assert ("QuickGELU" in kinds) is quick
    assert ("name them ViT-tiny-quickgelu:" in caplog.text) is not quick


class _Archive(torch.nn.Module):
    """OpenAI's published form: a scripted module with the weights and three numbers."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        numbers = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(77)}
        for name, tensor in {**weights, **numbers, "vocab_size": torch.tensor(49408)}.items():
            module: torch.nn.Module = self
            *parts, last = name.split(".")
            for part in parts:
                if part not in dict(module.named_children()):
                    module.add_module(part, torch.nn.Module())
                module = getattr(module, part)
            module.register_buffer(last, tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_file_of_another_architecture_is_told(small_architecture: str, tmp_path: Path) -> None:
    torch.save({"visual.proj": torch.zeros(3)}, tmp_path / "openai.bin")
    with pytest.raises(
        InputError, match=r"check the file, it may be damaged or of another architecture \(RuntimeError"
    ):
        ClassFilter(f"{small_architecture}:{tmp_path / 'openai.bin'}", CPU, torch.float32)


def test_a_file_that_is_no_checkpoint_is_told_without_advice_to_run_it(small_architecture: str, tmp_path: Path) -> None:
    (tmp_path / "openai.bin").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"it may be damaged or of another architecture") as told:
        ClassFilter(f"{small_architecture}:{tmp_path / 'openai.bin'}", CPU, torch.float32)
    assert "weights_only" not in str(told.value)
