"""EdgeTAM, SAM 2 with a convolutional encoder: a point gives the whole, the part and the subpart it lies on.

192 pixels, masks of 96 x 96 cells. Convolutions in bfloat16 are what CPUs with AMX do ten times as fast as anything
else: there a small convolutional encoder is trained on twenty views a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from scipy.ndimage import find_objects
from torch import nn
from torch.nn import functional

from fiftyone_ssa.quickstart.scenes import Node, Scene
from fiftyone_ssa.quickstart.scenes.dice import Dice
from tools.mini.crops import MEAN, STD, normalise
from tools.mini.loop import Batch, widen
from tools.mini.pool import training_scene
from tools.mini.words import part_names

SIDE, STRIDE, CHANNELS, POINTS = 192, 2, 128, 16
CELLS = SIDE // STRIDE
FINE = 2 * CELLS
"""Truth is looked up at two places a side in each of a mask's cells."""
ZOOMS = 1.0, 0.67, 0.38, 0.38
"""Of a scene's sides, or so, that its two views show: what everything-mode looks at with none, one and two
layers of crops, the last twice as often."""
VIEWS = 2
SMALLEST = 12
"""Regions of fewer such places are not pointed at."""
WIDTHS, BLOCKS = [64, 96, 160, 256], [2, 2, 3, 0]
ALIKE, PLACES, CENTRES = 12, 1024, 64
"""Of each view so many cells are asked what they show, and so many of them with which others they are one region."""
LOOK_FIRST = 1_000
"""Steps before the mask decoder joins: it learns within minutes from features that tell things apart, never before."""


class Look(nn.Module):
    """A helper of SAM in training: what the encoder's features say of each place's whole, part and subpart.

    Their likeness (places of one region have features near each other), how far it is to the region's sides, and the
    names of the whole and of the smallest part.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, width, 1)
        self.head = nn.Conv1d(width, 3 * (ALIKE + 4), 1)
        self.names = nn.Conv1d(width, 2 * len(part_names()), 1)
        self.reach = nn.Parameter(torch.full((3, 1, 1), 2.0))

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of (B, channels, P): `near` (B, 3, centres, P), `sides` (B, 3, 4, P), `names` (B, 2, names, P)."""
        mixed = functional.gelu(self.mix(features))
        alike, sides = self.head(mixed).unflatten(1, (3, -1)).split([ALIKE, 4], 2)
        names = self.names(mixed).unflatten(1, (2, -1))
        with torch.autocast(features.device.type, enabled=False):
            alike = alike.float()
            centres = alike[..., :CENTRES]
            distance = centres.square().sum(2)[..., None] + alike.square().sum(2)[:, :, None] - 2 * centres.mT @ alike
            return {"near": self.reach - distance, "sides": sides.float(), "names": names.float()}


class NoPositions(nn.Module):
    """In place of the pyramid's position codes, which the mask decoder does not take."""

    def forward(self, shape: torch.Size, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Nothing."""
        return torch.zeros((), device=device, dtype=dtype)


class Trained(nn.Module):
    """EdgeTAM and two helpers, on its finest features and on its embedding, since seeing comes before tracing."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import EdgeTamConfig, EdgeTamModel, TimmWrapperConfig

        backbone = TimmWrapperConfig(
            architecture="resnet18d",
            do_pooling=False,
            model_args={
                "features_only": True,
                "out_indices": [0, 1, 2, 3],
                "stem_width": WIDTHS[0] // 2,
                "channels": [*WIDTHS[1:], 8],
                "layers": BLOCKS,
            },
        )
        self.sam = EdgeTamModel(
            EdgeTamConfig(
                vision_config={
                    "backbone_config": backbone,
                    "backbone_channel_list": WIDTHS[::-1],
                    "backbone_feature_sizes": [[CELLS, CELLS], [CELLS // 2, CELLS // 2], [CELLS // 4, CELLS // 4]],
                    "fpn_hidden_size": CHANNELS,
                    "fpn_top_down_levels": [0, 1, 2, 3],  # fine features know what they are part of
                },
                prompt_encoder_config={
                    "hidden_size": CHANNELS,
                    "image_size": SIDE,
                    "patch_size": STRIDE * 4,
                    "mask_input_channels": 8,
                },
                mask_decoder_config={
                    "hidden_size": CHANNELS,
                    "mlp_dim": 256,
                    "num_attention_heads": 4,
                    "iou_head_hidden_dim": 128,
                },
            )
        )
        # gradients of flash attention between 576 and 8 tokens are slow
        self.sam.mask_decoder.config._attn_implementation = "eager"
        self.sam.vision_encoder.neck.position_encoding = NoPositions()
        widen(self.sam.mask_decoder)
        look_at_points(self.sam.mask_decoder)
        # many small operations, a third faster as few; compiled when first called
        self.sam.mask_decoder.forward = torch.compile(self.sam.mask_decoder.forward, dynamic=False)
        # frequencies from the whole picture's to a few cells', in half precision because that is what is shipped
        positions = self.sam.shared_image_embedding.positional_embedding
        scales = torch.logspace(-0.3, 0.8, CHANNELS // 2)
        positions.data = (torch.randn(2, CHANNELS // 2) * scales).half().float()
        self.sam.prompt_encoder.shared_embedding.positional_embedding.data = positions.data
        self.fine, self.coarse = Look(CHANNELS + 2, 96), Look(CHANNELS + 2, 128)
        self.steps: torch.Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Batch) -> dict[str, Any]:
        """What the helpers say of the batch's places; `masks` (B, P, 3, cells, cells) and `scores` (B, P, 3)."""
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            # get_image_embeddings would give the same, without gradients
            fine, middle, coarse = self.sam.vision_encoder(pixels).fpn_hidden_states
            found: dict[str, Any] = {
                "fine": self.fine(_at(fine, batch["places"])),
                "coarse": self.coarse(_at(coarse, batch["places_coarse"])),
            }
        if self.steps >= LOOK_FIRST:
            found |= self._masks(fine, middle, coarse, batch["points"])
        self.steps += 1
        return found

    def _masks(
        self, fine: torch.Tensor, middle: torch.Tensor, coarse: torch.Tensor, points: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """`masks` (B, P, 3, cells, cells) and `scores` (B, P, 3) at (B, P, 2) points; their positions in float32."""
        sparse, dense = self.sam.prompt_encoder(
            input_points=points[:, :, None],
            input_labels=torch.ones(points.shape[:2], dtype=torch.int64, device=points.device)[..., None],
            input_boxes=None,
            input_masks=None,
        )
        decoder, positions = self.sam.mask_decoder, self.sam.get_image_wide_positional_embeddings()
        with torch.autocast(points.device.type, torch.bfloat16):
            masks, scores = decoder(
                image_embeddings=coarse + self.sam.no_memory_embedding.view(1, -1, 1, 1).bfloat16(),
                image_positional_embeddings=positions.bfloat16().repeat(len(points), 1, 1, 1),
                sparse_prompt_embeddings=sparse.bfloat16(),
                dense_prompt_embeddings=dense.bfloat16(),
                multimask_output=True,
                high_resolution_features=[decoder.conv_s0(fine), decoder.conv_s1(middle)],
            )[:2]
        return {"masks": masks, "scores": scores.float()}


class SamStage:
    """Trains `mini/sam`."""

    name = "sam"
    about = "An EdgeTAM (`EdgeTamModel`, a ResNet): a point gives its whole, part and subpart."
    steps = 3_400
    batch_size = 6
    learning_rate = 3e-3
    muon = True
    splits = True

    def build(self) -> nn.Module:
        """EdgeTAM with its helpers."""
        return Trained()

    def batch(self, draws: list[int]) -> Batch:
        """Two views of each scene: pixels (B, 3, side, side), points (B, P, 2) with their masks' quarters, and truth.

        `places` (B, PLACES) are cells, small regions' as often as large ones', `regions` (B, 3, PLACES) the ids of the
        whole, the part and the subpart there, `names` (B, 2, PLACES) of the first and the last, `sides`
        (B, 3, 4, PLACES); `_coarse` the same of the embedding's cells.
        """
        views = [_view(draw, index) for draw in draws for index in range(VIEWS)]
        batch: Batch = {key: torch.from_numpy(np.stack([one[key] for one in views])) for key in views[0]}
        return batch | {"pixels": normalise(batch["pixels"].permute(0, 3, 1, 2), MEAN, STD)}

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """The helpers' losses, and the masks' and their scores' from when they are asked for."""
        found = model(batch)
        losses: dict[str, torch.Tensor] = {}
        figures: dict[str, float] = {}
        for name, end, share in (("fine", "", 1.0), ("coarse", "_coarse", 0.3)):
            regions, sides = batch["regions" + end], batch["sides" + end]
            same = (regions[..., :CENTRES, None] == regions[:, :, None]).float()
            near, alike = _region_loss(found[name]["near"], same)
            long = (sides[:, :, 1::2] - sides[:, :, ::2]).repeat_interleave(2, 2)
            losses[f"near {name}"] = share * near
            losses[f"sides {name}"] = share * ((found[name]["sides"] - sides).abs() / (long + 0.03)).mean()
            names = functional.cross_entropy(found[name]["names"].transpose(1, 2), batch["names" + end])
            losses[f"names {name}"] = 0.5 * share * names
            figures |= _found_75(f"near {name}", alike.transpose(1, 2))
        if "masks" in found:
            losses["masks"], iou = _mask_loss(found["masks"].float(), batch["targets"] / 4)
            losses["scores"] = functional.mse_loss(found["scores"], iou)
            figures |= _found_75("mask", iou)
        total = torch.stack(list(losses.values())).sum()
        return total, {"loss": total.item(), **{key: loss.item() for key, loss in losses.items()}, **figures}

    def save(self, model: Any, folder: Path) -> None:
        """As `EdgeTamModel.from_pretrained` and `Sam2ImageProcessor` read it."""
        from transformers import Sam2ImageProcessor

        model.sam.half().save_pretrained(folder)
        Sam2ImageProcessor(
            size={"height": SIDE, "width": SIDE}, mask_size={"height": CELLS, "width": CELLS}
        ).save_pretrained(folder)


def _at(features: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(B, channels + 2, P): (B, channels, H, W) features at (B, P) places, and where these are, from -1 to 1."""
    batch, _, height, width = features.shape
    where = torch.stack([places % width, places // width], 2) * (2 / width) + (1 / width - 1)
    rows = places + torch.arange(batch, device=places.device)[:, None] * (height * width)
    chosen = features.permute(0, 2, 3, 1).flatten(0, 2)[rows]
    return torch.cat([chosen, where.to(chosen.dtype)], 2).mT


def _region_loss(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of (B, 3, P, cells) masks of wholes, parts and subparts, and the (B, 3, P) IoU of each.

    Dice, and cross-entropy: plain; with the inside and the outside of each mask counted alike, as small ones would stay
    empty without; and the same between a part and what else its whole has, as that is what parts are taken for.
    """
    whole = target[:, :1]
    inside, outside, beside = target, 1 - target, (1 - target) * whole
    shares = [cells / cells.sum(-1, keepdim=True).clamp(min=1) for cells in (inside, outside, beside)]
    weights = 0.5 * (shares[0] + shares[1])
    weights = weights + 0.25 * (shares[0] + shares[2]) * (beside.sum(-1, keepdim=True) > 0)
    entropy, dice, iou = _entropy_dice_iou(logits, target)
    return entropy.mean() + (entropy * weights).sum(-1).mean() + dice.mean(), iou


def _mask_loss(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of (B, P, 3, cells, cells) masks, and the (B, P, 3) IoU of each.

    Dice and cross-entropy: over the view, and over the surroundings of each mask, where inside and outside weigh alike
    by the cell. Weighed alike as a whole (`_region_loss`), small masks come out two or three times as large as true.
    """
    near = _surroundings(target.sum(4) > 0)[..., None] & _surroundings(target.sum(3) > 0)[..., None, :]
    near = near.flatten(3)
    entropy, dice, iou = _entropy_dice_iou(logits.flatten(3), target.flatten(3))
    return entropy.mean() + ((entropy * near).sum(-1) / near.sum(-1)).mean() + 2 * dice.mean(), iou


def _entropy_dice_iou(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy (..., cells), dice loss (...) and IoU (...) of (..., cells) logits."""
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    covered = logits.sigmoid()
    dice = 1 - (2 * (covered * target).sum(-1) + 1) / (covered.sum(-1) + target.sum(-1) + 1)
    found, truth = logits > 0, target >= 0.5
    iou = (found & truth).sum(-1) / (found | truth).sum(-1).clamp(min=1)
    return entropy, dice, iou


def _surroundings(seen: torch.Tensor) -> torch.Tensor:
    """(..., cells) bool: from the first that is seen to the last, and half as far again on either side."""
    cells = seen.shape[-1]
    first, last = seen.byte().argmax(-1, keepdim=True), cells - 1 - seen.flip(-1).byte().argmax(-1, keepdim=True)
    reach = (last - first + 1) / 2 + 2
    places = torch.arange(cells, device=seen.device)
    return (places >= first - reach) & (places <= last + reach)


def _found_75(what: str, iou: torch.Tensor) -> dict[str, float]:
    """Shares of (B, P, 3) IoU above 0.75, by slot."""
    shares = (iou > 0.75).float().mean((0, 1)).tolist()
    return {f"{what} {slot}": share for slot, share in zip(("whole", "part", "sub"), shares, strict=True)}


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


def _view(draw: int, index: int) -> dict[str, np.ndarray]:
    """One view of a scene and everything that is asked of it."""
    dice, random = Dice(draw, index + 1), np.random.default_rng((draw, index))
    scene = training_scene(draw)
    image, leaves = view(scene, dice, dice.pick(ZOOMS))
    maps = slots(scene.nodes)[:, leaves]
    points, targets = prompts(maps, dice)
    names = np.array([part_names().index(node.name) for node in scene.nodes])
    found = boxes(maps, len(scene.nodes))
    asked: dict[str, np.ndarray] = {"pixels": image, "points": points.astype(np.float32), "targets": targets}
    for end, step in (("", 2), ("_coarse", 8)):
        cells = maps[:, step // 2 :: step, step // 2 :: step]
        chosen = places(cells, random)
        regions = cells.reshape(3, -1)[:, chosen]
        asked |= {
            f"places{end}": chosen,
            f"regions{end}": regions,
            f"names{end}": names[regions[::2]],
            f"sides{end}": sides(found, regions, chosen, step),
        }
    return asked


def view(scene: Scene, dice: Dice, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A part of a scene, this share of its sides or so: (side, side, 3) pixels and (FINE, FINE) node ids."""
    spans = []
    for side in scene.size_hw:
        long = min(int(side * share * dice.between(0.85, 1.15)), side)
        start = dice.whole(0, side - long)
        spans.append((start, start + long))
    (top, bottom), (left, right) = spans
    image = Pillow.fromarray(scene.image[top:bottom, left:right]).resize((SIDE, SIDE), Pillow.Resampling.BILINEAR)
    rows, columns = ((np.arange(FINE) * 2 + 1) * (stop - start) // (2 * FINE) + start for start, stop in spans)
    return np.array(image), scene.leaves[rows[:, None], columns].astype(np.int64)


def slots(nodes: tuple[Node, ...]) -> np.ndarray:
    """(3, nodes) ids of the whole, the part and the subpart that each node is or belongs to."""
    chains: list[list[int]] = []
    for node in nodes:  # parts come after what they are parts of
        chains.append([*(chains[node.parent] if node.parent >= 0 else ()), node.id])
    return np.array([[chain[min(slot, len(chain) - 1)] for chain in chains] for slot in range(3)])


def places(regions: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(PLACES,) cells of (3, H, W) regions, small regions' as often as large ones'."""
    weights = np.full(regions[0].size, 1e-9)
    for ids in regions.reshape(3, -1):
        sizes = np.bincount(ids)
        weights += (sizes[ids] >= 3) / sizes[ids] / np.count_nonzero(sizes)
    return random.choice(len(weights), PLACES, p=weights / weights.sum())


def boxes(maps: np.ndarray, nodes: int) -> np.ndarray:
    """(3, nodes, 4) float32: where each region of (3, FINE, FINE) ids starts and stops, rows first; 0 if unseen."""
    found = np.zeros((3, nodes, 4), np.float32)
    for slot, ids in enumerate(maps):
        for node, where in enumerate(find_objects(ids + 1)):
            if where is not None:
                found[slot, node] = where[0].start, where[0].stop, where[1].start, where[1].stop
    return found


def sides(found: np.ndarray, regions: np.ndarray, chosen: np.ndarray, step: int) -> np.ndarray:
    """(3, 4, PLACES) float32: how far it is from each place to the sides of its region's box, of the view's."""
    away = np.stack([of_slot[ids].T for of_slot, ids in zip(found, regions, strict=True)])
    width = FINE // step
    away[:, :2] -= (chosen // width + 0.5) * step
    away[:, 2:] -= (chosen % width + 0.5) * step
    return away / FINE


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
