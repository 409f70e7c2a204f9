"""The published models of `ssa-fast`, `engine-fast` and `engine-2026`, from their configurations with random weights.

Sizes are those of the checkpoints' config.json as public repositories quote them; tokenizers are made up and small.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from benchmarks._architectures import PARITY, _drawn

HIERA: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 96,
        "embed_dim_per_stage": [96, 192, 384, 768],
        "blocks_per_stage": [1, 2, 7, 2],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 14, 7],
        "global_attention_blocks": [5, 7, 9],
    },
    "large": {
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "blocks_per_stage": [2, 6, 36, 4],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "window_size_per_stage": [8, 4, 16, 8],
        "global_attention_blocks": [23, 33, 43],
    },
}
"""facebook/sam2.1-hiera-{tiny,large}."""
TOWERS: dict[str, dict[str, Any]] = {
    "base": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "large": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
}
SIGLIP2_PATCH = {"base": 32, "large": 16}
GEMMA_WORDS = 256_000


def sam2_config(size: str) -> Any:
    """facebook/sam2.1-hiera-{tiny,large}, the image model."""
    from transformers import Sam2Config

    backbone = {"model_type": "sam2_hiera_det_model", **HIERA[size]}
    widths = HIERA[size]["embed_dim_per_stage"][::-1]
    return Sam2Config(vision_config={"backbone_config": backbone, "backbone_channel_list": widths})


def segformer_b0_config() -> Any:
    """nvidia/segformer-b0-finetuned-ade-512-512."""
    from transformers import SegformerConfig

    labels = json.loads((PARITY / "models/segformer-ade20k/config.json").read_text())["id2label"]
    return SegformerConfig(num_labels=len(labels), id2label={int(key): name for key, name in labels.items()})


def siglip2_config(size: str) -> Any:
    """google/siglip2-base-patch32-256 or google/siglip2-large-patch16-256."""
    from transformers import SiglipConfig

    tower = TOWERS[size]
    text = {**tower, "vocab_size": GEMMA_WORDS, "max_position_embeddings": 64, "projection_size": tower["hidden_size"]}
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    vision = {**tower, "image_size": 256, "patch_size": SIGLIP2_PATCH[size]}
    return SiglipConfig(text_config={**text, **ends}, vision_config=vision)


def eomt_config(name: str) -> Any:
    """tue-mps/coco_panoptic_eomt_large_640 ("coco") or tue-mps/ade20k_semantic_eomt_large_512 ("ade20k")."""
    from transformers import EomtConfig

    side, queries, labels = {"coco": (640, 200, 133), "ade20k": (512, 100, 150)}[name]
    return EomtConfig(image_size=side, num_queries=queries, num_labels=labels)


def smolvlm_config() -> Any:
    """HuggingFaceTB/SmolVLM-500M-Instruct: SigLIP base on 512 pixels, 64 tokens a tile, SmolLM2 360M."""
    from transformers import Idefics3Config

    text = {"model_type": "llama", "hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32}
    text |= {"num_attention_heads": 15, "num_key_value_heads": 5, "head_dim": 64, "vocab_size": 49280}
    vision = {**TOWERS["base"], "image_size": 512, "patch_size": 16}
    return Idefics3Config(vision_config=vision, text_config=text, scale_factor=4, tie_word_embeddings=True)


def sam2(folder: Path, size: str) -> None:
    """A folder of it."""
    from transformers import Sam2ImageProcessor, Sam2Model

    _drawn(lambda: Sam2Model(sam2_config(size)), "cpu").save_pretrained(folder)
    Sam2ImageProcessor().save_pretrained(folder)


def segformer_b0(folder: Path) -> None:
    """A folder of it."""
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    _drawn(lambda: SegformerForSemanticSegmentation(segformer_b0_config()), "cpu").save_pretrained(folder)
    SegformerImageProcessor(size={"height": 512, "width": 512}).save_pretrained(folder)


def siglip2(folder: Path, size: str) -> None:
    """A folder of it, which knows single characters: a name takes as many tokens whatever it reads."""
    from transformers import GemmaTokenizer, SiglipImageProcessor, SiglipModel

    _drawn(lambda: SiglipModel(siglip2_config(size)), "cpu").save_pretrained(folder)
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *string.ascii_letters, *string.digits, *"-'., "]
    GemmaTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[]).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 256, "width": 256}).save_pretrained(folder)


def eomt(folder: Path, name: str) -> None:
    """A folder of it."""
    from transformers import EomtForUniversalSegmentation, EomtImageProcessor

    _drawn(lambda: EomtForUniversalSegmentation(eomt_config(name)), "cpu").save_pretrained(folder)
    size = (
        {"shortest_edge": 640, "longest_edge": 640} if name == "coco" else {"shortest_edge": 512, "longest_edge": None}
    )
    EomtImageProcessor(size=size, do_split_image=name == "ade20k", do_pad=name == "coco").save_pretrained(folder)
