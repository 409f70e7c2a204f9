"""Two closed-set segmenters: a SegFormer for ADE20K's names, coarse on purpose, and a finer one for COCO's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch.nn import functional

from fiftyone_ssa.quickstart.scenes import class_names
from tools.mini.crops import MEAN, STD, normalise
from tools.mini.loop import Batch, widen
from tools.mini.pool import training_scene


class SegformerStage:
    """Trains one SegFormer at `side` pixels; its map has a cell for 4 x 4 of them."""

    batch_size = 12
    learning_rate = 1.5e-3
    muon = False
    splits = False

    def __init__(self, name: str, vocabulary: str, side: int, widths: list[int], steps: int) -> None:
        self.name, self.vocabulary, self.side, self.widths, self.steps = name, vocabulary, side, widths, steps
        self.about = (
            f"A SegFormer for {len(class_names(vocabulary))} of {vocabulary.upper()}'s class names at {side} pixels: "
            f"its map has {side // 4} x {side // 4} cells."
        )

    def build(self) -> Any:
        """SegformerForSemanticSegmentation."""
        from transformers import SegformerConfig, SegformerForSemanticSegmentation

        names = class_names(self.vocabulary)
        model = SegformerForSemanticSegmentation(
            SegformerConfig(
                hidden_sizes=self.widths,
                depths=[1, 1, 2, 2],
                num_attention_heads=[1, 2, 4, 4],
                mlp_ratios=[3, 3, 3, 3],
                decoder_hidden_size=96,
                classifier_dropout_prob=0.0,
                drop_path_rate=0.0,
                id2label=dict(enumerate(names)),
                label2id={name: index for index, name in enumerate(names)},
            )
        )
        widen(model)
        return model

    def batch(self, draws: list[int]) -> Batch:
        """Pixels (B, 3, side, side) and class ids (B, side / 4, side / 4)."""
        pixels, ids = [], []
        cells = self.side // 4
        for draw in draws:
            scene = training_scene(draw)
            size = scene.size_hw[0]
            small = Pillow.fromarray(scene.image).resize((self.side, self.side), Pillow.Resampling.BILINEAR)
            centres = (np.arange(cells) * size + size // 2) // cells
            pixels.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
            ids.append(scene.semantic(self.vocabulary).ids[centres[:, None], centres].astype(np.int64))
        return {
            "pixels": normalise(torch.stack(pixels), MEAN, STD),
            "ids": torch.from_numpy(np.stack(ids)),
        }

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy where the vocabulary has a name."""
        logits = model(batch["pixels"]).logits
        loss = functional.cross_entropy(logits, batch["ids"], ignore_index=255, label_smoothing=0.02)
        known = batch["ids"] != 255
        right = (logits.argmax(1) == batch["ids"])[known].float().mean().item()
        return loss, {"loss": loss.item(), "cells": right}

    def save(self, model: Any, folder: Path) -> None:
        """As `AutoModelForSemanticSegmentation` and `AutoImageProcessor` read it."""
        from transformers import SegformerImageProcessor

        model.half().save_pretrained(folder)
        SegformerImageProcessor(
            size={"height": self.side, "width": self.side}, image_mean=list(MEAN), image_std=list(STD)
        ).save_pretrained(folder)


def ade20k() -> SegformerStage:
    """Coarse: 32 x 32 cells and narrow."""
    return SegformerStage("segformer-ade20k", "ade20k", 128, [24, 48, 96, 128], 1500)


def coco() -> SegformerStage:
    """Finer: 48 x 48 cells."""
    return SegformerStage("segformer-coco", "coco", 192, [24, 48, 96, 160], 2500)
