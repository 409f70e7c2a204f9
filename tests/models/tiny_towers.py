"""Tiny random models with two towers, in the form in which transformers and the hub keep them."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
import transformers as hf

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIDE, PATCH = 32, 8


def characters(kind: Any, *specials: str, **options: Any) -> Any:
    """A tokenizer of Gemma's kind that knows single characters."""
    words = [*specials, *dict.fromkeys(["▁", *string.ascii_letters, *string.digits, *string.punctuation])]
    return kind(vocab={word: index for index, word in enumerate(words)}, merges=[], **options)


def _altclip() -> tuple[Any, Any]:
    words = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    tokenizer = hf.XLMRobertaTokenizer(vocab=[*words, *((letter, -2.0) for letter in string.ascii_letters)])
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 120, "project_dim": 16, "pad_token_id": 1}
    vision = {**SIZES, "image_size": SIDE, "patch_size": PATCH, "projection_dim": 16}
    config = hf.AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    return hf.AltCLIPModel(config), tokenizer


def _chinese_clip() -> tuple[Any, Any]:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"天空树", *string.ascii_lowercase]
    words += [f"##{letter}" for letter in string.ascii_lowercase]
    tokenizer = hf.BertTokenizer(vocab={word: index for index, word in enumerate(words)})
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 120}
    vision = {**SIZES, "image_size": SIDE, "patch_size": PATCH}
    config = hf.ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    return hf.ChineseCLIPModel(config), tokenizer


def _tipsv2() -> tuple[Any, Any]:
    words = ["<pad>", "<unk>", "▁", *string.ascii_lowercase]
    tokenizer = hf.Tipsv2Tokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[])
    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE}
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    config = hf.Tipsv2Config(text_config=text, vision_config={**vision, "patch_size": PATCH})
    return hf.Tipsv2Model(config), tokenizer


OTHERS = {"altclip": _altclip, "chinese_clip": _chinese_clip, "tipsv2": _tipsv2}
"""With towers of their own."""
FAMILIES = ("clip", "metaclip_2", "siglip", "siglip2", "siglip2_naflex", *OTHERS)


def save(family: str, folder: Path, models: Path) -> Path:
    """A folder of a family; `models` is where the reference models lie, whose CLIP vocabulary is used."""
    torch.manual_seed(0)
    siglip = family.startswith("siglip")
    network, tokenizer = OTHERS[family]() if family in OTHERS else _two_towers(family, models)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
        if siglip:
            network.logit_bias.fill_(-2.0)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _images(family).save_pretrained(folder)
    return folder


def _two_towers(family: str, models: Path) -> tuple[Any, Any]:
    siglip = family.startswith("siglip")
    if siglip:
        tokenizer = characters(hf.GemmaTokenizer, "<pad>", "<eos>", "<bos>", "<unk>", "<mask>", add_bos_token=False)
        ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    else:
        tokenizer = hf.AutoTokenizer.from_pretrained(models / "clipseg")
        ends = {"pad_token_id": 0, "eos_token_id": len(tokenizer) - 1, "bos_token_id": len(tokenizer) - 2}
    positions = 16 if siglip else 77
    text = {**SIZES, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": positions}
    vision = {**SIZES, "image_size": SIDE, "patch_size": PATCH}
    if family == "siglip2_naflex":
        vision = {**SIZES, "num_patches": 16, "patch_size": PATCH}
    kinds = {"clip": "CLIP", "metaclip_2": "MetaClip2", "siglip": "Siglip", "siglip2": "Siglip"}
    name = kinds.get(family, "Siglip2")  # a SigLIP 2 of one size is published as a SigLIP
    width = {} if siglip else {"projection_dim": 16}
    config = getattr(hf, f"{name}Config")(
        text_config={**text, **({"projection_size": 16} if siglip else {})}, vision_config=vision, **width
    )
    return getattr(hf, f"{name}Model")(config), tokenizer


def _images(family: str) -> Any:
    if family == "siglip2_naflex":
        return hf.Siglip2ImageProcessor(patch_size=PATCH, max_num_patches=16)
    size = {"height": SIDE, "width": SIDE}
    if family.startswith("siglip"):
        return hf.SiglipImageProcessor(size=size)
    if family == "tipsv2":
        return hf.Tipsv2ImageProcessor(size=size)
    if family == "chinese_clip":
        return hf.ChineseCLIPImageProcessor(size=size, do_center_crop=False)
    return hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=size)
