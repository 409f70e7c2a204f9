"""Attention whose heads are a few numbers wide, as small CLIPSegs have them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

NAME = "ssa_narrow_heads"
WIDTH = 16
"""Torch's fast kernels take heads of a multiple of this."""
LARGEST = 100.0
"""Powers of two from minus this to this, and their sums, are well within float32."""
WEIGHTS_AT_A_TIME = 1 << 18
"""So many attention weights stay in the CPU's caches."""


def register() -> str:
    """Make `attend` known to transformers; the name to set as `_attn_implementation`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Softmax attention of (B, heads, tokens, width) tensors, as (B, tokens, heads, width)."""
    width = query.shape[-1]
    plain = query.device.type == "cpu" and query.dtype == torch.float32 and attention_mask is None
    if width < WIDTH and plain and _largest(query, key, scaling) < LARGEST:
        return _by_powers(query, key, value, scaling), None
    query, key, value = (functional.pad(values, (0, -width % WIDTH)) for values in (query, key, value))
    mixed = functional.scaled_dot_product_attention(query, key, value, attention_mask, scale=scaling)
    return mixed[..., :width].transpose(1, 2).contiguous(), None


def _largest(query: torch.Tensor, key: torch.Tensor, scaling: float) -> float:
    """What no exponent of two exceeds, up or down."""
    lengths = query.square().sum(-1).amax() * key.square().sum(-1).amax()
    return math.sqrt(lengths.item()) * abs(scaling) * math.log2(math.e)


def _by_powers(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
    """By powers of two, which a CPU takes in half the time of e's, where none can overflow or vanish.

    A row of ones beside the values sums the weights; everything is turned, so that products have long rows.
    """
    batch, heads, tokens, width = value.shape
    queries = (query * (scaling * math.log2(math.e))).mT.flatten(0, 1)
    keys = key.flatten(0, 1)
    values = torch.cat([value.mT, value.new_ones((batch, heads, 1, tokens))], 2).flatten(0, 1)
    mixed = value.new_empty((batch * heads, width + 1, query.shape[2]))
    step = max(1, WEIGHTS_AT_A_TIME // (tokens * query.shape[2]))
    for start in range(0, batch * heads, step):
        part = slice(start, start + step)
        torch.bmm(values[part], torch.bmm(keys[part], queries[part]).exp2_(), out=mixed[part])
    shares = mixed[:, :width] / mixed[:, width:]
    return shares.view(batch, heads * width, -1).mT.reshape(batch, -1, heads, width)
