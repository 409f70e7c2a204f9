"""SAM 2's encoder (Hiera), the same answers in less time: no product that nobody reads, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional

STRIP_NUMBERS = 1 << 22
"""Numbers of an operation's widest result that a CPU works on at a time: 16 MB. The first stages' of 100 MB are given
back to the system after each operation and faulted in again for the next: a tenth of the time."""


def lighten(backbone: Any) -> None:
    """Let the blocks of a Sam2HieraDetModel attend once, and on a CPU some windows and some rows at a time."""
    for block in backbone.blocks:
        block.attn.forward = partial(_attended, block.attn)
        block.mlp.forward = partial(_by_rows, block.mlp.forward, block.mlp.proj_in.out_features)


def _attended(attention: Any, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
    """(B, h, w, D) of B windows (B, H, W, C), h and w being smaller where queries are pooled.

    transformers (5.17 to 5.24) multiplies each token's heads with one another first, and drops the product.
    """
    numbers = hidden_states[0].numel() // hidden_states.shape[-1] * attention.qkv.out_features
    return _in_strips(partial(_attended_at_once, attention), hidden_states, numbers)


def _attended_at_once(attention: Any, windows: torch.Tensor) -> torch.Tensor:
    count, height, width, _ = windows.shape
    heads = attention.num_attention_heads
    query, key, value = attention.qkv(windows).view(count, height * width, 3, heads, -1).unbind(2)
    if attention.query_stride:
        grid = query.reshape(count, height, width, -1).permute(0, 3, 1, 2)
        grid = functional.max_pool2d(grid, attention.query_stride, attention.query_stride)
        height, width = grid.shape[2:]
        query = grid.permute(0, 2, 3, 1).reshape(count, height * width, heads, -1)
    query, key, value = (rows.transpose(1, 2) for rows in (query, key, value))
    found = functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    answer: torch.Tensor = attention.proj(found.transpose(1, 2).reshape(count, height, width, -1))
    return answer


def _by_rows(function: Callable[[torch.Tensor], torch.Tensor], wide: int, hidden_states: torch.Tensor) -> torch.Tensor:
    """A perceptron of (..., C), of so many hidden numbers a row."""
    return _in_strips(function, hidden_states.flatten(0, -2), wide).view(*hidden_states.shape[:-1], -1)


def _in_strips(function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, numbers: int) -> torch.Tensor:
    """`function` of rows (N, ...) that are independent and need so many numbers each; on a GPU of all at once."""
    at_a_time = max(1, STRIP_NUMBERS // numbers)
    if rows.device.type != "cpu" or len(rows) <= at_a_time:
        return function(rows)
    return torch.cat([function(some) for some in torch.split(rows, at_a_time)])
