"""Neighbourhood attention equals natten's, written out place by place."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import transformers

from fiftyone_ssa.models.neighbourhood import attend, has_neighbourhoods, plain_neighbourhoods
from fiftyone_ssa.models.segmenters import load_segmenter
from tests.models.hub_folders import HubFolders


def start(place: int, length: int, side: int, dilation: int) -> int:
    """natten's get_window_start."""
    reach = side // 2 * dilation
    if place < reach:
        return place % dilation
    if place + reach >= length:
        whole = length // dilation * dilation
        rest = place % dilation
        return whole + rest - (2 * reach if rest < length - whole else side * dilation)
    return place - reach


@torch.no_grad()
def plainly(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    batch, height, width, channels = x.shape
    heads, side, dilation = module.num_attention_heads, module.kernel_size, module.dilation
    query, key, value = (
        layer(x).view(batch, height, width, heads, -1) for layer in (module.query, module.key, module.value)
    )
    answer = torch.zeros_like(value)
    for y in range(height):
        for x0 in range(width):
            near = [
                (v, h)
                for v in (start(y, height, side, dilation) + step * dilation for step in range(side))
                for h in (start(x0, width, side, dilation) + step * dilation for step in range(side))
            ]
            for head in range(heads):
                scores = [
                    (query[:, y, x0, head] * key[:, v, h, head]).sum(-1) / query.shape[-1] ** 0.5
                    + module.rpb[head, (v - y) // dilation + side - 1, (h - x0) // dilation + side - 1]
                    for v, h in near
                ]
                shares = torch.stack(scores, -1).softmax(-1)
                answer[:, y, x0, head] = sum(shares[:, [i]] * value[:, v, h, head] for i, (v, h) in enumerate(near))
    return answer.reshape(batch, height, width, channels)


@pytest.mark.parametrize(
    ("side", "dilation", "height", "width"), [(3, 1, 3, 5), (3, 2, 7, 6), (3, 3, 11, 10), (5, 2, 10, 13), (7, 1, 7, 8)]
)
def test_attention_is_nattens(side: int, dilation: int, height: int, width: int) -> None:
    from transformers.models.dinat.modeling_dinat import NeighborhoodAttention

    torch.manual_seed(0)
    module = NeighborhoodAttention(transformers.DinatConfig(), 8, 2, side, dilation)
    torch.nn.init.normal_(module.rpb)
    x = torch.randn(2, height, width, 8)
    with torch.no_grad():
        torch.testing.assert_close(attend(module, x)[0], plainly(module, x), atol=1e-5, rtol=1e-5)
        found, shares = attend(module, x, output_attentions=True)
    assert found.shape == x.shape
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 2, height, width))


def test_a_oneformer_on_a_dinat_runs_without_natten(tmp_path: Path, parity: Path) -> None:
    folder = HubFolders(tmp_path, parity / "models").oneformer_dinat()
    assert has_neighbourhoods(transformers.AutoConfig.from_pretrained(folder))
    segmenter = load_segmenter(str(folder), torch.device("cpu"), torch.float32)
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    assert segmenter([image])[0].size_hw == (50, 80)
    assert "sidewalk" in segmenter.classes


def test_a_natten_without_the_old_functions_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    package, functional = ModuleType("natten"), ModuleType("natten.functional")
    package.__spec__ = functional.__spec__ = transformers.__spec__
    monkeypatch.setitem(sys.modules, "natten", package)
    monkeypatch.setitem(sys.modules, "natten.functional", functional)
    with plain_neighbourhoods():
        pass
    assert functional.natten2dav is functional.natten2dqkrpb is None
