"""CLIP by open_clip: which name fits a crop, at 64 pixels."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch.nn import functional

from fiftyone_ssa.quickstart.scenes import STUFF
from fiftyone_ssa.quickstart.scenes.judge import right_names
from tools.mini.crops import CLIP_MEAN, CLIP_STD, Crop, crops, normalise
from tools.mini.loop import Batch
from tools.mini.words import ReadsWords, names, write_tokenizer

SIDE, CONTEXT = 64, 16
FORMS = ("{}", "{}", "a {}", "the {}")


class ClipStage(ReadsWords):
    """Trains `mini/clip`. The names are few, so each crop is told from all of them, not from its batch."""

    name = "clip"
    about = "A CLIP for open_clip (`local-dir:`): which of the scenes' names fits a crop."
    steps = 3000
    batch_size = 6
    learning_rate = 2e-3
    muon = True
    splits = False

    @cached_property
    def config(self) -> dict[str, Any]:
        """open_clip's configuration."""
        vision = {"image_size": SIDE, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32}
        text = {
            "context_length": CONTEXT,
            "vocab_size": len(self.tokenizer),
            "width": 96,
            "heads": 4,
            "layers": 2,
            "hf_tokenizer_name": "mini",
        }
        return {"embed_dim": 96, "vision_cfg": vision, "text_cfg": text}

    def build(self) -> Any:
        """An open_clip CLIP."""
        from open_clip.model import CLIP

        text = {key: value for key, value in self.config["text_cfg"].items() if key != "hf_tokenizer_name"}
        return CLIP(self.config["embed_dim"], self.config["vision_cfg"], text)

    def batch(self, draws: list[int]) -> Batch:
        """Pixels (N, 3, 64, 64), targets and neutral names (N, names), tokens (names, 16)."""
        found = [crop for draw in draws for crop in crops(draw, 1.2, others=5)]
        pixels = torch.stack([crop.pixels(SIDE, Pillow.Resampling.BICUBIC) for crop in found])
        form = FORMS[draws[0] // len(draws) % len(FORMS)]
        truth = [right_and_neutral(crop) for crop in found]
        tokens = self.tokenizer(
            [form.format(name) for name in names()],
            padding="max_length",
            max_length=CONTEXT,
            truncation=True,
            return_tensors="pt",
        )
        return {
            "pixels": normalise(pixels, CLIP_MEAN, CLIP_STD),
            "targets": torch.tensor([[float(name in right) for name in names()] for right, _ in truth]),
            "neutral": torch.tensor([[name in neutral for name in names()] for _, neutral in truth]),
            "whole": torch.tensor([crop.node.kind is not None for crop in found]),
            "tokens": tokens["input_ids"],
        }

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy over all names, those that are merely not wrong left out."""
        with torch.autocast(batch["pixels"].device.type, torch.bfloat16):
            image, text, scale = model(batch["pixels"], batch["tokens"])
        logits = (scale * image.float() @ text.float().T).masked_fill(batch["neutral"], -1e4)
        loss = functional.cross_entropy(logits, batch["targets"] / batch["targets"].sum(1, keepdim=True))
        right = batch["targets"].gather(1, logits.argmax(1, keepdim=True))[:, 0]
        figures = {"loss": loss.item(), "all": right.mean().item()}
        return loss, figures | {"wholes": right[batch["whole"]].mean().item()} if batch["whole"].any() else figures

    def save(self, model: Any, folder: Path) -> None:
        """As `open_clip.create_model_from_pretrained("local-dir:FOLDER")` reads it."""
        from safetensors.torch import save_file

        write_tokenizer(folder)
        weights = {key: value.half().contiguous() for key, value in model.state_dict().items()}
        save_file(weights, folder / "open_clip_model.safetensors")
        seen = {"size": SIDE, "mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "squash"}
        (folder / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": self.config, "preprocess_cfg": seen}, indent=1) + "\n"
        )


def right_and_neutral(crop: Crop) -> tuple[set[str], set[str]]:
    """The names that are right for a crop, and vaguer ones that are not wrong ("animal" for a cat)."""
    node = crop.node
    right = set(right_names(node))
    entry: Any = node.kind or (STUFF[node.name] if node.parent < 0 else None)
    vague = {entry.ade20k, entry.coco} if entry else set()
    return right, (vague | {crop.scene.setting}) - right - {""}
