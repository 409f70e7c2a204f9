"""Small random networks as their authors' checkpoints hold them: names of tensors, and what lies around them.

The names are those of `segment_anything_hq` 0.3 (SAM-HQ, TinyViT) and `sam2` 1.1.0; what loads here was compared with
these packages' own networks of full size (docs/models.md).
"""

from __future__ import annotations

import re
from typing import Any

import torch
import transformers
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from timm.models.tiny_vit import TinyVit
from torch import nn

from fiftyone_ssa.models import sam2_checkpoint
from tests.models.tiny_sam import randomize

Weights = dict[str, torch.Tensor]
TINY_SAM2 = {"global_attention_blocks": [4], "windows": [4, 4, 4, 4], "side": 128}
"""What cannot be told of `tiny_sam_hub`'s SAM 2, as `sam2_checkpoint.SIZES` has it of published ones."""


class TinyVitSam(nn.Module):
    """MobileSAM, or SAM-HQ's light model: timm's TinyViT with the last stage's stride of 1, and SAM's parts."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.body: Any = TinyVit(
            num_classes=5, embed_dims=(8, 8, 16, 16), num_heads=(1, 1, 2, 2), window_sizes=(7, 7, 14, 7)
        )
        self.body.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(16, 32, 1, bias=False),
            LayerNorm2d(32),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            LayerNorm2d(32),
        )
        self.prompt_encoder = PromptEncoder(32, (64, 64), (1024, 1024), mask_in_chans=8)
        self.mask_decoder = decoder
        randomize(self, seed=0)
        generator = torch.Generator().manual_seed(1)
        for name, buffer in self.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1, generator=generator)
        self.eval()

    def embed(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of (1, 3, 1024, 1024) normalised pixels: (1, 32, 64, 64), and the third stage's (1, 64, 64, 16) beginning."""
        kept = []
        hook = self.body.stages[2].downsample.register_forward_hook(lambda _, __, found: kept.append(found))
        found = self.neck(self.body.forward_features(pixels))
        hook.remove()
        return found, kept[0].permute(0, 2, 3, 1)

    def checkpoint(self) -> Weights:
        """Names as in `mobile_sam.pt` and `sam_hq_vit_tiny.pth`."""
        renamed = {}
        for name, tensor in self.state_dict().items():
            name = name.replace("body.patch_embed.conv1.", "body.patch_embed.seq.0.")
            name = name.replace("body.patch_embed.conv2.", "body.patch_embed.seq.2.")
            name = name.replace("body.head.norm.", "body.norm_head.").replace("body.head.fc.", "body.head.")
            if moved := re.match(r"body\.stages\.(\d)\.downsample\.(.*)", name):
                name = f"body.layers.{int(moved[1]) - 1}.downsample.{moved[2]}"
            name = name.replace("body.stages.", "body.layers.")
            if name.startswith("body."):
                name = "image_encoder." + name.removeprefix("body.").replace(".conv.", ".c.")
            renamed[name.replace("neck.", "image_encoder.neck.") if name.startswith("neck.") else name] = tensor
        return renamed


def decoder() -> MaskDecoder:
    """segment_anything's own, shrunk."""
    return MaskDecoder(transformer=_transformer(), transformer_dim=32, iou_head_hidden_dim=16)


class HQDecoder(MaskDecoder):
    """SAM-HQ's decoder as its paper describes it: a token more, and features of three places joined for its mask."""

    def __init__(self, vit_dim: int) -> None:
        super().__init__(transformer=_transformer(), transformer_dim=32, iou_head_hidden_dim=16)
        self.hf_token = nn.Embedding(1, 32)
        self.hf_mlp = MLP(32, 32, 4, 3)
        self.compress_vit_feat = _twice(vit_dim, 32, 4)
        self.embedding_encoder = _twice(32, 8, 4)
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(4, 8, 3, 1, 1), LayerNorm2d(8), nn.GELU(), nn.Conv2d(8, 4, 3, 1, 1)
        )

    def masks(
        self, embeddings: torch.Tensor, positions: torch.Tensor, points: torch.Tensor, early: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, 1, 4 h, 4 w) logits and (P, 1) predicted IoU of (P, S, 32) prompts, one point after another."""
        fine = self.embedding_encoder(embeddings) + self.compress_vit_feat(early.permute(0, 3, 1, 2))
        found = []
        for point in points:
            tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight, self.hf_token.weight, point])[None]
            tokens, cells = self.transformer(embeddings, positions, tokens)
            cells = self.output_upscaling(cells.mT.reshape(embeddings.shape))
            scores = self.iou_prediction_head(tokens[:, 0])[0, 1:]
            best = int(scores.argmax()) + 1
            mask = torch.einsum("oc,ochw->ohw", self.output_hypernetworks_mlps[best](tokens[:, 1 + best]), cells)
            finer = torch.einsum("oc,ochw->ohw", self.hf_mlp(tokens[:, 5]), self.embedding_maskfeature(cells) + fine)
            found.append((mask + finer, scores[best - 1 : best]))
        return torch.stack([masks for masks, _ in found]), torch.stack([scores for _, scores in found])


def _transformer() -> TwoWayTransformer:
    return TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=8)


def _twice(inner: int, middle: int, outer: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inner, middle, 2, 2), LayerNorm2d(middle), nn.GELU(), nn.ConvTranspose2d(middle, outer, 2, 2)
    )


def sam2_checkpoint_of(model: transformers.Sam2Model) -> dict[str, Weights]:
    """What facebookresearch's `.pt` would hold of a SAM 2: names as in `sam2`, and parts for video beside it."""
    renamed: Weights = {}
    for name, tensor in model.state_dict().items():
        if name == "prompt_encoder.point_embed.weight":
            renamed |= {
                f"sam_prompt_encoder.point_embeddings.{kind}.weight": tensor[kind : kind + 1] for kind in range(4)
            }
        elif not name.startswith("shared_image_embedding"):
            renamed[_sam2_name(name)] = tensor.clone()
    video = ("memory_attention.norm.weight", "memory_encoder.out_proj.weight", "maskmem_tpos_enc", "no_mem_pos_enc")
    video += ("mask_downsample.weight", "obj_ptr_proj.layers.0.weight", "obj_ptr_tpos_proj.weight")
    video += ("no_obj_ptr", "no_obj_embed_spatial")
    return {"model": renamed | {name: torch.zeros(2) for name in video}}


def _sam2_name(name: str) -> str:
    for pattern, old in (
        (r"^no_memory_embedding", "no_mem_embed"),
        (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
        (r"^vision_encoder\.neck\.convs\.(\d)\.", r"image_encoder.neck.convs.\1.conv."),
        (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
        (r"patch_embed\.projection", "patch_embed.proj"),
        (r"shared_embedding\.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
        (r"mask_embed\.conv1", "mask_downscaling.0"),
        (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
        (r"mask_embed\.conv2", "mask_downscaling.3"),
        (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
        (r"mask_embed\.conv3", "mask_downscaling.6"),
        (r"upscale_conv1", "output_upscaling.0"),
        (r"upscale_layer_norm", "output_upscaling.1"),
        (r"upscale_conv2", "output_upscaling.3"),
        (r"\.layer_norm_final_attn", ".norm_final_attn"),
        (r"\.layer_norm(\d)", r".norm\1"),
        (r"\.o_proj", ".out_proj"),
        (r"\.mlp\.proj_in", ".mlp.layers.0"),
        (r"\.mlp\.proj_out", ".mlp.layers.1"),
        (r"\.layers\.0\.(weight|bias)$", r".layers.1.\1") if re.search(r"(mlps\.\d|head)\.layers", name) else ("$", ""),
        (r"\.proj_in\.", ".layers.0."),
        (r"\.proj_out\.", ".layers.2."),
    ):
        name = re.sub(pattern, old, name)
    return name


def register_tiny_sam2(monkeypatch: Any) -> None:
    """Let `tiny_sam_hub`'s SAM 2 be known by its sizes."""
    monkeypatch.setitem(sam2_checkpoint.SIZES, (16, (1, 2, 2, 1)), TINY_SAM2)
