"""CLIPSeg: where in a crop a name is, at 512 pixels with patches of 64.

Trained on 128 pixels, each the mean of 4 x 4 of the 512: patches that weigh these alike can be told from fewer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import nn
from torch.nn import functional

from fiftyone_ssa.quickstart.scenes import KINDS
from fiftyone_ssa.quickstart.scenes.dice import Dice
from tools.mini.clip import right_and_neutral
from tools.mini.crops import MEAN, STD, Crop, crops, normalise
from tools.mini.loop import Batch, widen
from tools.mini.words import ReadsWords, names, write_tokenizer

SIDE, GRID, NAMES = 512, 64, 4
PATCH, POOL = 64, 4
PART_OF = 0.7
"""How much a pixel of a wheel belongs to "car": less than to "wheel", so that the finer name wins on the part."""


class ClipSegStage(ReadsWords):
    """Trains `mini/clipseg`, its CLIP included."""

    name = "clipseg"
    about = "A CLIPSeg (`CLIPSegForImageSegmentation`) with a CLIP of its own: where in a crop a name is."
    steps = 2200
    batch_size = 6
    learning_rate = 2e-3
    muon = True
    splits = False

    def build(self) -> Any:
        """CLIPSegForImageSegmentation."""
        from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

        special = {f"{name}_token_id": getattr(self.tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        text = {"vocab_size": len(self.tokenizer), "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2}
        vision = {"image_size": SIDE // POOL, "patch_size": PATCH // POOL, "hidden_size": 112, "intermediate_size": 336}
        model = CLIPSegForImageSegmentation(
            CLIPSegConfig(
                text_config={**text, "num_attention_heads": 4, "max_position_embeddings": 32, **special},
                vision_config={**vision, "num_hidden_layers": 5, "num_attention_heads": 4},
                projection_dim=64,
                extract_layers=[2, 3, 4],
                reduce_dim=64,
                decoder_num_attention_heads=4,
                decoder_intermediate_size=128,
            )
        )
        width = model.config.reduce_dim
        model.decoder.transposed_convolution = nn.ConvTranspose2d(width, 1, PATCH, stride=PATCH)
        widen(model)
        model.decoder.transposed_convolution = Pooled(model.decoder.transposed_convolution)
        return model

    def batch(self, draws: list[int]) -> Batch:
        """Pixels (N, 3, 128, 128), tokens (N * 4, L), targets (N, 4, 64, 64), regions (N, 64, 64)."""
        pixels, tokens, targets, regions, wholes = [], [], [], [], []
        for draw in draws:
            dice = Dice(draw, 3)
            for crop in crops(draw, 1.6, others=2):
                leaves = crop.leaves(GRID)
                chosen = candidates(crop, dice, leaves)
                pixels.append(crop.pixels(SIDE, Pillow.Resampling.BILINEAR, POOL))
                tokens += chosen
                targets.append(np.stack([coverage(crop, name)[leaves] for name in chosen]))
                regions.append(coverage_of_node(crop)[leaves])
                wholes.append(crop.node.kind is not None)
        words = self.tokenizer(tokens, padding="max_length", max_length=16, truncation=True, return_tensors="pt")
        return {
            "pixels": normalise(torch.stack(pixels), MEAN, STD),
            "tokens": words["input_ids"],
            "attention": words["attention_mask"],
            "targets": torch.from_numpy(np.stack(targets)),
            "regions": torch.from_numpy(np.stack(regions)),
            "whole": torch.tensor(wholes),
        }

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy per pixel and name, and of the region's mean logits: the right name must win there."""
        with torch.autocast(batch["pixels"].device.type, torch.bfloat16):
            logits = decode(model, batch).float()
        pixelwise = functional.binary_cross_entropy_with_logits(logits, batch["targets"])
        region = batch["regions"].float()[:, None]
        means = (logits * region).sum((2, 3)) / region.sum((2, 3)).clamp(min=1)
        decision = functional.cross_entropy(means, torch.zeros(len(means), dtype=torch.long, device=means.device))
        winners = functional.one_hot(logits.argmax(1), NAMES).permute(0, 3, 1, 2)
        right = ((winners * region).sum((2, 3)).argmax(1) == 0).float()
        figures = {"pixels": pixelwise.item(), "decision": decision.item(), "all": right.mean().item()}
        if batch["whole"].any():
            figures["wholes"] = right[batch["whole"]].mean().item()
        return 2 * pixelwise + 0.5 * decision, figures

    def save(self, model: Any, folder: Path) -> None:
        """As `CLIPSegForImageSegmentation.from_pretrained` and `CLIPSegProcessor` read it."""
        from transformers import CLIPSegProcessor, ViTImageProcessor

        model.decoder.transposed_convolution = model.decoder.transposed_convolution.fine
        embeddings, vision = model.clip.vision_model.embeddings, model.config.vision_config
        kernels = embeddings.patch_embedding.weight
        embeddings.patch_embedding.weight = nn.Parameter(
            kernels.repeat_interleave(POOL, 2).repeat_interleave(POOL, 3) / POOL**2
        )
        vision.image_size, vision.patch_size = SIDE, PATCH
        model.half().save_pretrained(folder)
        size = {"height": SIDE, "width": SIDE}
        pixels = ViTImageProcessor(size=size, image_mean=list(MEAN), image_std=list(STD))
        CLIPSegProcessor(pixels, write_tokenizer(folder)).save_pretrained(folder)


class Pooled(nn.Module):
    """The decoder's last layer with its answer averaged to 64 x 64: the same numbers as doing so afterwards, sooner."""

    def __init__(self, fine: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.fine = fine

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, C, 8, 8) to (B, 1, 64, 64)."""
        cell = SIDE // GRID
        weight = functional.avg_pool2d(self.fine.weight, cell)
        return functional.conv_transpose2d(hidden, weight, self.fine.bias, stride=self.fine.stride[0] // cell)


def decode(model: Any, batch: Batch) -> torch.Tensor:
    """(N, 4, 64, 64) logits: the vision tower once per crop, the decoder once per name."""
    seen = model.clip.vision_model(batch["pixels"], output_hidden_states=True)
    taps = [seen.hidden_states[layer + 1].repeat_interleave(NAMES, 0) for layer in model.extract_layers]
    texts = model.clip.text_model(batch["tokens"], attention_mask=batch["attention"]).pooler_output
    logits = model.decoder(taps, model.clip.text_projection(texts)).logits
    answer: torch.Tensor = logits.reshape(-1, NAMES, GRID, GRID)
    return answer


def candidates(crop: Crop, dice: Dice, leaves: np.ndarray) -> list[str]:
    """The right name, another that the crop shows, another thing's, and any that is not there."""
    right, neutral = right_and_neutral(crop)
    chosen = [dice.pick(sorted(right))]
    shown: set[str] = set()
    for index in np.unique(leaves):
        node = crop.scene.nodes[int(index)]
        shown.add(node.name)
        while node.parent >= 0:
            node = crop.scene.nodes[node.parent]
            shown.add(node.name)
    near = dice.shuffled(sorted(shown - right - neutral))[:1]
    none = right | neutral | shown
    things = dice.shuffled([name for name in KINDS if name not in none])[:1]
    far = dice.shuffled([name for name in names() if name not in none.union(things)])
    return (chosen + near + things + far)[:NAMES]


def coverage(crop: Crop, name: str) -> np.ndarray:
    """(nodes,) float32: how much each node's own pixels are what the name says."""
    found = np.zeros(len(crop.scene.nodes), np.float32)
    for node in crop.scene.nodes:
        right, _ = right_and_neutral(Crop(crop.scene, node, crop.box_xyxy))
        above = found[node.parent] if node.parent >= 0 else 0.0
        found[node.id] = 1.0 if name in right else PART_OF * float(above > 0)
    return found


def coverage_of_node(crop: Crop) -> np.ndarray:
    """(nodes,) bool: the region's node and its parts."""
    found = np.zeros(len(crop.scene.nodes), np.bool_)
    for node in crop.scene.nodes:
        found[node.id] = node.id == crop.node.id or (node.parent >= 0 and bool(found[node.parent]))
    return found
