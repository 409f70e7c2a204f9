"""A SAM's mask decoder for many points in one image: a third of transformers' multiplications and few of its copies.

A point brings about eight tokens, an image hundreds or thousands of cells, and transformers projects all cells for each
point. As long as the cells are the image's own, they are projected once an image. Afterwards attention needs only
products of the two, and (A x) . (B y) = (B' A x) . y: so the tokens are projected twice and the cells not at all.
Enlarging is two products of rows, since its kernels do not overlap; only the masks are put in the order of pixels.
Predicted IoU needs no mask, so a point whose masks all fall below what is wanted is not enlarged. Cells are worked on
some at a time, so that what is made of them stays in the processor's caches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

PAIRS = {4: torch.int64, 2: torch.int32}
"""What two numbers of so many bytes are as one."""
STRIP_NUMBERS = 1 << 17
"""Numbers of cells (of all points together) that are worked on at a time on a CPU: half a MB, and enlarged 1 MB."""


@dataclass(frozen=True, eq=False)
class Cells:
    """An image's cells as the decoder sees them, whatever it is asked."""

    values: torch.Tensor
    """(N, C)."""
    places: torch.Tensor
    """(N, C)."""
    size_hw: tuple[int, int]
    """N as rows and columns."""
    keys: torch.Tensor
    """(heads, D, N) for tokens that attend to cells no point has changed."""
    spoken: torch.Tensor
    """(heads, N, D) what such tokens gather."""
    asked: torch.Tensor
    """(heads, D, N) for such cells when they attend to tokens."""
    middle: torch.Tensor
    """(N, 4 C / 4) or (1, C): what enlarging adds to each cell's quarters."""
    fine: torch.Tensor
    """(N, 16 C / 8) or (1, 2 C): what it adds to their quarters."""
    finest: torch.Tensor | None = None
    """(1, C / 8, 4 h, 4 w) of SAM-HQ: what its own mask is drawn on."""


class PointDecoder:
    """Answers what `decoder`, SAM's or that of SAM 2 and its successors, answers to points in one image."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        parts = ("obj_score_token", "iou_token", "mask_tokens", "hq_token")
        own = [getattr(decoder, part).weight for part in parts if hasattr(decoder, part)]
        self.tokens = torch.cat(own)
        self.masks_from = len(self.tokens) - decoder.num_mask_tokens
        self.networks = list(decoder.output_hypernetworks_mlps)[1:]  # without the single mask for many points
        self._enlarging = [_kernels(decoder.upscale_conv1, 1), _kernels(decoder.upscale_conv2, 4)]

    def cells(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        features: Sequence[torch.Tensor] = (),
        finest: torch.Tensor | None = None,
    ) -> Cells:
        """What is the same for all points.

        Of (1, C, h, w) embeddings, the dense prompt's added, and positions, and (1, C / 8, 4 h, 4 w) and
        (1, C / 4, 2 h, 2 w) fine features where the model has them.
        """
        size_hw = (embeddings.shape[2], embeddings.shape[3])
        values, places = (grid[0].flatten(1).mT.contiguous() for grid in (embeddings, positions))
        layer = self.decoder.transformer.layers[0]
        inward, outward = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        seen = values + places
        middle, fine = (kernels[1][None] for kernels in self._enlarging)
        if features:
            (height, width), (finest, finer) = size_hw, (grid[0] for grid in features)
            quarters = finer.view(-1, height, 2, width, 2).permute(1, 3, 2, 4, 0)
            middle = middle + quarters.reshape(len(values), -1)
            fine = fine + finest.view(-1, height, 2, 2, width, 2, 2).permute(1, 4, 2, 5, 3, 6, 0).reshape(
                len(values), -1
            )
        return Cells(
            values,
            places,
            size_hw,
            keys=_of_heads(inward, inward.k_proj(seen)).mT.contiguous(),
            spoken=_of_heads(inward, inward.v_proj(values)).contiguous(),
            asked=_of_heads(outward, outward.q_proj(seen)).mT.contiguous(),
            middle=middle,
            fine=fine,
            finest=finest,
        )

    def __call__(
        self, cells: Cells, prompts: torch.Tensor, from_iou: float = -math.inf
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, 3, 4 h, 4 w) logits and (P, 3) predicted IoU, of an image's cells and (P, S, C) prompts.

        Logits are -1 at a point whose masks all have a predicted IoU below `from_iou`.
        """
        tokens, strips = self._transform(cells, prompts)
        scores = self._scores(tokens)
        wanted = (scores >= from_iou).any(1)
        if wanted.all():
            return self._masks(cells, tokens, strips), scores
        height, width = cells.size_hw
        masks = scores.new_full((*scores.shape, 4 * height, 4 * width), -1)
        if wanted.any():
            masks[wanted] = self._masks(cells, tokens[wanted], [strip[wanted] for strip in strips])
        return masks, scores

    def _scores(self, tokens: torch.Tensor) -> torch.Tensor:
        """(P, 3) predicted IoU."""
        scores: torch.Tensor = self.decoder.iou_prediction_head(tokens[:, 0])[:, 1:]
        return scores

    def _masks(self, cells: Cells, tokens: torch.Tensor, strips: list[torch.Tensor]) -> torch.Tensor:
        """(P, 3, 4 h, 4 w) logits."""
        weights = self._weights(tokens)
        seen = torch.cat([weights @ enlarged.mT for enlarged in self._enlarged(cells, strips)], 2)
        return _in_pixel_order(seen, cells.size_hw)

    def _weights(self, tokens: torch.Tensor) -> torch.Tensor:
        """(P, 3, C / 8)."""
        return torch.stack([network(tokens[:, 1 + index]) for index, network in enumerate(self.networks)], 1)

    def _transform(self, cells: Cells, prompts: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(P, T, C) the tokens of IoU and of each mask but the single one, and (P, n, C) cells strip by strip."""
        transformer = self.decoder.transformer
        tokens = torch.cat([self.tokens.expand(len(prompts), -1, -1), prompts], 1)
        queries, strips = _first_layer(transformer.layers[0], tokens, cells)
        places = torch.split(cells.places, [strip.shape[1] for strip in strips])
        for layer in list(transformer.layers)[1:]:
            queries, strips = _layer(layer, queries, tokens, strips, places)
        needed = [self.masks_from - 1, *range(self.masks_from + 1, len(self.tokens))]
        queries, tokens = queries[:, needed], tokens[:, needed]
        found = _tokens_to_cells(transformer.final_attn_token_to_image, queries + tokens, strips, places)
        return transformer.layer_norm_final_attn(queries + found), strips

    def _enlarged(self, cells: Cells, strips: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """(P, 16 n, C / 8): the (P, n, C) cells' quarters' quarters, strip by strip."""
        decoder, norm = self.decoder, self.decoder.upscale_layer_norm
        (first, _), (second, _) = self._enlarging
        start = 0
        for strip in strips:
            points, count, _ = strip.shape
            middle, fine = (
                grid[start : start + count] if len(grid) > 1 else grid for grid in (cells.middle, cells.fine)
            )
            start += count
            quarters = (strip.flatten(0, 1) @ first).view(points, count, -1).add_(middle)
            quarters = quarters.view(-1, len(norm.weight))
            quarters = functional.layer_norm(quarters, norm.weight.shape, norm.weight, norm.bias, norm.eps)
            small = (decoder.activation(quarters) @ second).view(points, count, -1).add_(fine)
            enlarged: torch.Tensor = decoder.activation(small)
            yield enlarged.view(points, 16 * count, -1)


class HQPointDecoder(PointDecoder):
    """SAM-HQ's: to a point one mask, the best of SAM's three and its own finer one added, as its authors decode.

    transformers' SamHQMaskDecoder (4.52 to 5.23) throws away what its transformer makes of the image's cells, and draws
    masks on the untouched ones, turned by their diagonal; and it adds the finer mask to all three.
    """

    def fine_features(self, embeddings: torch.Tensor, early: torch.Tensor) -> torch.Tensor:
        """(1, C / 8, 4 h, 4 w) of the image alone; `early` is the encoder's first (1, h, w, D)."""
        decoder = self.decoder
        late = decoder.encoder_conv2(decoder.activation(decoder.encoder_norm(decoder.encoder_conv1(embeddings))))
        early = decoder.compress_vit_conv1(early.permute(0, 3, 1, 2))
        compressed = decoder.activation(decoder.compress_vit_norm(early))
        features: torch.Tensor = late + decoder.compress_vit_conv2(compressed)
        return features

    def _scores(self, tokens: torch.Tensor) -> torch.Tensor:
        """(P, 1) predicted IoU, of the best of three."""
        return super()._scores(tokens).amax(1, keepdim=True)

    def _masks(self, cells: Cells, tokens: torch.Tensor, strips: list[torch.Tensor]) -> torch.Tensor:
        """(P, 1, 4 h, 4 w) logits."""
        decoder, every = self.decoder, self._weights(tokens)
        best = super()._scores(tokens).argmax(1, keepdim=True)
        weights = every.gather(1, best[..., None].expand(-1, 1, every.shape[2]))
        enlarged = _in_pixel_order(torch.cat(list(self._enlarged(cells, strips)), 1).mT, cells.size_hw)
        masks = torch.einsum("poc,pchw->pohw", weights, enlarged)
        found = decoder.mask_conv2(decoder.activation(decoder.mask_norm(decoder.mask_conv1(enlarged))))
        fine_weights = decoder.hq_mask_mlp(tokens[:, 1 + len(self.networks)])
        return masks + torch.einsum("pc,pchw->phw", fine_weights, found + cells.finest)[:, None]


def _in_pixel_order(values: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
    """(P, M, 4 h, 4 w) of (P, M, 16 N): a cell's quarters' quarters, in the order of pixels."""
    height, width = size_hw
    pairs = values.contiguous().view(PAIRS[values.element_size()])  # two pixels beside each other, moved as one
    cells = pairs.view(*values.shape[:2], height, width, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5)
    return cells.reshape(*values.shape[:2], 4 * height, 2 * width).view(values.dtype)


def _first_layer(layer: Any, tokens: torch.Tensor, cells: Cells) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(P, T, C) queries and (P, n, C) cells strip by strip, after a layer whose cells are the image's own."""
    queries = _self_attention(layer, tokens, tokens)
    inward, outward = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    asked = _of_heads(inward, inward.q_proj(queries + tokens).flatten(0, 1)) * inward.scaling
    found = (asked @ cells.keys).softmax(2) @ cells.spoken
    found = found.transpose(0, 1).reshape(*tokens.shape[:2], -1)
    queries = _mlp(layer, queries + _out(inward)(found))
    keys = _of_heads(outward, outward.k_proj(queries + tokens).flatten(0, 1)) * outward.scaling
    scores = (keys @ cells.asked).view(len(keys), len(tokens), -1, len(cells.values))
    shares = scores.softmax(2).transpose(0, 1).flatten(1, 2)
    told = _values_by_head(outward, queries)
    long = len(cells.values)
    if told.device.type == "cpu":
        long = min(long, max(1, STRIP_NUMBERS // (len(tokens) * told.shape[2])))
    return queries, [
        layer.layer_norm4(torch.baddbmm(values.expand(len(told), -1, -1), share.mT, told))
        for values, share in zip(torch.split(cells.values, long), torch.split(shares, long, 2), strict=True)
    ]


def _layer(
    layer: Any,
    queries: torch.Tensor,
    tokens: torch.Tensor,
    strips: list[torch.Tensor],
    places: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(P, T, C) queries and (P, n, C) cells strip by strip, after a later layer."""
    queries = _self_attention(layer, queries, tokens)
    found = _tokens_to_cells(layer.cross_attn_token_to_image, queries + tokens, strips, places)
    queries = _mlp(layer, queries + found)
    outward = layer.cross_attn_image_to_token
    heads = outward.num_attention_heads
    keys = outward.k_proj(queries + tokens).unflatten(2, (heads, -1)) * outward.scaling
    rows = torch.einsum("pthd,hdc->phtc", keys, outward.q_proj.weight.unflatten(0, (heads, -1))).flatten(1, 2)
    shift = torch.einsum("pthd,hd->pht", keys, outward.q_proj.bias.unflatten(0, (heads, -1))).flatten(1)[..., None]
    told = _values_by_head(outward, queries)

    def answered(cells: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        scores = torch.unflatten((rows @ (cells + place).mT).add_(shift), 1, (heads, -1))
        # the strips are this decoder's own, and nobody reads them as they were
        seen: torch.Tensor = layer.layer_norm4(cells.baddbmm_(scores.softmax(2).flatten(1, 2).mT, told))
        return seen

    return queries, [answered(cells, place) for cells, place in zip(strips, places, strict=True)]


def _self_attention(layer: Any, queries: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(P, T, C): each point's tokens have attended to one another."""
    skip = layer.skip_first_layer_pe
    asked = (queries if skip else queries + tokens)[None]
    found = layer.self_attn(query=asked, key=asked, value=queries[None])[0][0]
    seen: torch.Tensor = layer.layer_norm1(found if skip else queries + found)
    return seen


def _mlp(layer: Any, queries: torch.Tensor) -> torch.Tensor:
    """(P, T, C): queries that have seen the image, through the layer's perceptron."""
    queries = layer.layer_norm2(queries)
    seen: torch.Tensor = layer.layer_norm3(queries + layer.mlp(queries))
    return seen


def _tokens_to_cells(
    attention: Any, queries: torch.Tensor, strips: list[torch.Tensor], places: Sequence[torch.Tensor]
) -> torch.Tensor:
    """(P, T, C) what tokens gather of the (P, n, C) cells that they attend to; `places` are (n, C)."""
    heads = attention.num_attention_heads
    asked = attention.q_proj(queries).unflatten(2, (heads, -1)) * attention.scaling
    rows = torch.einsum("pthd,hdc->phtc", asked, attention.k_proj.weight.unflatten(0, (heads, -1))).flatten(1, 2)
    # the keys' bias is the same for all cells, so that the softmax takes it out
    scores = torch.cat([rows @ (cells + place).mT for cells, place in zip(strips, places, strict=True)], 2)
    shares = torch.split(scores.softmax(2), [strip.shape[1] for strip in strips], 2)
    pooled = torch.bmm(shares[0], strips[0])
    for share, cells in zip(shares[1:], strips[1:], strict=True):
        pooled.baddbmm_(share, cells)
    weight = attention.v_proj.weight.unflatten(0, (heads, -1))
    found = torch.einsum("phtc,hdc->pthd", torch.unflatten(pooled, 1, (heads, -1)), weight)
    answer: torch.Tensor = _out(attention)(found.flatten(2) + attention.v_proj.bias)
    return answer


def _values_by_head(attention: Any, values: torch.Tensor) -> torch.Tensor:
    """(P, heads * T, C): what cells that attend to (P, T, C) tokens gather of each with each head."""
    heads, out = attention.num_attention_heads, _out(attention)
    spoken = attention.v_proj(values).unflatten(2, (heads, -1))
    told = torch.einsum("pthd,chd->phtc", spoken, out.weight.unflatten(1, (heads, -1)))
    rows: torch.Tensor = told.flatten(1, 2) + out.bias / heads  # each head's shares sum to 1
    return rows


def _of_heads(attention: Any, rows: torch.Tensor) -> torch.Tensor:
    """(heads, N, D) of (N, heads * D)."""
    return torch.unflatten(rows, 1, (attention.num_attention_heads, -1)).transpose(0, 1)


def _out(attention: Any) -> Any:
    """The last projection, which SAM 1 and its successors name differently."""
    return attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj


def _kernels(convolution: Any, quarters: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(C, 4 D) and (quarters * 4 D,) of a transposed convolution with kernels of 2 x 2: its product and its sum."""
    weight = convolution.weight.detach().permute(0, 2, 3, 1).flatten(1).contiguous()
    return weight, convolution.bias.detach().repeat(4 * quarters)
