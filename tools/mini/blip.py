"""BLIP: captions of crops, at 96 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow

from fiftyone_ssa.quickstart.scenes import caption
from fiftyone_ssa.quickstart.scenes.dice import Dice
from tools.mini.crops import CLIP_MEAN, CLIP_STD, crops, normalise
from tools.mini.loop import Batch, widen
from tools.mini.words import ReadsWords, write_tokenizer

SIDE = 96


class BlipStage(ReadsWords):
    """Trains `mini/blip`."""

    name = "blip"
    about = (
        "A BLIP captioner (`BlipForConditionalGeneration`): what a crop shows, in words no closed set has among them."
    )
    steps = 5000
    batch_size = 6
    learning_rate = 2e-3
    muon = True
    splits = False

    def build(self) -> Any:
        """BlipForConditionalGeneration."""
        from transformers import BlipConfig, BlipForConditionalGeneration

        vision = {"image_size": SIDE, "patch_size": 12, "hidden_size": 128, "intermediate_size": 384}
        text = {"hidden_size": 128, "encoder_hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 2}
        model = BlipForConditionalGeneration(
            BlipConfig(
                vision_config={
                    **vision,
                    "num_hidden_layers": 4,
                    "num_attention_heads": 4,
                },
                text_config={
                    **text,
                    "num_attention_heads": 4,
                    "max_position_embeddings": 32,
                    "vocab_size": len(self.tokenizer),
                    "bos_token_id": self.tokenizer.bos_token_id,
                    "eos_token_id": self.tokenizer.eos_token_id,
                    "sep_token_id": self.tokenizer.eos_token_id,
                    "pad_token_id": self.tokenizer.pad_token_id,
                    "attention_probs_dropout_prob": 0.0,
                    "hidden_dropout_prob": 0.0,
                },
                projection_dim=64,
                image_text_hidden_size=64,
            )
        )
        widen(model)
        return model

    def batch(self, draws: list[int]) -> Batch:
        """Pixels (N, 3, 96, 96), tokens and labels (N, L)."""
        found = [(crop, Dice(draw, 4, i)) for draw in draws for i, crop in enumerate(crops(draw, 1.6, others=3))]
        pixels = torch.stack([crop.pixels(SIDE, Pillow.Resampling.BICUBIC) for crop, _ in found])
        told = [caption(crop.scene, crop.node, dice) for crop, dice in found]
        words = self.tokenizer(told, padding=True, return_tensors="pt")
        return {
            "pixels": normalise(pixels, CLIP_MEAN, CLIP_STD),
            "tokens": words["input_ids"],
            "attention": words["attention_mask"],
            "labels": words["input_ids"].masked_fill(words["attention_mask"] == 0, -100),
        }

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy of the next word."""
        with torch.autocast(batch["pixels"].device.type, torch.bfloat16):
            seen = model.vision_model(batch["pixels"]).last_hidden_state
            out = model.text_decoder(
                input_ids=batch["tokens"],
                attention_mask=batch["attention"],
                encoder_hidden_states=seen,
                labels=batch["labels"],
                reduction="mean",
            )
        with torch.no_grad():
            asked = batch["labels"][:, 1:] != -100
            right = (out.logits[:, :-1].argmax(-1) == batch["labels"][:, 1:])[asked].float().mean()
        return out.loss, {"loss": out.loss.item(), "words": right.item()}

    def save(self, model: Any, folder: Path) -> None:
        """As `BlipForConditionalGeneration.from_pretrained` and `BlipProcessor` read it."""
        from transformers import BlipImageProcessor, BlipProcessor

        model.half().save_pretrained(folder)
        vision = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
        BlipProcessor(vision, write_tokenizer(folder)).save_pretrained(folder)
