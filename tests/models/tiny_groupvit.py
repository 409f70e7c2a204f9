"""A tiny random GroupViT in the hub's form; it knows CLIP's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf


def save(folder: Path, models: Path) -> Path:
    """`models` is where the reference models lie, whose CLIP vocabulary is used."""
    torch.manual_seed(0)
    tokenizer = hf.AutoTokenizer.from_pretrained(models / "clipseg")
    text: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": 32}
    vision: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "depths": [1, 1, 1], "num_hidden_layers": 3}
    vision |= {"num_group_tokens": [8, 4, 0], "num_output_groups": [8, 4, 0], "num_attention_heads": 2}
    vision |= {"image_size": 64, "patch_size": 8}
    config = hf.GroupViTConfig(
        text_config=text, vision_config=vision, projection_dim=16, projection_intermediate_dim=32
    )
    network = hf.GroupViTModel(config)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.4)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    images = hf.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    images.save_pretrained(folder)
    return folder
