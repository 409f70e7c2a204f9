"""SAM 2: points to whole, part and subpart, at 256 pixels with patches of 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import nn
from torch.nn import functional

from fiftyone_ssa.scenes import Node, Scene
from fiftyone_ssa.scenes.dice import Dice
from tools.mini.crops import MEAN, STD, normalise
from tools.mini.loop import Batch, widen
from tools.mini.pool import training_scene
from tools.mini.words import part_names

import os
SIDE, CHANNELS, POINTS = int(os.environ.get("SAM_SIDE", 192)), 64, int(os.environ.get("SAM_POINTS", 24))
ALIKE = 12
SMALLEST = 16
PLAIN = float(os.environ.get("SAM_PLAIN", 1))
WIDTHS, BLOCKS = [24, 48, 96, 160], [1, 2, 4, 2]
STRIDE = 2
"""Pixels to a cell of the first stage, and of the masks; 4 as published would be too coarse for parts of a few pixels."""
CELLS = SIDE // STRIDE


class Trained(nn.Module):
    """SAM 2, and in training a head that reads names off the embedding: seeing things comes before tracing them."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import Sam2Config, Sam2Model

        self.sam = Sam2Model(
            Sam2Config(
                vision_config={
                    "backbone_config": {
                        "model_type": "sam2_hiera_det_model",
                        "hidden_size": WIDTHS[0],
                        "image_size": [SIDE, SIDE],
                        "patch_kernel_size": [5, 5],
                        "patch_stride": [STRIDE, STRIDE],
                        "patch_padding": [2, 2],
                        "blocks_per_stage": BLOCKS,
                        "embed_dim_per_stage": WIDTHS,
                        "num_attention_heads_per_stage": [1, 2, 4, 5],
                        "window_size_per_stage": [8, 8, 8, 8],
                        "global_attention_blocks": [8],
                        "mlp_ratio": 2.0,
                    },
                    "backbone_channel_list": WIDTHS[::-1],
                    "backbone_feature_sizes": [[CELLS, CELLS], [CELLS // 2, CELLS // 2], [CELLS // 4, CELLS // 4]],
                    "fpn_hidden_size": CHANNELS,
                },
                prompt_encoder_config={
                    "hidden_size": CHANNELS,
                    "image_size": SIDE,
                    "patch_size": STRIDE * 4,
                    "mask_input_channels": 8,
                },
                mask_decoder_config={
                    "hidden_size": CHANNELS,
                    "mlp_dim": 128,
                    "num_attention_heads": 2,
                    "iou_head_hidden_dim": 64,
                },
            )
        )
        widen(self.sam)
        look_at_points(self.sam.mask_decoder)
        # frequencies from the whole picture's to a few cells', in half precision because that is what is shipped
        positions = self.sam.shared_image_embedding.positional_embedding
        scales = torch.logspace(-0.3, 0.8, CHANNELS // 2)
        positions.data = (torch.randn(2, CHANNELS // 2) * scales).half().float()
        self.sam.prompt_encoder.shared_embedding.positional_embedding.data = positions.data
        self.names = nn.Conv2d(CHANNELS, len(part_names()) * 4, 1)
        self.alike = nn.ModuleList(nn.Conv2d(CHANNELS, 3 * ALIKE, 1) for _ in range(3))
        self.reach = nn.Parameter(torch.full((3, 1, 1), 2.0))

    def forward(self, pixels: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, P, 3, cells, cells) logits, (B, P, 3) predicted IoU, (B, names, cells / 2, cells / 2) logits."""
        # get_image_embeddings would give the same, without gradients
        fine, middle, coarse = self.sam.vision_encoder(pixels).fpn_hidden_states
        decoder = self.sam.mask_decoder
        coarse = coarse + self.sam.no_memory_embedding.view(1, -1, 1, 1)
        out = self.sam(
            image_embeddings=[decoder.conv_s0(fine), decoder.conv_s1(middle), coarse],
            input_points=points[:, :, None],
            multimask_output=True,
        )
        return (
            out.pred_masks,
            out.iou_scores,
            functional.pixel_shuffle(self.names(coarse), 2),
            self._alike(fine, middle, coarse, points),
        )

    def _alike(
        self, fine: torch.Tensor, middle: torch.Tensor, coarse: torch.Tensor, points: torch.Tensor
    ) -> torch.Tensor:
        """(B, P, 3, cells / 2, cells / 2) logits: how near each cell's features are to those at each point."""
        of_fine, of_middle, of_coarse = self.alike
        seen = functional.avg_pool2d(of_fine(fine), 2) + of_middle(middle)
        seen = seen + functional.interpolate(of_coarse(coarse), scale_factor=2.0)
        seen = seen.unflatten(1, (3, ALIKE)).flatten(3)  # (B, 3, D, cells)
        side = CELLS // 2
        place = (points * (side / SIDE)).long().clamp(max=side - 1)
        index = (place[..., 1] * side + place[..., 0])[:, None, None].expand(-1, 3, ALIKE, -1)
        chosen = seen.gather(3, index)
        distance = chosen.square().sum(2)[..., None] + seen.square().sum(2)[:, :, None]
        distance = distance - 2 * chosen.mT @ seen  # (B, 3, P, cells)
        return (self.reach - distance).transpose(1, 2).unflatten(3, (side, side))


class SamStage:
    """Trains `mini/sam`."""

    name = "sam"
    about = "A SAM 2 (`Sam2Model`): a point gives three masks, the whole, the part and the subpart it lies on."
    steps = 3600
    batch_size = 4
    learning_rate = float(os.environ.get("SAM_LR", 2e-3))

    def build(self) -> nn.Module:
        """SAM with its helper head."""
        return Trained()

    def batch(self, draws: list[int]) -> Batch:
        """Pixels (B, 3, side, side), points (B, P, 2), targets (B, P, 3, cells, cells) coverage, names."""
        pixels, points, targets, names = [], [], [], []
        for draw in draws:
            dice = Dice(draw, 1)
            image, leaves, nodes = view(training_scene(draw), dice)
            chosen, masks = prompts(leaves, nodes, dice)
            pixels.append(torch.from_numpy(image).permute(2, 0, 1))
            points.append(chosen)
            targets.append(masks)
            table = np.array([part_names().index(node.name) for node in nodes])
            names.append(table[leaves[2::4, 2::4]])
        return {
            "pixels": normalise(torch.stack(pixels), MEAN, STD),
            "points": torch.tensor(np.array(points), dtype=torch.float32),
            "targets": torch.from_numpy(np.array(targets)),
            "names": torch.from_numpy(np.array(names)),
        }

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy, plain and balanced, and dice of each mask; squared error of the predicted IoU; the names."""
        logits, predicted, names, alike = model(batch["pixels"], batch["points"])
        covered = functional.avg_pool2d(batch["targets"].flatten(0, 2)[:, None].float() / 4, 2)[:, 0].flatten(1)
        with torch.no_grad():
            inside = covered.sum(-1, keepdim=True)
            within, without = 0.5 / inside.clamp(min=1), 0.5 / (covered.shape[1] - inside).clamp(min=1)
            weight = (covered * within + (1 - covered) * without) / len(covered)
        near = functional.binary_cross_entropy_with_logits(
            alike.flatten(0, 2).flatten(1), covered, weight=weight, reduction="sum"
        )
        logits, target = logits.flatten(0, 1).flatten(2), batch["targets"].flatten(0, 1).flatten(2)
        target = target.to(logits.dtype) / 4
        with torch.no_grad():
            # plain cross-entropy, and a share in which inside and outside count alike: small masks would stay empty
            # for a long time without it
            inside = target.sum(-1, keepdim=True)
            masks = len(target) * target.shape[1]
            within, without = 0.5 / masks / inside.clamp(min=1), 0.5 / masks / (target.shape[2] - inside).clamp(min=1)
            weight = target * (within - without) + (without + PLAIN / target.numel())
            found, truth = logits > 0, target >= 0.5
            iou = (found & truth).sum(-1) / (found | truth).sum(-1).clamp(min=1)
        binary = functional.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
        covered = logits.sigmoid()
        overlap = 1 - (2 * (covered * target).sum(-1) + 1) / (covered.sum(-1) + inside[..., 0] + 1)
        score = functional.mse_loss(predicted.flatten(0, 1), iou)
        seen = functional.cross_entropy(names, batch["names"])
        total = binary + overlap.mean() + score + 0.5 * seen + near
        whole, part, sub = iou.mean(0).tolist()
        hit = (iou > 0.75).float().mean(0).tolist()
        return total, {"loss": total.item(), "whole": whole, "part": part, "sub": sub, "whole75": hit[0], "sub75": hit[2], "bin": binary.item(), "dice": overlap.mean().item(), "near": near.item(), "names": seen.item()}

    def save(self, model: nn.Module, folder: Path) -> None:
        """As `Sam2Model.from_pretrained` and `Sam2ImageProcessor` read it."""
        from transformers import Sam2ImageProcessor

        model.sam.half().save_pretrained(folder)
        Sam2ImageProcessor(
            size={"height": SIDE, "width": SIDE}, mask_size={"height": CELLS, "width": CELLS}
        ).save_pretrained(folder)


def look_at_points(decoder: nn.Module) -> None:
    """Start points and image with the same projection, so that each attends to what is near it from the first step."""
    for name, module in decoder.named_modules():
        if name.endswith(("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn_token_to_image")):
            nn.init.orthogonal_(module.q_proj.weight, gain=1.6)
            module.k_proj.weight.data.copy_(module.q_proj.weight.data)
            nn.init.orthogonal_(module.v_proj.weight)
            module.o_proj.weight.data.copy_(module.v_proj.weight.data.T)
        if name.endswith("self_attn"):
            nn.init.eye_(module.v_proj.weight)
            nn.init.eye_(module.o_proj.weight)


def view(scene: Scene, dice: Dice) -> tuple[np.ndarray, np.ndarray, tuple[Node, ...]]:
    """A part of a scene, seven tenths of each side or more, at the model's size: its pixels, its leaves, and the nodes."""
    (height, width), spans = scene.size_hw, []
    for side in (height, width):
        long = int(side * dice.between(0.7, 1.0))
        start = dice.whole(0, side - long)
        spans.append((start, start + long))
    (top, bottom), (left, right) = spans
    image = Pillow.fromarray(scene.image[top:bottom, left:right]).resize((SIDE, SIDE), Pillow.Resampling.BILINEAR)
    rows, columns = (((np.arange(SIDE) * 2 + 1) * (stop - start) // (2 * SIDE)) + start for start, stop in spans)
    return np.array(image), scene.leaves[rows[:, None], columns], scene.nodes


def prompts(leaves: np.ndarray, nodes: tuple[Node, ...], dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) points and (P, 3, cells, cells) uint8 quarters covered: the whole, the part and the subpart each shows."""
    chains = [[node.id] for node in nodes]
    for node in nodes:  # parts come after what they are parts of
        if node.parent >= 0:
            chains[node.id] = [*chains[node.parent], node.id]
    table = np.array([[chain[min(slot, len(chain) - 1)] for chain in chains] for slot in range(3)])
    maps = table[:, leaves]
    regions = []
    for slot in range(3):
        found, counts = np.unique(maps[slot], return_counts=True)
        regions.append([int(node) for node, count in zip(found, counts, strict=True) if count >= SMALLEST])
    points = np.zeros((POINTS, 2), np.int64)
    for index in range(POINTS):
        if index % 4 == 3:
            points[index] = dice.whole(0, SIDE - 1), dice.whole(0, SIDE - 1)
        else:  # small regions get as many points as large ones
            slot = dice.whole(0, 2)
            inside = np.flatnonzero(maps[slot] == dice.pick(regions[slot]))
            y, x = divmod(int(inside[dice.whole(0, len(inside) - 1)]), SIDE)
            points[index] = x, y
    wanted = maps[:, points[:, 1], points[:, 0]].T
    covered = maps.reshape(3, CELLS, 2, CELLS, 2)[None] == wanted[:, :, None, None, None, None]
    return points, covered.sum((3, 5), dtype=np.uint8)
