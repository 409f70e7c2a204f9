"""CLIP's activation in one pass over memory where a GPU works in half precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

SHARPNESS = 1.702
"""Of CLIP's x * sigmoid(1.702 x)."""
BLOCKS = (("c_fc", "gelu", "c_proj"), ("fc1", "activation_fn", "fc2"))
"""How open_clip and transformers name the two layers and what is between them."""
KINDS = ("QuickGELU", "QuickGELUActivation")


def in_one_pass(network: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """`network`, each of its QuickGELUs a SiLU in place: silu(1.702 x) / 1.702, the factors in the layers around it.

    For half precision on CUDA, where the three passes of x * sigmoid(1.702 x) take a fifth of a ViT-L's time. Any other
    network, device or number type is left as it is.
    """
    if device.type != "cuda" or dtype == torch.float32:
        return network
    for block in network.modules():
        children = dict(block.named_children())
        for first, between, last in BLOCKS:
            if type(children.get(between)).__name__ in KINDS and {first, last} <= children.keys():
                _fold(block, first, between, last)
    return network


@torch.no_grad()
def _fold(block: nn.Module, first: str, between: str, last: str) -> None:
    widen, narrow = block.get_submodule(first), block.get_submodule(last)
    assert isinstance(widen, nn.Linear)
    assert isinstance(narrow, nn.Linear)
    widen.weight.mul_(SHARPNESS)
    if widen.bias is not None:
        widen.bias.mul_(SHARPNESS)
    narrow.weight.div_(SHARPNESS)
    setattr(block, between, nn.SiLU(inplace=True))
