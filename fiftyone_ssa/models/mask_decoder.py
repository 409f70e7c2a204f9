"""A SAM's mask decoder for many points in one image: half of transformers' multiplications and few of its copies.

A point brings about eight tokens, an image hundreds or thousands of cells, and transformers projects all cells for each
point. Attention needs only products of the two, and (A x) . (B y) = (B' A x) . y: so the tokens are projected twice and
the cells not at all, and as long as the cells are the image's own they are multiplied with all points' tokens at once.
Enlarging is two products of rows, since its kernels do not overlap; only the masks are put in the order of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional


class PointDecoder:
    """Answers what `decoder`, SAM's or that of SAM 2 and its successors, answers to points in one image."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        parts = ("obj_score_token", "iou_token", "mask_tokens", "hq_token")
        own = [getattr(decoder, part).weight for part in parts if hasattr(decoder, part)]
        self.tokens = torch.cat(own)
        self.masks_from = len(self.tokens) - decoder.num_mask_tokens
        self.networks = list(decoder.output_hypernetworks_mlps)[1:]  # without the single mask for many points

    def __call__(
        self,
        image_embeddings: torch.Tensor,
        image_positional_embeddings: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
        high_resolution_features: Sequence[torch.Tensor] = (),
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, P, 3, 4 h, 4 w) logits and (1, P, 3) predicted IoU.

        Of (1, C, h, w) embeddings and positions, (1, P, S, C) sparse prompts, and (1, C / 8, 4 h, 4 w) and
        (1, C / 4, 2 h, 2 w) fine features where the model has them.
        """
        tokens, cells = self._transform(
            image_embeddings + dense_prompt_embeddings, image_positional_embeddings, sparse_prompt_embeddings
        )
        asked = tokens[:, self.masks_from + 1 :]
        weights = torch.stack([network(asked[:, index]) for index, network in enumerate(self.networks)], 1)
        masks = weights @ self._enlarged(cells, high_resolution_features).mT
        scores = self.decoder.iou_prediction_head(tokens[:, self.masks_from - 1])[:, 1:]
        return _in_pixel_order(masks, image_embeddings.shape[2:])[None], scores[None]

    def _transform(
        self, embeddings: torch.Tensor, positions: torch.Tensor, prompts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, T, C) tokens and (P, N, C) cells of the image, as they have seen each other."""
        points = prompts[0]
        tokens = torch.cat([self.tokens.expand(len(points), -1, -1), points], 1)
        cells, places = (grid[0].flatten(1).mT for grid in (embeddings, positions))
        return two_way(self.decoder.transformer, tokens, cells, places)

    def _enlarged(self, cells: torch.Tensor, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """(P, 16 N, C / 8): the (P, N, C) cells' quarters' quarters, cell by cell."""
        decoder, points = self.decoder, len(cells)
        quarters = _upsample_2x(decoder.upscale_conv1, cells)
        if features:
            fine, middle = (grid[0] for grid in features)
            height, width = (side // 2 for side in middle.shape[1:])
            quarters += middle.reshape(-1, height, 2, width, 2).permute(1, 3, 2, 4, 0).flatten(0, 3)
        norm = decoder.upscale_layer_norm
        quarters = functional.layer_norm(quarters, norm.weight.shape, norm.weight, norm.bias, norm.eps)
        small = _upsample_2x(decoder.upscale_conv2, decoder.activation(quarters))
        if features:
            fine = fine.reshape(-1, height, 2, 2, width, 2, 2)
            small += fine.permute(1, 4, 2, 5, 3, 6, 0).flatten(0, 5)
        enlarged: torch.Tensor = decoder.activation(small)
        return enlarged.view(points, -1, enlarged.shape[-1])


class HQPointDecoder(PointDecoder):
    """SAM-HQ's: to a point one mask, the best of SAM's three and its own finer one added, as its authors decode.

    transformers' SamHQMaskDecoder (4.52 to 5.23) throws away what its transformer makes of the image's cells, and draws
    masks on the untouched ones, turned by their diagonal; and it adds the finer mask to all three.
    """

    def __call__(
        self,
        image_embeddings: torch.Tensor,
        image_positional_embeddings: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
        high_resolution_features: Sequence[torch.Tensor] = (),
        intermediate_embeddings: Sequence[torch.Tensor] = (),
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, P, 1, 4 h, 4 w) logits and (1, P, 1) predicted IoU; `intermediate_embeddings` begin with (1, h, w, D)."""
        decoder, size_hw = self.decoder, image_embeddings.shape[2:]
        tokens, cells = self._transform(
            image_embeddings + dense_prompt_embeddings, image_positional_embeddings, sparse_prompt_embeddings
        )
        asked = tokens[:, self.masks_from + 1 :]
        scores, best = decoder.iou_prediction_head(tokens[:, self.masks_from - 1])[:, 1:].max(1, keepdim=True)
        every = torch.stack([network(asked[:, index]) for index, network in enumerate(self.networks)], 1)
        weights = every.gather(1, best[..., None].expand(-1, 1, every.shape[2]))
        enlarged = _in_pixel_order(self._enlarged(cells, ()).mT, size_hw)
        masks = torch.einsum("poc,pchw->pohw", weights, enlarged)
        found = decoder.mask_conv2(decoder.activation(decoder.mask_norm(decoder.mask_conv1(enlarged))))
        finer = found + self._fine_features(image_embeddings, intermediate_embeddings[0])
        fine_weights = decoder.hq_mask_mlp(asked[:, len(self.networks)])
        masks = masks + torch.einsum("pc,pchw->phw", fine_weights, finer)[:, None]
        return masks[None], scores[None]

    def _fine_features(self, embeddings: torch.Tensor, early: torch.Tensor) -> torch.Tensor:
        """(1, C / 8, 4 h, 4 w) of the image alone."""
        decoder = self.decoder
        late = decoder.encoder_conv2(decoder.activation(decoder.encoder_norm(decoder.encoder_conv1(embeddings))))
        early = decoder.compress_vit_conv1(early.permute(0, 3, 1, 2))
        compressed = decoder.activation(decoder.compress_vit_norm(early))
        features: torch.Tensor = late + decoder.compress_vit_conv2(compressed)
        return features


def _in_pixel_order(values: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
    """(P, M, 4 h, 4 w) of (P, M, 16 N): a cell's quarters' quarters, in the order of pixels."""
    height, width = size_hw
    cells = values.view(*values.shape[:2], height, width, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
    return cells.reshape(*values.shape[:2], 4 * height, 4 * width)


def two_way(
    transformer: Any, tokens: torch.Tensor, cells: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(P, T, C) tokens and (P, N, C) cells, by the decoder's transformer, of (P, T, C), and (N, C) cells and places."""
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = _self_attention(layer.self_attn, queries, queries)
        else:
            queries = queries + _self_attention(layer.self_attn, queries + tokens, queries)
        queries = layer.layer_norm1(queries)
        seen = cells + places
        found = _tokens_to_cells(layer.cross_attn_token_to_image, queries + tokens, seen, cells)
        queries = layer.layer_norm2(queries + found)
        queries = layer.layer_norm3(queries + layer.mlp(queries))
        cells = layer.layer_norm4(
            _cells_to_tokens(layer.cross_attn_image_to_token, cells, seen, queries + tokens, queries)
        )
    found = _tokens_to_cells(transformer.final_attn_token_to_image, queries + tokens, cells + places, cells)
    return transformer.layer_norm_final_attn(queries + found), cells


def _self_attention(attention: Any, queries: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """(P, T, C): each point's tokens attend to one another."""
    found: torch.Tensor = attention(query=queries[None], key=queries[None], value=values[None])[0][0]
    return found


def _tokens_to_cells(attention: Any, queries: torch.Tensor, seen: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """(P, T, C) tokens of the (N, C) or (P, N, C) cells they attend to; `seen` are the cells with their places."""
    heads = attention.num_attention_heads
    asked = attention.q_proj(queries).unflatten(2, (heads, -1)) * attention.scaling
    rows = torch.einsum("pthd,hdc->phtc", asked, attention.k_proj.weight.unflatten(0, (heads, -1)))
    # the keys' bias is the same for all cells, so that the softmax takes it out
    shares = (rows.flatten(1, 2) @ seen.mT).softmax(2)
    pooled = (shares @ cells).view(len(queries), heads, -1, cells.shape[-1])
    found = torch.einsum("phtc,hdc->pthd", pooled, attention.v_proj.weight.unflatten(0, (heads, -1)))
    answer: torch.Tensor = _out(attention)(found.flatten(2) + attention.v_proj.bias)
    return answer


def _cells_to_tokens(
    attention: Any, cells: torch.Tensor, seen: torch.Tensor, tokens: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """(P, N, C): the cells, and what they gather of each point's (P, T, C) tokens."""
    heads, out = attention.num_attention_heads, _out(attention)
    keys = attention.k_proj(tokens).unflatten(2, (heads, -1)) * attention.scaling
    rows = torch.einsum("pthd,hdc->phtc", keys, attention.q_proj.weight.unflatten(0, (heads, -1)))
    shift = torch.einsum("pthd,hd->pht", keys, attention.q_proj.bias.unflatten(0, (heads, -1)))
    scores = (rows.flatten(1, 2) @ seen.mT).view(*shift.shape, -1) + shift[..., None]
    shares = scores.softmax(2).flatten(1, 2)
    spoken = attention.v_proj(values).unflatten(2, (heads, -1))
    told = torch.einsum("pthd,chd->phtc", spoken, out.weight.unflatten(1, (heads, -1)))
    told = told.flatten(1, 2) + out.bias / heads  # each head's shares sum to 1
    return torch.baddbmm(cells.expand(len(told), -1, -1), shares.mT, told)


def _out(attention: Any) -> Any:
    """The last projection, which SAM 1 and its successors name differently."""
    return attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj


def _upsample_2x(convolution: Any, cells: torch.Tensor) -> torch.Tensor:
    """(P, 4 N, D) quarters of (P, N, C) cells, by a transposed convolution with kernels of 2 x 2."""
    weight = convolution.weight.permute(0, 2, 3, 1).flatten(1)
    return torch.addmm(convolution.bias.repeat(4), cells.flatten(0, 1), weight).view(
        len(cells), -1, convolution.out_channels
    )
