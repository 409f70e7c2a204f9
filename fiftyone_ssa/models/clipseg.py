"""CLIPSeg taken apart: its vision tower once a crop, its decoder once a name, what spreads a cell over its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fiftyone_ssa.models.hub import check_kind, check_vocabulary, load_whole, loading
from fiftyone_ssa.models.narrow_attention import attention

WHAT = "the decider"
CLIPSEG = {"clipseg": ("CLIPSegForImageSegmentation",)}


def load_clipseg(model: str, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """The image processor, tokenizer and network of a CLIPSeg. Raises InputError if it cannot be loaded."""
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, CLIPSegForImageSegmentation

    with loading(model, WHAT):
        check_kind(
            AutoConfig.from_pretrained(model), model, WHAT, CLIPSEG, "a CLIPSeg (CIDAS/clipseg-rd64-refined, say)"
        )
        processor = AutoImageProcessor.from_pretrained(model, backend="torchvision")
        tokenizer = check_vocabulary(AutoTokenizer.from_pretrained(model), model, WHAT, pads=True)
        return processor, tokenizer, load_whole(CLIPSegForImageSegmentation, model, WHAT, dtype)


class Tower(nn.Module):
    """From patches to what each layer of the decoder takes; the layers above those tapped are left out."""

    def __init__(self, network: Any, side: int) -> None:
        super().__init__()
        vision = network.clip.vision_model
        self._taps = list(network.extract_layers)
        blank = vision.embeddings.class_embedding.new_empty((1, (side // vision.config.patch_size) ** 2 + 1, 1))
        blank = blank.expand(-1, -1, vision.embeddings.embed_dim)
        self._class = vision.embeddings.class_embedding
        self._positions = vision.embeddings.interpolate_pos_encoding(blank, side, side).detach()
        self._norm, self._reduces = vision.pre_layrnorm, network.decoder.reduces
        self._layers = vision.encoder.layers[: max(self._taps) + 1]
        self._attend = [Attention(layer.self_attn) for layer in self._layers]

    def forward(self, patches: torch.Tensor) -> list[torch.Tensor]:
        """In the decoder's order (rows, tokens, width) each, of (rows, cells, width) patches."""
        state = torch.cat([self._class.expand(len(patches), 1, -1), patches], 1) + self._positions
        state, states = self._norm(state), []
        for layer, attend in zip(self._layers, self._attend, strict=True):
            state = state + attend(layer.layer_norm1(state))
            state = state + layer.mlp(layer.layer_norm2(state))
            states.append(state)
        taps = [states[layer] for layer in reversed(self._taps)]
        return [reduce(tap) for reduce, tap in zip(self._reduces, taps, strict=True)]


class NameDecoder(nn.Module):
    """CLIPSeg's decoder of one name a row, up to what `Spread` makes logits of."""

    def __init__(self, network: Any, grid: int) -> None:
        super().__init__()
        decoder = network.decoder
        self._grid, self._conditional = grid, decoder.conditional_layer
        self._mul, self._add, self._layers = decoder.film_mul, decoder.film_add, decoder.layers
        self._attend = [Attention(layer.self_attn) for layer in self._layers]
        steps = decoder.transposed_convolution
        steps = list(steps) if isinstance(steps, nn.Sequential) else [steps]
        first = next(i for i, step in enumerate(steps) if isinstance(step, nn.ConvTranspose2d))
        self._convolve = nn.Sequential(*steps[:first])
        self.spread = Spread(steps[first:])
        self.margin = sum(step.kernel_size[0] // 2 for step in self._convolve if isinstance(step, nn.Conv2d))
        """How many cells around one are looked at."""

    def forward(
        self, seen: list[torch.Tensor], conditions: torch.Tensor, places: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(rows, channels, grid, grid), of what the tower saw and (rows, width) conditions, one name for each row.

        With `places` (rows, cells) only what logits at these tokens, some repeated, need is right.
        """
        conditions = conditions[:, None]
        state = None
        for turn, (tokens, layer, attend) in enumerate(zip(seen, self._layers, self._attend, strict=True)):
            state = tokens if state is None else state + tokens
            if turn == self._conditional:
                state = self._mul(conditions) * state + self._add(conditions)
            last = places if turn + 1 == len(seen) else None
            asked = state if last is None else state.gather(1, last[..., None].expand(-1, -1, state.shape[-1]))
            asked = layer.layer_norm1(asked + attend(state, asked))
            state = layer.layer_norm2(asked + layer.mlp(asked))
        assert state is not None  # there are layers
        if places is None:
            cells = state[:, 1:].mT
        else:
            index = (places - 1)[:, None].expand(-1, state.shape[-1], -1)
            cells = state.new_zeros((len(state), state.shape[-1], self._grid**2)).scatter_(2, index, state.mT)
        cells = cells.reshape(*cells.shape[:2], self._grid, self._grid)
        if cells.is_cuda:  # where a convolution of half precision is many times faster with the channels last
            cells = cells.contiguous(memory_format=torch.channels_last)
        found: torch.Tensor = self._convolve(cells)
        return found


class Attention:
    """A CLIPSeg attention whose query, key and value are one product."""

    def __init__(self, attention: Any) -> None:
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        self._weight = torch.cat([part.weight.detach() for part in parts])
        self._bias = torch.cat([part.bias.detach() for part in parts])
        self._heads, self._scale, self._out = attention.num_heads, attention.scale, attention.out_proj

    def __call__(self, state: torch.Tensor, asked: torch.Tensor | None = None) -> torch.Tensor:
        """Of (rows, tokens, width), for all tokens or for (rows, some, width) that are `asked`."""
        width = state.shape[-1]
        if asked is None or asked is state:
            three = functional.linear(state, self._weight, self._bias)
            query, key, value = three.view(*state.shape[:2], 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        else:
            two = functional.linear(state, self._weight[width:], self._bias[width:])
            key, value = two.view(*state.shape[:2], 2, self._heads, -1).permute(2, 0, 3, 1, 4)
            one = functional.linear(asked, self._weight[:width], self._bias[:width])
            query = one.view(*asked.shape[:2], self._heads, -1).transpose(1, 2)
        mixed = attention(query, key, value, self._scale)
        out: torch.Tensor = self._out(mixed.transpose(1, 2).flatten(2))
        return out


class Spread(nn.Module):
    """What spreads each cell over its pixels, turned: of every name how much more than the first it scores."""

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        products = [_Product(step) if isinstance(step, nn.ConvTranspose2d) else step for step in steps]
        *before, last = products
        assert isinstance(last, _Product)  # CLIPSeg's
        self._before, self.last_side = nn.Sequential(*before), last.side
        self.side = int(torch.tensor([step.side for step in products if isinstance(step, _Product)]).prod())
        """Pixels along a cell's side."""
        # the last step is linear, so that differences may be taken before it, and its bias falls out
        self._lines = nn.Parameter(last.weight[:-1].view(-1, last.side, last.side).permute(1, 0, 2).contiguous())

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """(rows, names - 1, w * side, h * side) of (rows, names, channels, w, h): the first name's is subtracted."""
        lines, (rows, names) = self.lines(cells), cells.shape[:2]
        wide, high = cells.shape[3] * self.side, cells.shape[4] * self.side
        lines = lines.view(self.last_side, rows * (names - 1), wide // self.last_side, high)
        return lines.permute(1, 2, 0, 3).reshape(rows, names - 1, wide, high)

    def lines(self, cells: torch.Tensor) -> torch.Tensor:
        """The same before its columns are in order: (last side, rows * (names - 1) * columns, h * side)."""
        rows, names = cells.shape[:2]
        values: torch.Tensor = self._before(cells.flatten(0, 1))
        values = values.view(rows, names, *values.shape[1:])
        values = (values[:, 1:] - values[:, :1]).flatten(0, 1).permute(0, 2, 3, 1)
        count, width, height, channels = values.shape
        lines = values.reshape(-1, channels) @ self._lines
        found: torch.Tensor = lines.view(self.last_side, count * width, height * self.last_side)
        return found

    def columns(self, cells: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """(names - 1, n, h * side): some columns, (n,) places among w * side, of one row's (names, channels, w, h)."""
        lines = self.lines(cells[None])
        names, wide = len(cells) - 1, lines.shape[1] // (len(cells) - 1)
        turn, place = places % self.last_side, places // self.last_side
        index = (turn * lines.shape[1] + place) + torch.arange(names)[:, None] * wide
        return lines.flatten(0, 1).index_select(0, index.flatten()).view(names, len(places), -1)


class _Product(nn.Module):
    """A transposed convolution whose kernel is its stride, as the matrix product it is: far faster on the CPU.

    Of turned images, with a turned kernel: what it gives is turned, too.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.side, self.planes = layer.kernel_size[0], layer.out_channels
        bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(self.planes)
        bias = bias.detach().repeat_interleave(self.side**2)
        # the bias is what a channel of ones adds: no pass of its own over the many cells
        self.weight = nn.Parameter(torch.cat([layer.weight.detach().mT.flatten(1), bias[None]]))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(B, C, w, h) to (B, out, w * side, h * side)."""
        count, channels, width, height = values.shape
        rows = functional.pad(values.permute(0, 2, 3, 1), (0, 1), value=1.0).view(-1, channels + 1)
        cells = rows @ self.weight
        cells = cells.view(count, width, height, self.planes, self.side, self.side)
        return cells.permute(0, 3, 1, 4, 2, 5).reshape(count, self.planes, width * self.side, height * self.side)
