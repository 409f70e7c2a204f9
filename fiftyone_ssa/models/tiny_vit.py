"""The image encoder of MobileSAM and of SAM-HQ's light model: timm's TinyViT at 1024 pixels, and SAM's neck."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

SIDE, STRIDE = 1024, 16
"""Pixels that it sees a side, and pixels of a cell; neither can be told from its weights."""
DEPTHS = (2, 2, 6, 2)
"""Blocks of its stages, in all that have been published."""
MARK = "image_encoder.patch_embed.seq.0.c.weight"
"""A tensor that tells a checkpoint with this encoder."""
_RENAMED = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"^image_encoder\.patch_embed\.seq\.0\.", "vision_encoder.body.patch_embed.conv1."),
        (r"^image_encoder\.patch_embed\.seq\.2\.", "vision_encoder.body.patch_embed.conv2."),
        (r"^image_encoder\.layers\.(\d+)\.blocks\.", r"vision_encoder.body.stages.\1.blocks."),
        # a layer ends with its downsampling, timm's stage begins with it
        (r"^image_encoder\.layers\.0\.downsample\.", "vision_encoder.body.stages.1.downsample."),
        (r"^image_encoder\.layers\.1\.downsample\.", "vision_encoder.body.stages.2.downsample."),
        (r"^image_encoder\.layers\.2\.downsample\.", "vision_encoder.body.stages.3.downsample."),
        (r"^(vision_encoder\.body\..*)\.c\.", r"\1.conv."),
    )
]
_UNUSED = re.compile(r"^image_encoder\.(norm_head|head)\.|\.attention_bias_idxs$")
"""The classifier that TinyViT was trained with, and tables that timm makes itself."""


class TinyVitEncoder(nn.Module):
    """(1, 3, 1024, 1024) pixels to what transformers' SAM takes for its vision encoder's answer."""

    def __init__(self, weights: Mapping[str, torch.Tensor], neck: nn.Module) -> None:
        """Of the sizes that a checkpoint's `weights` tell, their values left as they are made."""
        from timm.models.tiny_vit import TinyVit

        super().__init__()
        sizes = {"embed_dims": embed_dims(weights), "depths": DEPTHS, **_attention(weights)}
        self.body: Any = TinyVit(num_classes=0, drop_path_rate=0.0, **sizes)
        self.body.head = nn.Identity()
        # MobileSAM's last stage keeps the cells that SAM's decoder takes
        self.body.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.neck = neck

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(1, C, 64, 64) embeddings, and for SAM-HQ the (1, 64, 64, D) cells that the third stage begins with."""
        first, second, third, last = self.body.stages
        early = third.downsample(second(first(self.body.patch_embed(pixel_values)))).permute(0, 2, 3, 1)
        cells = last(third.blocks(early).permute(0, 3, 1, 2))
        return self.neck(cells.permute(0, 2, 3, 1)), [early]


def rename(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A checkpoint's weights under the names of a TinyVitEncoder; other parts keep theirs."""
    renamed = {}
    for name, tensor in weights.items():
        if not _UNUSED.search(name):
            for pattern, new in _RENAMED:
                name = pattern.sub(new, name)
            renamed[name] = tensor
    return renamed


def embed_dims(weights: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    """Channels of its four stages."""
    convolutions = ["patch_embed.seq.2", *(f"layers.{stage}.downsample.conv1" for stage in range(3))]
    return tuple(len(weights[f"image_encoder.{name}.c.weight"]) for name in convolutions)


def _attention(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Heads and windows of the stages: a block has as many biases as its window has cells, for each head."""
    biases = [weights[f"image_encoder.layers.{stage}.blocks.0.attn.attention_biases"].shape for stage in (1, 2, 3)]
    # the first stage has no attention
    return {
        "num_heads": (1, *(heads for heads, _ in biases)),
        "window_sizes": (1, *(math.isqrt(cells) for _, cells in biases)),
    }
