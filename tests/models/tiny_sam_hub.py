"""Tiny random folders of the SAM family as the Hugging Face hub would give them: 128 pixels a side, 4 to a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from fiftyone_ssa.models.sam import print_without_hub
from tests.models.tiny_sam import SIDE, randomize

_PROMPTS = {"hidden_size": 32, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 8}
_DECODER = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 8, "iou_head_hidden_dim": 16}
_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "output_channels": 32,
    "window_size": 3,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
    "mlp_dim": 64,
}
_LEVELS = {"backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]], "fpn_hidden_size": 32}
_HIERA = {
    "backbone_config": {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 16,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 2, 2, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [4],
        "window_positional_embedding_background_size": [4, 4],
    },
    "backbone_channel_list": [128, 64, 32, 16],
    **_LEVELS,
}
_RESNET = {
    "model_type": "edgetam_vision_model",
    "backbone_config": {
        "model_type": "timm_wrapper",
        "architecture": "resnet18d",
        "num_classes": 2,
        "do_pooling": False,
        "model_args": {
            "features_only": True,
            "out_indices": [0, 1, 2, 3],
            "stem_width": 8,
            "channels": [16, 32, 32, 8],
            "layers": [1, 1, 1, 0],
        },
    },
    "backbone_channel_list": [32, 32, 16, 16],
    "backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]],
    "fpn_hidden_size": 32,
}
_VIT3 = {
    "backbone_config": {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "pretrain_image_size": SIDE,
        "patch_size": 16,
        "window_size": 4,
        "global_attn_indexes": [1],
    },
    **_LEVELS,
}
_MEMORY = {
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 32,
    "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 16,
    "memory_fuser_embed_dim": 32,
}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sam": ("SamModel", "SamImageProcessor", {"vision_config": _VIT}),
    "sam_hq": ("SamHQModel", "SamImageProcessor", {"vision_config": _VIT}),
    "sam2": ("Sam2Model", "Sam2ImageProcessor", {"vision_config": _HIERA}),
    "sam2_video": ("Sam2VideoModel", "Sam2ImageProcessor", {"vision_config": _HIERA, **_MEMORY}),
    "edgetam": ("EdgeTamModel", "Sam2ImageProcessor", {"vision_config": _RESNET}),
    "edgetam_video": ("EdgeTamVideoModel", "Sam2ImageProcessor", {"vision_config": _RESNET, **_MEMORY}),
    "sam3_tracker": ("Sam3TrackerModel", "Sam3ImageProcessor", {"vision_config": _VIT3}),
}


def save(family: str, folder: Path) -> Path:
    """A random model of the family with its image processor."""
    model_name, processor_name, settings = FAMILIES[family]
    print_without_hub()
    kind = getattr(transformers, model_name)
    prompts = {**_PROMPTS, **({"patch_size": 8} if family.startswith("edgetam") else {})}
    decoder = {**_DECODER, **({"vit_dim": 32} if family == "sam_hq" else {})}
    parts = kind.config_class.sub_configs  # given as objects: transformers before 5.20 mixes up SAM 2 video's dicts
    config = kind.config_class(
        prompt_encoder_config=parts["prompt_encoder_config"](**prompts),
        mask_decoder_config=parts["mask_decoder_config"](**decoder),
        **settings,
    )
    model = kind(config)
    randomize(model, seed=0)
    model.save_pretrained(folder)
    processor = getattr(transformers, processor_name)
    if processor_name == "SamImageProcessor":
        size = {"size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}}
    else:
        size = {"size": {"height": SIDE, "width": SIDE}}
    processor(**size).save_pretrained(folder)
    return folder


def save_sam3(folder: Path, vocabulary: Path | None = None) -> Path:
    """facebook/sam3's form: one repository of the detector and the tracker for video, whose tracker is ours.

    With the CLIP `vocabulary` of another folder its detector can be asked by name.
    """
    from safetensors.torch import load_file, save_file

    vision = {"model_type": "sam3_vision_model", **_VIT3}
    small = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    if vocabulary is not None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(vocabulary)
        tokenizer.save_pretrained(folder)
        text |= {"vocab_size": len(tokenizer), "max_position_embeddings": 32}
    detector = transformers.Sam3Config(
        vision_config=vision,
        text_config={**text, "projection_dim": 16},
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config={**small, "num_queries": 5},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    prompts = {"prompt_encoder_config": _PROMPTS, "mask_decoder_config": _DECODER}
    tracker = transformers.Sam3TrackerVideoConfig(image_size=SIDE, vision_config=vision, **prompts, **_MEMORY)
    model = transformers.Sam3VideoModel(transformers.Sam3VideoConfig(detector_config=detector, tracker_config=tracker))
    randomize(model, seed=0)
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")  # transformers writes one part's name twice
    weights = {name.replace("tracker_model.tracker_model.", "tracker_model."): found for name, found in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    transformers.Sam3ImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder
