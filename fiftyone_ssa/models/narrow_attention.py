"""Attention on the CPU whose heads are a few numbers wide: torch's own spends twice as long on them."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

WIDTH = 16
"""From this many numbers a head torch's own kernel is as fast, or faster."""
SCORES_AT_ONCE = 1 << 20
"""4 MB of float32, which stay in a processor's caches, in few calls."""
LANES = 8
"""Of float32 in 32 bytes."""
BLOCKS = 16
"""Of tokens, whose scores are compared with each other first where a maximum is looked for."""
STEEP = 60.0
"""Powers of two between -60 and 60 neither overflow nor vanish in float32: of others the maximum is taken off first."""


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    """softmax(scale * query @ key.T) @ value, as `scaled_dot_product_attention` gives it but for rounding.

    Of (rows, heads, n, width), (rows, heads, tokens, width) and (rows, heads, tokens, width); (rows, heads, n, width).
    Each row is computed in the same way whatever rows are beside it.
    """
    if query.device.type != "cpu" or query.dtype != torch.float32 or query.shape[-1] >= WIDTH:
        return functional.scaled_dot_product_attention(query, key, value, scale=scale)
    rows, heads, count, width = query.shape
    tokens = key.shape[2]
    # powers of two take torch a third to half of the time of those of e; rows that end evenly are multiplied faster
    padded = functional.pad((query * (scale * math.log2(math.e))).mT, (0, -count % LANES))
    query, key = padded.flatten(0, 1), key.mT.flatten(0, 1)
    # a row of ones adds up the weights
    value = torch.cat([value.mT, value.new_ones((rows, heads, 1, tokens))], 2).flatten(0, 1)
    found = query.new_empty((rows * heads, width + 1, query.shape[2]))
    # no score is above the product of both lengths
    steep = query.square().sum(1).amax(1) * key.square().sum(1).amax(1) > STEEP**2
    any_steep = bool(steep.any())
    step = max(SCORES_AT_ONCE // (tokens * query.shape[2]), 1)
    scores = query.new_empty((min(step, rows * heads), tokens, query.shape[2]))
    for start in range(0, rows * heads, step):
        some = slice(start, start + step)
        part = scores[: len(query[some])]
        torch.bmm(key[some].mT, query[some], out=part)
        if any_steep:
            # powers under -126 are no normal numbers, take twice the time and weigh nothing
            part.sub_(_highest(part) * steep[some, None, None]).clamp_(min=-2 * STEEP)
        torch.bmm(value[some], torch.exp2(part, out=part), out=found[some])
    mixed = found[:, :width, :count] / found[:, width:, :count]
    return mixed.mT.view(rows, heads, count, width)


def _highest(scores: torch.Tensor) -> torch.Tensor:
    """(rows, 1, n) the maxima of (rows, tokens, n), in two steps: torch takes twice as long for the one."""
    even = scores.shape[1] // BLOCKS * BLOCKS
    if not even:
        return scores.amax(1, keepdim=True)
    blocks = scores[:, :even].view(len(scores), BLOCKS, -1, scores.shape[2])
    found = blocks.amax(1).amax(1, keepdim=True)
    return torch.maximum(found, scores[:, even:].amax(1, keepdim=True)) if even < scores.shape[1] else found
