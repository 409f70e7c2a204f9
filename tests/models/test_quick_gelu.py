"""CLIP's activation folded into the layers around it answers the same."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import CLIPSegForImageSegmentation

from fiftyone_ssa.models import quick_gelu
from fiftyone_ssa.models.clip_checkpoint import load_clip

CUDA = torch.device("cuda")


def networks(parity: Path) -> dict[str, torch.nn.Module]:
    clipseg = CLIPSegForImageSegmentation.from_pretrained(parity / "models" / "clipseg")
    return {"clipseg": clipseg.clip.vision_model.eval(), "clip": load_clip(f"local-dir:{parity / 'models/clip'}")[0]}


@pytest.mark.parametrize("name", ["clipseg", "clip"])
@torch.inference_mode()
def test_the_folded_network_answers_the_same(name: str, parity: Path) -> None:
    network = networks(parity)[name].double().eval()
    block = next(
        module
        for module in network.modules()
        for _, act, _ in quick_gelu.BLOCKS
        if type(getattr(module, act, None)).__name__ in quick_gelu.KINDS
    )
    folded = deepcopy(block)
    first, act, last = next(names for names in quick_gelu.BLOCKS if hasattr(block, names[1]))
    values = torch.randn(5, block.get_submodule(first).in_features, dtype=torch.float64)  # type: ignore[arg-type]
    expected = block(values)
    quick_gelu._fold(folded, first, act, last)
    torch.testing.assert_close(folded(values), expected)
    assert not torch.allclose(torch.nn.functional.silu(values), values * torch.sigmoid(1.702 * values))


def test_only_half_precision_on_a_gpu_is_changed(parity: Path) -> None:
    network = networks(parity)["clip"]
    before = deepcopy(network.state_dict())
    quick_gelu.in_one_pass(network, torch.device("cpu"), torch.bfloat16)
    quick_gelu.in_one_pass(network, CUDA, torch.float32)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    quick_gelu.in_one_pass(network, CUDA, torch.float16)
    kinds = [type(module).__name__ for module in network.modules()]
    assert "SiLU" in kinds
    assert not set(kinds) & set(quick_gelu.KINDS)
