"""The published models of the presets, built from their configurations with random weights: no hub is needed.

Sizes are those of the checkpoints' published config.json; tokenizers and processors come from the parity models.
`"narrow"` is the same architectures at the parity models' widths, for rehearsals.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks._stand_ins import Clip

PARITY = Path(__file__).parents[1] / "tests" / "parity"
WEIGHTS = torch.bfloat16
"""How weights are stored; half the disk of float32, and as good when random."""
SWIN: dict[str, dict[str, Any]] = {
    "large": {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12},
    "tiny": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
}
PRESETS: dict[str, dict[str, Any]] = {
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


CLIPS: dict[str, dict[str, Any]] = {
    "ViT-L-14": {
        "embed_dim": 768,
        "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 12},
    },
    "ViT-B-32": {
        "embed_dim": 512,
        "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
    },
}
"""As open_clip's configuration files have them."""


def build_models(preset: str, folder: Path, device: str = "cpu") -> dict[str, Any]:
    """Write the models of "base", "small" or "narrow" below `folder`; the settings of `open_vocabulary` for them.

    `device` is where their weights are drawn, which takes a CPU a minute.
    """
    torch.manual_seed(0)
    if preset == "narrow":
        for name in ("oneformer-coco", "oneformer-ade20k", "blip", "clip", "clipseg"):
            narrow(folder / name, device=device)
    else:
        chosen = PRESETS[preset]
        swin, shortest, longest, queries = chosen["ade20k"]
        width, refined = chosen["clipseg"]
        oneformer(folder / "oneformer-coco", "oneformer-coco", "large", 800, 1333, 150, device=device)
        oneformer(folder / "oneformer-ade20k", "oneformer-ade20k", swin, shortest, longest, queries, device)
        blip(folder / "blip", chosen["blip"], device=device)
        clip(folder / "clip", chosen["clip"], device=device)
        clipseg(folder / "clipseg", width, refined, device)
    return {
        **parity_models(),
        "segmenters": (str(folder / "oneformer-coco"), str(folder / "oneformer-ade20k")),
        "captioner": str(folder / "blip"),
        "class_filter": f"local-dir:{folder / 'clip'}",
        "decider": str(folder / "clipseg"),
    }


def oneformer(
    folder: Path, parity: str, swin: str, shortest: int, longest: int, queries: int, device: str = "cpu"
) -> None:
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
    _save(OneFormerForUniversalSegmentation, config, folder, device)
    processor = json.loads((small / "processor_config.json").read_text())
    processor["image_processor"]["size"] = {"shortest_edge": shortest, "longest_edge": longest}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    for name in ("class_info.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small / name, folder / name)


def blip(folder: Path, size: str, device: str = "cpu") -> None:
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
    _save(BlipForConditionalGeneration, config, folder, device)
    words = ["tree", "car", "dog", "wall", "sky", "cup", "lamp", "road", "chair", "cat"]
    vocabulary = {f"{words[i % 10]}{i}": i for i in range(30524)}
    special = {0: "[PAD]", 2: "[EOS]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 30522: "[DEC]"}
    vocabulary = {special.get(i, word): i for word, i in vocabulary.items()}
    tokenizer = BertTokenizerFast(vocab=vocabulary, bos_token="[DEC]")
    BlipProcessor(BlipImageProcessor(size={"height": 384, "width": 384}), tokenizer).save_pretrained(folder)


def clip(folder: Path, name: str, device: str = "cpu") -> None:
    """open_clip's ViT-L-14 or ViT-B-32 as OpenAI trained them."""
    settings = json.loads((PARITY / "models" / "clip" / "open_clip_config.json").read_text())
    settings["model_cfg"] = {**CLIPS[name], "quick_gelu": True}
    settings["preprocess_cfg"]["size"] = 224
    _save_clip(settings, folder, device)


def clipseg(folder: Path, width: int, refined: bool, device: str = "cpu") -> None:
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
    _save(CLIPSegForImageSegmentation, config, folder, device)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small / name, folder / name)


def segformer(folder: Path, device: str = "cpu") -> None:
    """nvidia/segformer-b5-finetuned-ade-640-640."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    small = PARITY / "models" / "segformer-ade20k"
    labels = json.loads((small / "config.json").read_text())["id2label"]
    config = SegformerConfig(
        depths=[3, 6, 40, 3],
        hidden_sizes=[64, 128, 320, 512],
        decoder_hidden_size=768,
        num_labels=len(labels),
        id2label={int(key): name for key, name in labels.items()},
    )
    _save(SegformerForSemanticSegmentation, config, folder, device)
    processor = json.loads((small / "preprocessor_config.json").read_text())
    processor["size"] = {"height": 640, "width": 640}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


_EIGHTH: dict[str, Any] = {"num_hidden_layers": 4, "global_attn_indexes": [3]}


def sam(folder: Path, size: str, device: str = "cpu") -> None:
    """facebook/sam-vit-huge, "huge-eighth" with an eighth of its layers, or a "narrow" one that sees 128 pixels."""
    from transformers import SamConfig, SamModel

    vit_h = {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
        "num_pos_feats": 128,
    }
    two_layers = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "global_attn_indexes": [1],
        "image_size": 128,
        "output_channels": 32,
        "num_pos_feats": 16,
        "window_size": 4,
    }
    width = {"hidden_size": 32}
    decoder = {**width, "mlp_dim": 64, "iou_head_hidden_dim": 16}
    config = (
        SamConfig(vision_config=vit_h | ({} if size == "huge" else _EIGHTH))
        if size in ("huge", "huge-eighth")
        else SamConfig(
            vision_config=two_layers,
            prompt_encoder_config={**width, "image_size": 128, "mask_input_channels": 8},
            mask_decoder_config=decoder,
        )
    )
    _save(SamModel, config, folder, device)


def narrow(folder: Path, device: str = "cpu") -> None:
    """The parity model that `folder` is called after, its weights drawn anew."""
    import transformers

    small = PARITY / "models" / folder.name
    if folder.name == "clip":
        return _save_clip(json.loads((small / "open_clip_config.json").read_text()), folder, device)
    shutil.copytree(small, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = transformers.AutoConfig.from_pretrained(small)
    _save(getattr(transformers, config.architectures[0]), config, folder, device)
    return None


def _save(kind: Any, config: Any, folder: Path, device: str) -> None:
    _drawn(lambda: kind(config), device).save_pretrained(folder)


def _save_clip(settings: dict[str, Any], folder: Path, device: str) -> None:
    """Under the names of open_clip's weights, which need not be installed."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    network = _drawn(lambda: Clip(settings["model_cfg"]), device)
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")


def _drawn(build: Callable[[], Any], device: str) -> Any:
    """A network built on `device`, or on the CPU where its constructor minds, its weights as they are stored."""
    try:
        with torch.device(device):
            return build().to(WEIGHTS)
    except (RuntimeError, TypeError):
        if device == "cpu":
            raise
    return build().to(WEIGHTS)
