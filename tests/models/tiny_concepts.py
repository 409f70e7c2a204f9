"""A tiny random SAM 3 that is asked by name, in the hub's form; it knows CLIP's words."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf

SIDE = 64
_PARTS = {"hidden_size": 16, "num_attention_heads": 2}


def save(folder: Path, models: Path, kind: str = "Sam3") -> Path:
    """`kind`: or "Sam3LiteText", which reads texts otherwise.

    `models` is where the reference models lie, whose CLIP vocabulary is used.
    """
    torch.manual_seed(0)
    backbone = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    backbone |= {"image_size": SIDE, "pretrain_image_size": SIDE, "patch_size": 16, "window_size": 2}
    vision = {"backbone_config": {**backbone, "model_type": "sam3_vit_model", "global_attn_indexes": [1]}}
    vision |= {"fpn_hidden_size": 16, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
    tokenizer = hf.AutoTokenizer.from_pretrained(models / "clipseg")
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": 32, "projection_dim": 16}
    layers = {"num_layers": 1, "intermediate_size": 32, **_PARTS}
    config = getattr(hf, f"{kind}Config")(
        vision_config=vision,
        text_config=text | ({"model_type": "clip_text_model"} if kind == "Sam3" else {}),
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 12},
        mask_decoder_config=_PARTS,
    )
    network = getattr(hf, f"{kind}Model")(config)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.4)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    hf.Sam3ImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder
