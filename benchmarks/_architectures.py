"""The published models of SSA-engine's presets, built from their configurations with random weights: no hub is needed.

Sizes are those of the checkpoints' published config.json; tokenizers and processors come from the parity models.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

PARITY = Path(__file__).parents[1] / "tests" / "parity"
WEIGHTS = torch.bfloat16
"""How weights are stored; half the disk of float32, and as good when random."""
SWIN = {
    "large": {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12},
    "tiny": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
}
PRESETS = {
    "base": {"ade20k": ("large", 640, 2560, 250), "blip": "large", "clip": "ViT-L-14", "clipseg": (64, True)},
    "small": {"ade20k": ("tiny", 512, 2048, 150), "blip": "base", "clip": "ViT-B-32", "clipseg": (16, False)},
}


def parity_models() -> dict[str, Any]:
    """The settings of `open_vocabulary` that name the small models in the tests."""
    models = PARITY / "models"
    return {
        "segmenters": (str(models / "oneformer-coco"), str(models / "oneformer-ade20k")),
        "captioner": str(models / "blip"),
        "class_filter": f"local-dir:{models / 'clip'}",
        "decider": str(models / "clipseg"),
        "phrases": "raw",
    }


def build_models(preset: str, folder: Path) -> dict[str, Any]:
    """Write the models of "base" or "small" below `folder`; the settings of `open_vocabulary` that name them."""
    torch.manual_seed(0)
    chosen = PRESETS[preset]
    oneformer(folder / "oneformer-coco", "oneformer-coco", "large", 800, 1333, 150)
    oneformer(folder / "oneformer-ade20k", "oneformer-ade20k", *chosen["ade20k"])
    blip(folder / "blip", chosen["blip"])
    clip(folder / "clip", chosen["clip"])
    clipseg(folder / "clipseg", *chosen["clipseg"])
    return {
        **parity_models(),
        "segmenters": (str(folder / "oneformer-coco"), str(folder / "oneformer-ade20k")),
        "captioner": str(folder / "blip"),
        "class_filter": f"local-dir:{folder / 'clip'}",
        "decider": str(folder / "clipseg"),
    }


def oneformer(folder: Path, parity: str, swin: str, shortest: int, longest: int, queries: int) -> None:
    """shi-labs/oneformer_{coco,ade20k}_swin_{large,tiny}."""
    from transformers import OneFormerConfig, OneFormerForUniversalSegmentation

    small = PARITY / "models" / parity
    labels = json.loads((small / "config.json").read_text())["id2label"]
    backbone = {
        "model_type": "swin",
        "image_size": 384,
        "drop_path_rate": 0.3,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
        **SWIN[swin],
    }
    config = OneFormerConfig(
        backbone_config=backbone,
        num_queries=queries,
        num_labels=len(labels),
        id2label={int(key): name for key, name in labels.items()},
        is_training=False,
    )
    _save(OneFormerForUniversalSegmentation, config, folder)
    processor = json.loads((small / "processor_config.json").read_text())
    processor["image_processor"]["size"] = {"shortest_edge": shortest, "longest_edge": longest}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    for name in ("class_info.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small / name, folder / name)


def blip(folder: Path, size: str) -> None:
    """Salesforce/blip-image-captioning-{base,large}, with a vocabulary of made-up nouns."""
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    large = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    base = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    vision = large if size == "large" else base
    text = {**base, "encoder_hidden_size": vision["hidden_size"], "vocab_size": 30524}
    config = BlipConfig(vision_config={**vision, "image_size": 384}, text_config=text)
    _save(BlipForConditionalGeneration, config, folder)
    words = ["tree", "car", "dog", "wall", "sky", "cup", "lamp", "road", "chair", "cat"]
    vocabulary = {f"{words[i % 10]}{i}": i for i in range(30524)}
    special = {0: "[PAD]", 2: "[EOS]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 30522: "[DEC]"}
    vocabulary = {special.get(i, word): i for word, i in vocabulary.items()}
    tokenizer = BertTokenizerFast(vocab=vocabulary, bos_token="[DEC]")
    BlipProcessor(BlipImageProcessor(size={"height": 384, "width": 384}), tokenizer).save_pretrained(folder)


def clip(folder: Path, name: str) -> None:
    """open_clip's ViT-L-14 or ViT-B-32 as OpenAI trained them."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    settings = json.loads((PARITY / "models" / "clip" / "open_clip_config.json").read_text())
    settings["model_cfg"] = {**open_clip.get_model_config(name), "quick_gelu": True}
    settings["preprocess_cfg"]["size"] = 224
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    network = open_clip.create_model(name, force_quick_gelu=True)
    weights = {key: value.to(WEIGHTS).contiguous() for key, value in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")


def clipseg(folder: Path, width: int, refined: bool) -> None:
    """CIDAS/clipseg-rd64-refined or clipseg-rd16."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    small = PARITY / "models" / "clipseg"
    ends = {"bos_token_id": 4512, "eos_token_id": 4513, "pad_token_id": 4513}
    config = CLIPSegConfig(
        text_config=ends,
        vision_config={"patch_size": 16, "image_size": 352},
        reduce_dim=width,
        use_complex_transposed_convolution=refined,
    )
    _save(CLIPSegForImageSegmentation, config, folder)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small / name, folder / name)


def _save(kind: Any, config: Any, folder: Path) -> None:
    kind(config).to(WEIGHTS).save_pretrained(folder)
