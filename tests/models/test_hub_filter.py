"""Class filters of transformers: each family as its own model and processor have it, in folders of the hub's form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.class_filter import load_class_filter
from fiftyone_ssa.models.hub_filter import LONGEST, HuggingFaceFilter
from fiftyone_ssa.naming.ranking import Ranking
from tests.models import tiny_towers

CPU = torch.device("cpu")
NAMES = ["a Red tree", "sky", "quay " * 40, "sky"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, parity: Path) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("towers")
    return {family: tiny_towers.save(family, root / family, parity / "models") for family in tiny_towers.FAMILIES}


@pytest.fixture(scope="module")
def crops(parity: Path) -> list[torch.Tensor]:
    image = torch.from_numpy(np.array(Image.open(parity / "inputs" / "rocket.png").convert("RGB")))
    random = np.random.default_rng(0)
    sizes = [(1, 1), (1, 250), (250, 1), (3, 90), (200, 3), *random.integers(2, 250, (40, 2)).tolist()]
    return [image[5 : 5 + height, 9 : 9 + width] for height, width in sizes]


@torch.inference_mode()
@pytest.mark.parametrize("family", tiny_towers.FAMILIES)
def test_embeddings_are_the_models_own(family: str, folders: dict[str, Path], crops: list[torch.Tensor]) -> None:
    folder = str(folders[family])
    found = load_class_filter(folder, CPU, torch.float32)
    assert isinstance(found, HuggingFaceFilter)
    network = hf.AutoModel.from_pretrained(folder).eval()
    images = hf.AutoImageProcessor.from_pretrained(folder, backend="torchvision")
    (looks,) = found.images([crops])
    for crop, look in zip(crops, looks, strict=True):
        inputs = images(Image.fromarray(crop.numpy()), return_tensors="pt")
        expected = network.get_image_features(**inputs).pooler_output[0]
        np.testing.assert_allclose(look, expected / expected.norm(), atol=1e-5)
    np.testing.assert_allclose(found.images([crops[7:9]])[0], looks[7:9], atol=1e-6)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    longest = LONGEST.get(family, network.config.text_config.max_position_embeddings)
    siglip = family.startswith("siglip")
    for name, text in zip(NAMES, found.texts(NAMES), strict=True):
        words = name.lower() if siglip else name
        options = {"truncation": True, "max_length": longest, "padding": "max_length", "return_tensors": "pt"}
        tokens = tokenizer([words], padding_side="right", **options)
        chosen = {"input_ids": tokens["input_ids"]} if siglip else tokens
        expected = network.get_text_features(**chosen).pooler_output[0]
        np.testing.assert_allclose(text, expected / expected.norm(), atol=1e-5)
    scale = 1 / network.temperature if family == "tipsv2" else network.logit_scale.exp()
    assert found.logit_scale == pytest.approx(float(scale))
    assert found.logit_bias == (pytest.approx(-2.0) if siglip else None)


@torch.inference_mode()
def test_scores_of_siglip_are_its_own_forward_passs(folders: dict[str, Path], crops: list[torch.Tensor]) -> None:
    folder = str(folders["siglip2"])
    found, names = load_class_filter(folder, CPU, torch.float32), ["tree", "sky", "car"]
    (proposals,) = Ranking(found, (), top_k=3)(list(found.images([crops[-1:]])[0]), [names])
    inputs = hf.AutoImageProcessor.from_pretrained(folder, backend="torchvision")(
        Image.fromarray(crops[-1].numpy()), return_tensors="pt"
    )
    tokens = hf.AutoTokenizer.from_pretrained(folder)(
        names, padding="max_length", padding_side="right", max_length=16, return_tensors="pt"
    )
    network = hf.AutoModel.from_pretrained(folder).eval()
    logits = network(input_ids=tokens["input_ids"], **inputs).logits_per_image[0]
    expected = dict(zip(names, logits.sigmoid().tolist(), strict=True))
    assert proposals.scores == pytest.approx([expected[name] for name in proposals.names], abs=1e-5)
    assert sum(proposals.scores) != pytest.approx(1.0)


def test_proportions_are_kept_where_the_model_keeps_them(folders: dict[str, Path]) -> None:
    """A wide crop and the same squeezed to a square: alike for the one, two things for the other."""
    wide = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (16, 64, 3), dtype=np.uint8))
    square = wide.repeat_interleave(2, 0)[:, ::2].contiguous()
    naflex = load_class_filter(str(folders["siglip2_naflex"]), CPU, torch.float32)
    shapes: list[Any] = []
    forward = naflex._network.get_image_features  # type: ignore[attr-defined]
    naflex._network.get_image_features = lambda **tensors: (  # type: ignore[attr-defined]
        shapes.append(tensors["spatial_shapes"].tolist()),
        forward(**tensors),
    )[1]
    naflex.images([[wide, square]])
    assert shapes == [[[2, 8], [4, 4]]]


@pytest.mark.parametrize("family", ["siglip2", "clip"])
def test_a_template_goes_around_each_name(family: str, folders: dict[str, Path], parity: Path) -> None:
    for model in (str(folders[family]), f"local-dir:{parity / 'models/clip'}"):
        plain = load_class_filter(model, CPU, torch.float32)
        around = load_class_filter(model, CPU, torch.float32, template="a {} {}")
        assert np.array_equal(around.texts(["tree", "sky"]), plain.texts(["a tree tree", "a sky sky"]))


def test_half_precision_runs(folders: dict[str, Path], crops: list[torch.Tensor]) -> None:
    for family in ("siglip2_naflex", "clip"):
        half, full = (load_class_filter(str(folders[family]), CPU, kind) for kind in (torch.bfloat16, torch.float32))
        cosines = (half.images([crops[5:]])[0] * full.images([crops[5:]])[0]).sum(1)
        assert cosines.min() > 0.98
        assert (half.texts(NAMES) * full.texts(NAMES)).sum(1).min() > 0.98


def test_what_is_no_class_filter_is_refused_before_weights_are_read(
    folders: dict[str, Path], parity: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((parity / "models/clipseg/config.json").read_text())
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"is a CLIPSegForImageSegmentation; give a CLIP, MetaCLIP 2, SigLIP"):
        load_class_filter(str(other), CPU, torch.float32)
    config = json.loads((folders["siglip"] / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "architectures": ["SiglipForImageClassification"]}))
    with pytest.raises(InputError, match="is a SiglipForImageClassification"):
        load_class_filter(str(other), CPU, torch.float32)


def test_a_hub_id_that_is_not_here_is_told() -> None:
    with pytest.raises(InputError, match="hf download google/siglip2-base-patch16-224"):
        load_class_filter("google/siglip2-base-patch16-224", CPU, torch.float32)


@pytest.mark.parametrize("family", ["clip", "siglip2"])
def test_a_processor_of_another_size_is_told_at_load(family: str, folders: dict[str, Path], tmp_path: Path) -> None:
    damaged = shutil.copytree(folders[family], tmp_path / family)
    file = damaged / "preprocessor_config.json"
    size = {"height": 48, "width": 48}
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": size, "crop_size": size}))
    with pytest.raises(InputError, match=r"cannot load the class filter .*: check the folder"):
        load_class_filter(str(damaged), CPU, torch.float32)
