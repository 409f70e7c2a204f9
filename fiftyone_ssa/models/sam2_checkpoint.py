"""facebookresearch's checkpoints of SAM 2 and 2.1 (`.pt`) as transformers' Sam2Model.

Window sizes, heads and which blocks see the whole image leave no trace in the weights, so the four published sizes are
known by their widths and depths. What follows an object through a video is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch

MARK = "image_encoder.trunk.pos_embed_window"
"""A tensor that tells such a checkpoint."""
SIZES: dict[tuple[int, tuple[int, ...]], dict[str, Any]] = {
    (96, (1, 2, 7, 2)): {"global_attention_blocks": [5, 7, 9]},
    (96, (1, 2, 11, 2)): {"global_attention_blocks": [7, 10, 13]},
    (112, (2, 3, 16, 3)): {"global_attention_blocks": [12, 16, 20], "heads": 2},
    (144, (2, 6, 36, 4)): {"global_attention_blocks": [23, 33, 43], "heads": 2, "windows": [8, 4, 16, 8]},
}
"""tiny, small, base+ and large: by width and blocks a stage, what their configurations (`sam2/configs`) say."""
_VIDEO = re.compile(
    r"^(memory_attention|memory_encoder|mask_downsample|obj_ptr_proj|obj_ptr_tpos_proj)\."
    r"|^(maskmem_tpos_enc|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial)$"
)
_RENAMED = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
        (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
        (r"^sam_prompt_encoder\.", "prompt_encoder."),
        (r"^sam_mask_decoder\.", "mask_decoder."),
        (r"^no_mem_embed$", "no_memory_embedding"),
        (r"patch_embed\.proj\.", "patch_embed.projection."),
        (r"((?:blocks|layers)\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
        (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
        (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
        (r"\.out_proj\.", ".o_proj."),
        (r"pred_obj_score_head\.layers\.0\.", "pred_obj_score_head.proj_in."),
        (r"pred_obj_score_head\.layers\.1\.", "pred_obj_score_head.layers.0."),
        (r"pred_obj_score_head\.layers\.2\.", "pred_obj_score_head.proj_out."),
    )
]


def sam2_config(weights: Mapping[str, torch.Tensor]) -> Any:
    """The Sam2Config that fits the tensors; raises ValueError for sizes that were not published."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2VisionConfig

    trunk = "image_encoder.trunk"
    depth = len({match[1] for name in weights if (match := re.match(rf"{trunk}\.blocks\.(\d+)\.", name))})
    # a stage begins where a block projects what it hands past itself
    begins = [0, *(block for block in range(depth) if f"{trunk}.blocks.{block}.proj.weight" in weights), depth]
    blocks = tuple(after - before for before, after in pairwise(begins))
    widths = [len(weights[f"{trunk}.blocks.{begin}.attn.proj.weight"]) for begin in begins[:-1]]
    if (widths[0], blocks) not in SIZES:
        raise ValueError(f"a Hiera of width {widths[0]} with {blocks} blocks is none of tiny, small, base+ and large")
    known = SIZES[widths[0], blocks]
    side = known.get("side", 1024)
    backbone = Sam2HieraDetConfig(
        hidden_size=widths[0],
        image_size=[side, side],
        embed_dim_per_stage=widths,
        blocks_per_stage=list(blocks),
        num_attention_heads_per_stage=[known.get("heads", 1) << stage for stage in range(4)],
        window_size_per_stage=known.get("windows", [8, 4, 14, 7]),
        global_attention_blocks=known["global_attention_blocks"],
        window_positional_embedding_background_size=list(weights[f"{trunk}.pos_embed"].shape[2:]),
    )
    width = weights["sam_prompt_encoder.no_mask_embed.weight"].shape[1]
    layer = "sam_mask_decoder.transformer.layers.0"
    return Sam2Config(
        vision_config=Sam2VisionConfig(
            backbone_config=backbone,
            backbone_channel_list=widths[::-1],
            backbone_feature_sizes=[[side // stride] * 2 for stride in (4, 8, 16)],
            fpn_hidden_size=width,
        ),
        prompt_encoder_config={
            "hidden_size": width,
            "image_size": side,
            "mask_input_channels": len(weights["sam_prompt_encoder.mask_downscaling.3.weight"]),
        },
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": len(weights[f"{layer}.mlp.layers.0.weight"]),
            "attention_downsample_rate": width // len(weights[f"{layer}.cross_attn_token_to_image.q_proj.weight"]),
            "iou_head_hidden_dim": len(weights["sam_mask_decoder.iou_prediction_head.layers.0.weight"]),
        },
    )


def rename(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The image model's weights under transformers' names, but for those that SAM has too."""
    renamed = {}
    for name, tensor in weights.items():
        if not _VIDEO.search(name):
            for pattern, new in _RENAMED:
                name = pattern.sub(new, name)
            renamed[name] = tensor
    points = [renamed.pop(f"prompt_encoder.point_embeddings.{kind}.weight") for kind in range(4)]
    return {**renamed, "prompt_encoder.point_embed.weight": torch.cat(points)}
