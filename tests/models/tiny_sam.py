"""Small stand-ins for published SAMs: random models of the real architectures, and one that answers with blobs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from fiftyone_ssa.models.found_masks import Encoding
from fiftyone_ssa.models.lowres import Frame
from fiftyone_ssa.types import Floats, Image

SIDE = 128


def segment_anything_sam(seed: int = 0) -> Sam:
    """segment_anything's own modules, shrunk: 128 pixels a side, logits of 32 x 32."""
    torch.manual_seed(seed)
    sam = Sam(
        image_encoder=ImageEncoderViT(
            depth=3,
            embed_dim=32,
            img_size=SIDE,
            mlp_ratio=2,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=2,
            patch_size=16,
            use_rel_pos=True,
            global_attn_indexes=(1,),
            window_size=3,
            out_chans=32,
        ),
        prompt_encoder=PromptEncoder(32, (SIDE // 16, SIDE // 16), (SIDE, SIDE), mask_in_chans=8),
        mask_decoder=MaskDecoder(
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=8),
            transformer_dim=32,
            iou_head_hidden_dim=16,
        ),
    ).eval()
    randomize(sam, seed)
    return sam


def randomize(model: nn.Module, seed: int) -> None:
    """Weights that make masks of different points differ, which initial weights do not."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2, generator=generator)


class _Points(nn.Module):
    """Hands the points through, in the decoder's cells."""

    def forward(self, points: Any, boxes: None, masks: None) -> tuple[torch.Tensor, None]:
        return points[0][:, 0].float() / 4, None

    def get_dense_pe(self) -> None:
        return None


class _Blobs(nn.Module):
    """Logits of ellipses around 40 fixed places, with holes and specks: each point gets its nearest, in three sizes."""

    def forward(
        self, sparse_prompt_embeddings: torch.Tensor, image_embeddings: torch.Tensor, **_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cells = SIDE // 4
        rng = np.random.default_rng(7)
        centres = torch.tensor(rng.uniform(0, cells, (40, 2)), dtype=torch.float32)
        radii = torch.tensor(rng.uniform(2, 7, (40, 2)), dtype=torch.float32)
        noise = torch.tensor(rng.normal(0, 1, (40, cells, cells)), dtype=torch.float32)
        points = sparse_prompt_embeddings
        nearest = torch.cdist(points, centres).argmin(1)
        where = torch.stack(torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="xy"), -1) + 0.5
        away = ((where - centres[nearest][:, None, None]) / radii[nearest][:, None, None]).norm(dim=-1)
        sizes = torch.tensor([0.6, 1.0, 1.5])[None, :, None, None]
        # the image shifts the scores a little, so that crops answer differently
        logits = (sizes - away[:, None]) * 8 + 2.0 * noise[nearest][:, None] + image_embeddings.mean()
        closeness = torch.exp(-(points - centres[nearest]).norm(dim=1) / cells)
        return logits, closeness[:, None] * torch.tensor([0.9, 1.0, 0.95])


class _Brightness(nn.Module):
    img_size = SIDE

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((1, 2, 3), keepdim=True)


def blob_sam() -> Sam:
    """A Sam whose masks are what everything-mode meets in life: local, duplicated, with holes and islands."""
    return Sam(_Brightness(), _Points(), _Blobs()).eval()


class SegmentAnything:
    """segment_anything's own modules as a PointModel, step by step as its predictor runs them."""

    device = torch.device("cpu")

    def __init__(self, sam: Sam) -> None:
        from segment_anything import SamPredictor

        self.predictor = SamPredictor(sam)
        self.side = self.predictor.model.image_encoder.img_size

    def encode_all(self, images: Sequence[Image]) -> list[Encoding]:
        return [self.encode(image) for image in images]

    def encode(self, image: Image) -> Encoding:
        self.predictor.set_image(image)
        frame = Frame(self.predictor.original_size, self.predictor.input_size, self.side, by_input=True)
        return Encoding(self.predictor.features, frame)

    def decode(self, encoding: Encoding, points_xy: Floats, from_iou: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
        model = self.predictor.model
        points = torch.as_tensor(encoding.frame.to_input(points_xy))[:, None]
        sparse, dense = model.prompt_encoder(
            points=(points, torch.ones(points.shape[:2], dtype=torch.int)), boxes=None, masks=None
        )
        return model.mask_decoder(
            image_embeddings=encoding.features,
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
