"""Checkpoints as their authors publish them (`.pth`, `.pt`), as transformers' models; sizes are told from the tensors.

segment_anything's own, SAM-HQ's, MobileSAM's, SAM-HQ's light model's, and those of SAM 2 and 2.1.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.models import sam2_checkpoint, tiny_vit
from fiftyone_ssa.models.hub import file_form

TAKES = (
    "a SAM, SAM-HQ, SAM 2 or 2.1, EdgeTAM or SAM 3 by Hugging Face id or folder, or the authors' checkpoint of a SAM, "
    "SAM-HQ, MobileSAM, SAM 2 or 2.1 (.pth, .pt)"
)
VIT_MARK = "image_encoder.pos_embed"
HQ_MARK = "mask_decoder.hf_token.weight"
OTHERS = {
    "image_encoder.trunk.body.": "EdgeTAM; give yonigozlan/EdgeTAM-hf or its folder",
    "detector.": "SAM 3; give facebook/sam3 or its folder",
    "image_encoder.backbone.": "EfficientViT-SAM or RepViT-SAM; give {TAKES}, or module:factory of your own",
}
"""By how their tensors' names begin: checkpoints that are known, but not read."""
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
        (r"\.hf_token\.", ".hq_token."),
        (r"\.hf_mlp\.", ".hq_mask_mlp."),
        (r"compress_vit_feat\.0\.", "compress_vit_conv1."),
        (r"compress_vit_feat\.1\.", "compress_vit_norm."),
        (r"compress_vit_feat\.3\.", "compress_vit_conv2."),
        (r"embedding_encoder\.0\.", "encoder_conv1."),
        (r"embedding_encoder\.1\.", "encoder_norm."),
        (r"embedding_encoder\.3\.", "encoder_conv2."),
        (r"embedding_maskfeature\.0\.", "mask_conv1."),
        (r"embedding_maskfeature\.1\.", "mask_norm."),
        (r"embedding_maskfeature\.3\.", "mask_conv2."),
        (r"output_upscaling\.0\.", "upscale_conv1."),
        (r"output_upscaling\.1\.", "upscale_layer_norm."),
        (r"output_upscaling\.3\.", "upscale_conv2."),
        (r"(mlps\.\d+|iou_prediction_head|hq_mask_mlp)\.layers\.0\.", r"\1.proj_in."),
        (r"(mlps\.\d+|iou_prediction_head|hq_mask_mlp)\.layers\.1\.", r"\1.layers.0."),
        (r"(mlps\.\d+|iou_prediction_head|hq_mask_mlp)\.layers\.2\.", r"\1.proj_out."),
    )
]


def read_checkpoint(path: Path) -> Any:
    """The SamModel, SamHQModel or Sam2Model of a published checkpoint.

    Only tensors are read (`weights_only`). Raises InputError if the file is missing or not such a checkpoint.
    """
    weights = _read(path)
    kind = _kind(weights, path)
    try:
        model = _sam2(weights) if kind == "SAM 2" else _sam(weights)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        reason = said_by(error)
        raise InputError(
            f"{path} is not a whole checkpoint of {kind} ({type(error).__name__}: {reason}); "
            f"get it again, or give {TAKES}"
        ) from error
    return model


def _kind(weights: Mapping[str, torch.Tensor], path: Path) -> str:
    """Which of the checkpoints that are read it is, by its tensors' names; raises InputError if none."""
    if sam2_checkpoint.MARK in weights:
        return "SAM 2"
    if tiny_vit.MARK in weights or VIT_MARK in weights:
        encoder = "TinyViT" if tiny_vit.MARK in weights else "ViT"
        return f"{'SAM-HQ' if HQ_MARK in weights else 'SAM'} with {encoder}"
    for begin, what in OTHERS.items():
        if any(name.startswith(begin) for name in weights):
            raise InputError(f"cannot load SAM: {path} is a checkpoint of {what.format(TAKES=TAKES)}")
    raise InputError(f"cannot load SAM: {path} is a PyTorch file but no checkpoint of SAM; give {TAKES}")


def _sam(weights: Mapping[str, torch.Tensor]) -> Any:
    import transformers

    is_tiny, is_hq = tiny_vit.MARK in weights, HQ_MARK in weights
    encoder, side = _tiny_vit_config(weights) if is_tiny else _vit_config(weights)
    config = transformers.SamHQConfig if is_hq else transformers.SamConfig
    parts = _prompt_and_decoder(weights, side, encoder["patch_size"], is_hq=is_hq)
    with torch.device("meta"):
        model = (transformers.SamHQModel if is_hq else transformers.SamModel)(config(vision_config=encoder, **parts))
    if is_tiny:
        model.vision_encoder = tiny_vit.TinyVitEncoder(weights, model.vision_encoder.neck)
        weights = tiny_vit.rename(weights)
    return _fill(model, weights)


def _sam2(weights: Mapping[str, torch.Tensor]) -> Any:
    from transformers import Sam2Model

    config = sam2_checkpoint.sam2_config(weights)
    with torch.device("meta"):
        model = Sam2Model(config)
    return _fill(model, sam2_checkpoint.rename(weights))


def _fill(model: Any, weights: Mapping[str, torch.Tensor]) -> Any:
    """Put all weights into a model, which must need exactly these."""
    renamed = {_rename(name): tensor for name, tensor in weights.items() if name not in ("pixel_mean", "pixel_std")}
    renamed["shared_image_embedding.positional_embedding"] = renamed[
        "prompt_encoder.shared_embedding.positional_embedding"
    ]
    model.load_state_dict(renamed, assign=True)
    return model.requires_grad_(False)


def _check_depths(blocks: int, width: int, layers: int) -> None:
    """Raise ValueError where the last layers are missing, which the tensors that are there do not tell."""
    expected = PUBLISHED_DEPTHS.get(width, blocks)
    if (blocks, layers) != (expected, DECODER_LAYERS):
        raise ValueError(f"{blocks} blocks and {layers} decoder layers instead of {expected} and {DECODER_LAYERS}")


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a checkpoint by name, as they are or under "model"."""
    if not path.is_file():
        raise InputError(f"cannot load SAM: {path} does not exist; give {TAKES}")
    if not path.name.endswith((".pth", ".pt", ".bin", ".ckpt")) and (form := file_form(path.name)):
        raise InputError(f"cannot load SAM: {path} is {form}")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no such file raises anything
        is_code = isinstance(error, pickle.UnpicklingError) and re.search("nsupported global|GLOBAL", str(error))
        raise InputError(
            f"cannot load SAM: {path} holds code besides weights, which is not run; give {TAKES}, "
            "or module:factory of your own that loads it"
            if is_code  # a whole model, as YOLO's and FastSAM's
            else f"cannot load SAM: {path} is damaged or no PyTorch checkpoint; get it again, or give {TAKES}"
        ) from error
    if isinstance(weights, dict) and isinstance(weights.get("model"), dict):
        weights = weights["model"]
    if not isinstance(weights, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        raise InputError(f"cannot load SAM: {path} is a PyTorch file but no checkpoint of SAM; give {TAKES}")
    return weights


def _rename(name: str) -> str:
    for pattern, new in _RENAMED:
        name = pattern.sub(new, name)
    return name


def _size(weights: Mapping[str, torch.Tensor], name: str, axis: int) -> int:
    return int(weights[name].shape[axis])


def _count(weights: Mapping[str, torch.Tensor], pattern: str) -> int:
    return len({match[1] for name in weights if (match := re.match(pattern, name))})


def _vit_config(weights: Mapping[str, torch.Tensor]) -> tuple[dict[str, Any], int]:
    """Settings of the vision encoder that fit the tensors' shapes, and the pixels that it sees a side."""
    size = partial(_size, weights)
    grid, hidden = size(VIT_MARK, 1), size(VIT_MARK, 3)
    patch = size("image_encoder.patch_embed.proj.weight", 3)
    depth = _count(weights, r"image_encoder\.blocks\.(\d+)\.")
    # a block's relative positions tell its window: 2 * window - 1 of them, and a global block's window is the grid
    windows = [(size(f"image_encoder.blocks.{block}.attn.rel_pos_h", 0) + 1) // 2 for block in range(depth)]
    _check_depths(depth, hidden, _count(weights, r"mask_decoder\.transformer\.layers\.(\d+)\."))
    return {
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
    }, grid * patch


def _tiny_vit_config(weights: Mapping[str, torch.Tensor]) -> tuple[dict[str, Any], int]:
    """Likewise; of transformers' encoder only the neck is used."""
    return {
        "hidden_size": tiny_vit.embed_dims(weights)[-1],
        "image_size": tiny_vit.SIDE,
        "patch_size": tiny_vit.STRIDE,
        "num_hidden_layers": 0,
        "output_channels": _size(weights, "image_encoder.neck.0.weight", 0),
        "num_pos_feats": _size(weights, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", 1),
    }, tiny_vit.SIDE


def _prompt_and_decoder(
    weights: Mapping[str, torch.Tensor], side: int, patch: int, *, is_hq: bool
) -> dict[str, dict[str, Any]]:
    """Settings of the prompt encoder and the mask decoder that fit the tensors' shapes."""
    size = partial(_size, weights)
    width = size("prompt_encoder.no_mask_embed.weight", 1)
    layer = "mask_decoder.transformer.layers.0"
    decoder = {
        "hidden_size": width,
        "mlp_dim": size(f"{layer}.mlp.lin1.weight", 0),
        "num_hidden_layers": _count(weights, r"mask_decoder\.transformer\.layers\.(\d+)\."),
        "attention_downsample_rate": width // size(f"{layer}.cross_attn_token_to_image.q_proj.weight", 0),
        "num_multimask_outputs": size("mask_decoder.mask_tokens.weight", 0) - 1,
        "iou_head_hidden_dim": size("mask_decoder.iou_prediction_head.layers.0.weight", 0),
        "layer_norm_eps": 1e-5,  # segment_anything's decoder; transformers' own default differs
    }
    if is_hq:
        decoder["vit_dim"] = size("mask_decoder.compress_vit_feat.0.weight", 0)
    return {
        "prompt_encoder_config": {
            "hidden_size": width,
            "image_size": side,
            "patch_size": patch,
            "mask_input_channels": size("prompt_encoder.mask_downscaling.3.weight", 0),
        },
        "mask_decoder_config": decoder,
    }
