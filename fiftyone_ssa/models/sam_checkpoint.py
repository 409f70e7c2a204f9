"""segment_anything's checkpoints (`.pth`) as transformers' SamModel; the sizes are told from the tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fiftyone_ssa.errors import InputError

PUBLISHED_DEPTHS = {768: 12, 1024: 24, 1280: 32}
"""By width: the blocks of vit_b, vit_l and vit_h, so that a checkpoint which lacks the last ones is told."""
DECODER_LAYERS = 2
_RENAMED = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"^image_encoder\.", "vision_encoder."),
        (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
        (r"patch_embed\.proj\.", "patch_embed.projection."),
        (r"neck\.0\.", "neck.conv1."),
        (r"neck\.1\.", "neck.layer_norm1."),
        (r"neck\.2\.", "neck.conv2."),
        (r"neck\.3\.", "neck.layer_norm2."),
        (r"(layers\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
        (r"norm_final_attn\.", "layer_norm_final_attn."),
        (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
        (r"point_embeddings\.", "point_embed."),
        (r"mask_downscaling\.0\.", "mask_embed.conv1."),
        (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
        (r"mask_downscaling\.3\.", "mask_embed.conv2."),
        (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
        (r"mask_downscaling\.6\.", "mask_embed.conv3."),
        (r"output_upscaling\.0\.", "upscale_conv1."),
        (r"output_upscaling\.1\.", "upscale_layer_norm."),
        (r"output_upscaling\.3\.", "upscale_conv2."),
        (r"(mlps\.\d+|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
        (r"(mlps\.\d+|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
        (r"(mlps\.\d+|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
    )
]


def read_checkpoint(path: Path) -> Any:
    """The SamModel of a segment_anything checkpoint: vit_b, vit_l, vit_h, or any other sizes of that architecture.

    Only tensors are read (`weights_only`). Raises InputError if the file is missing or not such a checkpoint.
    """
    weights = _read(path)
    from transformers import SamModel

    try:
        config = _config(weights)
        _check_depth(config)
        with torch.device("meta"):
            model = SamModel(config)
        renamed = {_rename(name): tensor for name, tensor in weights.items()}
        renamed["shared_image_embedding.positional_embedding"] = renamed[
            "prompt_encoder.shared_embedding.positional_embedding"
        ]
        model.load_state_dict(renamed, assign=True)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is not a segment_anything checkpoint of ViT SAM ({type(error).__name__}: {reason}); "
            "give one of sam_vit_b/l/h, or the Hugging Face id or folder of another SAM"
        ) from error
    return model


def _check_depth(config: Any) -> None:
    """Raise ValueError where the last layers are missing, which the tensors that are there do not tell."""
    blocks = config.vision_config.num_hidden_layers
    expected = PUBLISHED_DEPTHS.get(config.vision_config.hidden_size, blocks)
    layers = config.mask_decoder_config.num_hidden_layers
    if (blocks, layers) != (expected, DECODER_LAYERS):
        raise ValueError(f"{blocks} blocks and {layers} decoder layers instead of {expected} and {DECODER_LAYERS}")


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(
            f"cannot load SAM: {path} does not exist; "
            "give a segment_anything checkpoint (.pth), a Hugging Face id or a model folder"
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no such file raises anything
        raise InputError(f"cannot load SAM: {path} is damaged or no PyTorch checkpoint; download it again") from error
    if not isinstance(weights, dict) or "image_encoder.pos_embed" not in weights:
        raise InputError(
            f"cannot load SAM: {path} is a PyTorch file but not a segment_anything checkpoint of ViT SAM; "
            "give one of sam_vit_b/l/h, or the Hugging Face id or folder of another SAM"
        )
    return weights


def _rename(name: str) -> str:
    for pattern, new in _RENAMED:
        name = pattern.sub(new, name)
    return name


def _config(weights: Mapping[str, torch.Tensor]) -> Any:
    """The SamConfig that fits the tensors' shapes."""
    from transformers import SamConfig

    def size(name: str, axis: int) -> int:
        return int(weights[name].shape[axis])

    def count(pattern: str) -> int:
        return len({match[1] for name in weights if (match := re.match(pattern, name))})

    grid, hidden = size("image_encoder.pos_embed", 1), size("image_encoder.pos_embed", 3)
    patch = size("image_encoder.patch_embed.proj.weight", 3)
    depth = count(r"image_encoder\.blocks\.(\d+)\.")
    # a block's relative positions tell its window: 2 * window - 1 of them, and a global block's window is the grid
    windows = [(size(f"image_encoder.blocks.{block}.attn.rel_pos_h", 0) + 1) // 2 for block in range(depth)]
    width = size("prompt_encoder.no_mask_embed.weight", 1)
    layer = "mask_decoder.transformer.layers.0"
    return SamConfig(
        vision_config={
            "hidden_size": hidden,
            "image_size": grid * patch,
            "patch_size": patch,
            "num_hidden_layers": depth,
            "num_attention_heads": hidden // size("image_encoder.blocks.0.attn.rel_pos_h", 1),
            "mlp_dim": size("image_encoder.blocks.0.mlp.lin1.weight", 0),
            "output_channels": size("image_encoder.neck.0.weight", 0),
            "window_size": min(windows),
            "global_attn_indexes": [block for block, window in enumerate(windows) if window == grid],
            "num_pos_feats": size("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", 1),
        },
        prompt_encoder_config={
            "hidden_size": width,
            "image_size": grid * patch,
            "patch_size": patch,
            "mask_input_channels": size("prompt_encoder.mask_downscaling.3.weight", 0),
        },
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": size(f"{layer}.mlp.lin1.weight", 0),
            "num_hidden_layers": count(r"mask_decoder\.transformer\.layers\.(\d+)\."),
            "attention_downsample_rate": width // size(f"{layer}.cross_attn_token_to_image.q_proj.weight", 0),
            "num_multimask_outputs": size("mask_decoder.mask_tokens.weight", 0) - 1,
            "iou_head_hidden_dim": size("mask_decoder.iou_prediction_head.layers.0.weight", 0),
            "layer_norm_eps": 1e-5,  # segment_anything's decoder; transformers' own default differs
        },
    )
