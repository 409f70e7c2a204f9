"""SAM 2: a point gives the whole, the part and the subpart it lies on; 256 pixels, masks of 128 x 128 cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from scipy.ndimage import find_objects
from torch import nn
from torch.nn import functional

from fiftyone_ssa.scenes import Node, Scene
from fiftyone_ssa.scenes.dice import Dice
from tools.mini.crops import MEAN, STD, normalise
from tools.mini.loop import Batch, widen
from tools.mini.pool import training_scene
from tools.mini.words import part_names

SIDE, STRIDE, CHANNELS, POINTS = 256, 2, 64, 16
CELLS = SIDE // STRIDE
FINE = 2 * CELLS
"""Truth is looked up at two places a side in each of a mask's cells."""
ZOOM = (0.33, 1.0)
"""Of the sides that a view shows: everything-mode looks at crops, in which parts are as large as things are."""
SMALLEST = 12
"""Regions of fewer such places are not pointed at."""
WIDTHS, BLOCKS = [24, 48, 96, 160], [1, 2, 3, 2]
ALIKE = 12


class Trained(nn.Module):
    """SAM 2, and two helpers in training, since seeing things comes before tracing them: both read the features alone.

    One names what each place shows; the other tells how alike two places are, as parts of a whole, a part, a subpart.
    """

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
                        "patch_stride": [STRIDE, STRIDE],
                        "blocks_per_stage": BLOCKS,
                        "embed_dim_per_stage": WIDTHS,
                        "num_attention_heads_per_stage": [1, 2, 4, 5],
                        "window_size_per_stage": [8, 8, 8, 8],
                        "global_attention_blocks": [7],
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
        self.merge = nn.ModuleList(nn.Conv2d(CHANNELS, 96, 1) for _ in range(3))
        self.heads = nn.Conv2d(96, 3 * (ALIKE + 4 + len(part_names())), 1)
        self.reach = nn.Parameter(torch.full((3, 1, 1), 2.0))

    def forward(self, pixels: torch.Tensor, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, P, 3, cells, cells) logits, (B, P, 3) predicted IoU, then at half the cells names and `_alike`."""
        # get_image_embeddings would give the same, without gradients
        fine, middle, coarse = self.sam.vision_encoder(pixels).fpn_hidden_states
        decoder = self.sam.mask_decoder
        out = self.sam(
            image_embeddings=[
                decoder.conv_s0(fine),
                decoder.conv_s1(middle),
                coarse + self.sam.no_memory_embedding.view(1, -1, 1, 1),
            ],
            input_points=points[:, :, None],
            multimask_output=True,
        )
        of_fine, of_middle, of_coarse = self.merge
        seen = functional.avg_pool2d(of_fine(fine), 2) + of_middle(middle)
        seen = functional.gelu(seen + functional.interpolate(of_coarse(coarse), scale_factor=2.0))
        alike, boxes, names = self.heads(seen).unflatten(1, (3, -1)).split([ALIKE, 4, len(part_names())], 2)
        return out.pred_masks, out.iou_scores, names, boxes, self._alike(alike, points)

    def _alike(self, seen: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """(B, P, 3, cells / 2, cells / 2) logits: whether a place's features are near those at the point."""
        seen = seen.flatten(3)  # (B, 3, D, cells)
        side = CELLS // 2
        place = (points * (side / SIDE)).long().clamp(0, side - 1)
        index = (place[..., 1] * side + place[..., 0])[:, None, None].expand(-1, 3, ALIKE, -1)
        chosen = seen.gather(3, index)
        distance = chosen.square().sum(2)[..., None] + seen.square().sum(2)[:, :, None] - 2 * chosen.mT @ seen
        return (self.reach - distance).transpose(1, 2).unflatten(3, (side, side))


class SamStage:
    """Trains `mini/sam`."""

    name = "sam"
    about = "A SAM 2 (`Sam2Model`): a point gives three masks, the whole, the part and the subpart it lies on."
    steps = 12_000
    batch_size = 16
    learning_rate = 2e-3
    muon = True
    splits = True

    def build(self) -> nn.Module:
        """SAM 2 with its helpers."""
        return Trained()

    def batch(self, draws: list[int]) -> Batch:
        """Pixels (B, 3, side, side), points (B, P, 2), targets (B, P, 3, cells, cells) quarters, names."""
        pixels, points, targets, names, boxes = [], [], [], [], []
        for draw in draws:
            dice = Dice(draw, 1)
            scene = training_scene(draw)
            image, leaves = view(scene, dice)
            maps = slots(scene.nodes)[:, leaves]
            chosen, masks = prompts(maps, dice)
            pixels.append(torch.from_numpy(image).permute(2, 0, 1))
            points.append(chosen)
            targets.append(masks)
            table = np.array([part_names().index(node.name) for node in scene.nodes])
            names.append(table[maps[:, 1::4, 1::4]])
            boxes.append(sides(maps))
        return {
            "pixels": normalise(torch.stack(pixels), MEAN, STD),
            "points": torch.tensor(np.array(points), dtype=torch.float32),
            "targets": torch.from_numpy(np.array(targets)),
            "names": torch.from_numpy(np.array(names)),
            "boxes": torch.from_numpy(np.array(boxes)),
        }

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Cross-entropy, plain and balanced, and dice of each mask; error of the predicted IoU; the helpers'."""
        logits, predicted, names, boxes, alike = model(batch["pixels"], batch["points"])
        logits, target = logits.flatten(0, 2).flatten(1), batch["targets"].flatten(0, 2).to(logits.dtype) / 4
        near = _balanced(alike.flatten(0, 2).flatten(1), functional.avg_pool2d(target, 2).flatten(1))
        target = target.flatten(1)
        covered = logits.sigmoid()
        dice = 1 - (2 * (covered * target).sum(-1) + 1) / (covered.sum(-1) + target.sum(-1) + 1)
        found, truth = logits > 0, target >= 0.5
        iou = (found & truth).sum(-1) / (found | truth).sum(-1).clamp(min=1)
        losses = {
            "plain": functional.binary_cross_entropy_with_logits(logits, target),
            # small masks would stay empty for a long time without it
            "balanced": _balanced(logits, target),
            "dice": dice.mean(),
            "score": functional.mse_loss(predicted.flatten(), iou),
            "near": near,
            "names": 0.5 * functional.cross_entropy(names.transpose(1, 2), batch["names"]),
            "boxes": 3 * functional.l1_loss(boxes, batch["boxes"]),
        }
        total = torch.stack(list(losses.values())).sum()
        means = dict(zip(("whole", "part", "sub"), iou.view(-1, 3).mean(0).tolist(), strict=True))
        found_75 = dict(
            zip(("whole 75", "part 75", "sub 75"), (iou > 0.75).view(-1, 3).float().mean(0).tolist(), strict=True)
        )
        return total, {"loss": total.item(), **{key: loss.item() for key, loss in losses.items()}, **means, **found_75}

    def save(self, model: nn.Module, folder: Path) -> None:
        """As `Sam2Model.from_pretrained` and `Sam2ImageProcessor` read it."""
        from transformers import Sam2ImageProcessor

        model.sam.half().save_pretrained(folder)
        Sam2ImageProcessor(
            size={"height": SIDE, "width": SIDE}, mask_size={"height": CELLS, "width": CELLS}
        ).save_pretrained(folder)


def _balanced(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of (N, cells) in which the inside and the outside of each mask count alike."""
    inside = target.sum(-1, keepdim=True)
    within, without = 0.5 / inside.clamp(min=1), 0.5 / (target.shape[1] - inside).clamp(min=1)
    weight = (target * within + (1 - target) * without) / len(target)
    return functional.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")


def look_at_points(decoder: nn.Module) -> None:
    """Let a point attend to what is near it, and hand that on to the masks' tokens, from the first step."""
    for name, module in decoder.named_modules():
        if name.endswith(("cross_attn_token_to_image", "cross_attn_image_to_token", "final_attn_token_to_image")):
            nn.init.orthogonal_(module.q_proj.weight, gain=1.6)
            module.k_proj.weight.data.copy_(module.q_proj.weight.data)
            nn.init.orthogonal_(module.v_proj.weight)
            module.o_proj.weight.data.copy_(module.v_proj.weight.data.T)
        elif name.endswith("self_attn"):
            nn.init.eye_(module.v_proj.weight)
            nn.init.eye_(module.o_proj.weight)


def view(scene: Scene, dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """A part of a scene, a third of each side or more: (side, side, 3) pixels and (FINE, FINE) node ids."""
    spans = []
    zoom = dice.between(*ZOOM)
    for side in scene.size_hw:
        long = min(int(side * zoom * dice.between(0.85, 1.15)), side)
        start = dice.whole(0, side - long)
        spans.append((start, start + long))
    (top, bottom), (left, right) = spans
    image = Pillow.fromarray(scene.image[top:bottom, left:right]).resize((SIDE, SIDE), Pillow.Resampling.BILINEAR)
    rows, columns = ((np.arange(FINE) * 2 + 1) * (stop - start) // (2 * FINE) + start for start, stop in spans)
    return np.array(image), scene.leaves[rows[:, None], columns]


def slots(nodes: tuple[Node, ...]) -> np.ndarray:
    """(3, nodes) ids of the whole, the part and the subpart that each node is or belongs to."""
    chains: list[list[int]] = []
    for node in nodes:  # parts come after what they are parts of
        chains.append([*(chains[node.parent] if node.parent >= 0 else ()), node.id])
    return np.array([[chain[min(slot, len(chain) - 1)] for chain in chains] for slot in range(3)])


def sides(maps: np.ndarray) -> np.ndarray:
    """(3, 4, FINE / 4, FINE / 4) float32: how far it is from each place to the sides of its region, of the view's."""
    places = (np.arange(FINE // 4, dtype=np.float32) * 4 + 2) / FINE
    found = np.zeros((3, 4, FINE // 4, FINE // 4), np.float32)
    for slot, ids in enumerate(maps):
        table = np.zeros((int(ids.max()) + 1, 4), np.float32)
        for node, where in enumerate(find_objects(ids + 1)):
            if where is not None:
                table[node] = where[0].start, where[0].stop, where[1].start, where[1].stop
        found[slot] = (table[ids[2::4, 2::4]] / FINE).transpose(2, 0, 1)
    found[:, :2] -= places[:, None]
    found[:, 2:] -= places
    return found


def prompts(maps: np.ndarray, dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) points and (P, 3, cells, cells) uint8 quarters covered: the whole, the part and the subpart each shows."""
    regions = [np.flatnonzero(np.bincount(slot.ravel()) >= SMALLEST).tolist() for slot in maps]
    points = np.zeros((POINTS, 2), np.int64)
    for index in range(POINTS):
        if index % 4 == 3:
            points[index] = dice.whole(0, FINE - 1), dice.whole(0, FINE - 1)
        else:  # small regions get as many points as large ones
            slot = dice.whole(0, 2)
            inside = np.flatnonzero(maps[slot] == dice.pick(regions[slot]))
            y, x = divmod(int(inside[dice.whole(0, len(inside) - 1)]), FINE)
            points[index] = x, y
    wanted = maps[:, points[:, 1], points[:, 0]].T
    inside = (maps[None] == wanted[:, :, None, None]).view(np.uint8)
    covered = inside[..., ::2, ::2] + inside[..., 1::2, ::2] + inside[..., ::2, 1::2] + inside[..., 1::2, 1::2]
    return (points + 0.5) * (SIDE / FINE) - 0.5, covered
