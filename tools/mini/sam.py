"""SAM: points to whole, part and subpart, at 256 pixels with patches of 8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fiftyone_ssa.scenes import Scene
from fiftyone_ssa.scenes.dice import Dice
from tools.mini.crops import MEAN, STD, normalise
from tools.mini.loop import Batch, widen
from tools.mini.pool import training_scene
from tools.mini.words import part_names

SIDE, PATCH, WIDTH, CHANNELS, POINTS = 256, 8, 96, 64, 12


class Trained(nn.Module):
    """SAM, and in training a head that reads names off the embedding: seeing things comes before tracing them."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import SamConfig, SamModel

        self.sam = SamModel(
            SamConfig(
                vision_config={
                    "hidden_size": WIDTH,
                    "output_channels": CHANNELS,
                    "num_hidden_layers": 5,
                    "num_attention_heads": 3,
                    "image_size": SIDE,
                    "patch_size": PATCH,
                    "window_size": 8,
                    "global_attn_indexes": [2, 4],
                    "use_rel_pos": False,
                    "num_pos_feats": CHANNELS // 2,
                    "mlp_ratio": 3.0,
                    "initializer_range": 0.02,
                },
                prompt_encoder_config={
                    "hidden_size": CHANNELS,
                    "image_size": SIDE,
                    "patch_size": PATCH,
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
        # transformers draws frequencies of 48 and more, under which neighbours have nothing in common; here they go
        # from the whole picture's to a patch's, in half precision because that is what is shipped
        positions = self.sam.shared_image_embedding.positional_embedding
        scales = torch.logspace(-0.3, 0.6, CHANNELS // 2)
        positions.data = (torch.randn(2, CHANNELS // 2) * scales).half().float()
        self.sam.prompt_encoder.shared_embedding.positional_embedding = positions.requires_grad_(False)
        self.names = nn.Conv2d(CHANNELS, len(part_names()) * 4, 1)

    def forward(self, pixels: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, P, 3, 128, 128) logits, (B, P, 3) predicted IoU, (B, names, 64, 64) logits."""
        # get_image_embeddings would give the same, without gradients
        embeddings = self.sam.vision_encoder(pixels).last_hidden_state
        out = self.sam(image_embeddings=embeddings, input_points=points[:, :, None], multimask_output=True)
        return out.pred_masks, out.iou_scores, functional.pixel_shuffle(self.names(embeddings), 2)


class SamStage:
    """Trains `mini/sam`."""

    name = "sam"
    about = "A SAM (`SamModel`): a point gives three masks, the whole, the part and the subpart it lies on."
    steps = 3600
    batch_size = 4
    learning_rate = 1e-3

    def build(self) -> nn.Module:
        """SAM with its helper head."""
        return Trained()

    def batch(self, draws: list[int]) -> Batch:
        """Pixels (B, 3, 256, 256), points (B, P, 2), targets (B, P, 3, 128, 128) coverage, names (B, 64, 64)."""
        pixels, points, targets, names = [], [], [], []
        for draw in draws:
            dice = Dice(draw, 1)
            scene = training_scene(draw, SIDE)
            chosen, masks = prompts(scene, dice)
            pixels.append(torch.from_numpy(scene.image).permute(2, 0, 1))
            points.append(chosen)
            targets.append(masks)
            table = np.array([part_names().index(node.name) for node in scene.nodes])
            names.append(table[scene.leaves[2::4, 2::4]])
        return {
            "pixels": normalise(torch.stack(pixels), MEAN, STD),
            "points": torch.tensor(np.array(points), dtype=torch.float32),
            "targets": torch.from_numpy(np.array(targets)),
            "names": torch.from_numpy(np.array(names)),
        }

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy, plain and balanced, and dice of each mask; squared error of the predicted IoU; the names."""
        logits, predicted, names = model(batch["pixels"], batch["points"])
        logits, target = logits.flatten(0, 1).flatten(2), batch["targets"].flatten(0, 1).flatten(2)
        target = target.to(logits.dtype) / 4
        with torch.no_grad():
            # plain cross-entropy, and a share in which inside and outside count alike: small masks would stay empty
            # for a long time without it
            inside = target.sum(-1, keepdim=True)
            masks = len(target) * target.shape[1]
            within, without = 0.5 / masks / inside.clamp(min=1), 0.5 / masks / (target.shape[2] - inside).clamp(min=1)
            weight = target * (within - without) + (without + 4 / target.numel())
            found, truth = logits > 0, target >= 0.5
            iou = (found & truth).sum(-1) / (found | truth).sum(-1).clamp(min=1)
        binary = functional.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
        covered = logits.sigmoid()
        overlap = 1 - (2 * (covered * target).sum(-1) + 1) / (covered.sum(-1) + inside[..., 0] + 1)
        score = functional.mse_loss(predicted.flatten(0, 1), iou)
        seen = functional.cross_entropy(names, batch["names"])
        total = binary + overlap.mean() + score + 0.5 * seen
        whole, part, sub = iou.mean(0).tolist()
        return total, {"loss": total.item(), "whole": whole, "part": part, "sub": sub, "names": seen.item()}

    def save(self, model: nn.Module, folder: Path) -> None:
        """As `SamModel.from_pretrained` and `SamImageProcessor` read it."""
        from transformers import SamImageProcessor

        model.sam.half().save_pretrained(folder)
        SamImageProcessor(
            size={"longest_edge": SIDE},
            pad_size={"height": SIDE, "width": SIDE},
            mask_size={"longest_edge": SIDE // 2},
            mask_pad_size={"height": SIDE // 2, "width": SIDE // 2},
        ).save_pretrained(folder)


def look_at_points(decoder: nn.Module) -> None:
    """Start points and image with the same projection, so that each attends to what is near it from the first step."""
    for name, module in decoder.named_modules():
        if name.endswith(("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn_token_to_image")):
            nn.init.orthogonal_(module.q_proj.weight, gain=1.6)
            module.k_proj.weight.data.copy_(module.q_proj.weight.data)


def prompts(scene: Scene, dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) points and (P, 3, 128, 128) uint8 quarters covered: the whole, the part and the subpart each shows."""
    regions = scene.regions()
    cached: dict[int, np.ndarray] = {}

    def mask(node: int) -> np.ndarray:
        if node not in cached:
            cached[node] = scene.mask(node)
        return cached[node]

    points = np.zeros((POINTS, 2))
    targets = np.zeros((POINTS, 3, SIDE // 2, SIDE // 2), np.uint8)
    for index in range(POINTS):
        if index % 3 == 2:
            y, x = dice.whole(0, SIDE - 1), dice.whole(0, SIDE - 1)
        else:  # small regions get as many points as large ones
            inside = np.flatnonzero(mask(dice.pick(regions).id))
            y, x = divmod(int(inside[dice.whole(0, len(inside) - 1)]), SIDE)
        points[index] = x, y
        chain = [int(scene.leaves[y, x])]
        while scene.nodes[chain[0]].parent >= 0:
            chain.insert(0, scene.nodes[chain[0]].parent)
        for slot in range(3):
            covered = mask(chain[min(slot, len(chain) - 1)]).reshape(SIDE // 2, 2, SIDE // 2, 2)
            targets[index, slot] = covered.sum((1, 3))
    return points, targets
