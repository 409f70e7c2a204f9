"""DiNAT's neighbourhood attention in plain torch: natten, which transformers asks for, no longer has what it calls."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch


def has_neighbourhoods(config: Any) -> bool:
    """Whether a model of this config is, or has for a backbone, a DiNAT."""
    backbone = getattr(config, "backbone_config", None)
    return "dinat" in (config.model_type, getattr(backbone, "model_type", None))


@contextmanager
def plain_neighbourhoods() -> Iterator[None]:
    """Let transformers build DiNATs whose attention is `attend`, whatever is installed of natten."""
    if importlib.util.find_spec("natten") is not None:
        natten = importlib.import_module("natten.functional")
        for name in ("natten2dav", "natten2dqkrpb"):  # imported from there by name, and gone since natten 0.20
            if not hasattr(natten, name):
                setattr(natten, name, None)
    from transformers.models.dinat import modeling_dinat

    asks, forward = modeling_dinat.requires_backends, modeling_dinat.NeighborhoodAttention.forward
    modeling_dinat.requires_backends = lambda *_: None
    try:
        yield
    finally:
        modeling_dinat.requires_backends = asks
    if forward is not attend:
        modeling_dinat.NeighborhoodAttention.forward = attend


def attend(
    module: Any, hidden_states: torch.Tensor, output_attentions: bool | None = False
) -> tuple[torch.Tensor, ...]:
    """`NeighborhoodAttention.forward`: each of (B, H, W, C) attends to its kernel x kernel nearest, `dilation` apart.

    Near a border the neighbourhood is moved inwards, so that it always holds kernel x kernel places.
    """
    batch, height, width, channels = hidden_states.shape
    heads, side = module.num_attention_heads, module.kernel_size
    query, key, value = (
        layer(hidden_states).view(batch, height, width, heads, -1).permute(0, 3, 1, 2, 4)
        for layer in (module.query, module.key, module.value)
    )
    query = query / math.sqrt(query.shape[-1])
    rows, rows_away = (part.to(query.device) for part in neighbours(height, side, module.dilation))
    columns, columns_away = (part.to(query.device) for part in neighbours(width, side, module.dilation))
    scores = query.new_empty((side * side, batch, heads, height, width))
    for place, (y, x) in enumerate((y, x) for y in range(side) for x in range(side)):
        near = key[:, :, rows[:, y]][:, :, :, columns[:, x]]
        bias = module.rpb[:, rows_away[:, y]][:, :, columns_away[:, x]]
        scores[place] = (query * near).sum(-1) + bias
    shares = scores.softmax(0)
    mixed = torch.zeros_like(value)
    for place, (y, x) in enumerate((y, x) for y in range(side) for x in range(side)):
        mixed.addcmul_(shares[place, ..., None], value[:, :, rows[:, y]][:, :, :, columns[:, x]])
    found = mixed.permute(0, 2, 3, 1, 4).reshape(batch, height, width, channels)
    return (found, shares.permute(1, 2, 3, 4, 0)) if output_attentions else (found,)


@lru_cache(maxsize=64)
def neighbours(length: int, side: int, dilation: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Along one axis, (length, side) the neighbours of each place, and the rows of the position biases for them."""
    places = torch.arange(length)
    first, steps = places % dilation, places // dilation
    last = (length - 1 - first) // dilation  # the step of the last place that is a whole number of dilations away
    start = (steps - side // 2).clamp(min=0).minimum(last - side + 1)
    chosen = start[:, None] + torch.arange(side)
    return first[:, None] + chosen * dilation, chosen - steps[:, None] + side - 1
