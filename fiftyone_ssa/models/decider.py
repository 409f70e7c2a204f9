"""CLIPSeg: which of a mask's proposals covers most of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from fiftyone_ssa import masks
from fiftyone_ssa.devices import plan_chunks, upload
from fiftyone_ssa.memo import Memo
from fiftyone_ssa.models.hub import loading

SIDE = 512
"""Crops are shown at 512x512, as published; CLIPSeg interpolates its positions to that."""
TEXTS_KEPT = 1 << 15
HEAD = 16
"""Heads narrower than this are padded with zeros, for torch's fast kernels; rd16's decoder has heads of 4."""


@dataclass(frozen=True, eq=False)
class Question:
    """A crop, a mask in it, and the names to choose from."""

    crop: torch.Tensor
    """(h, w, 3) uint8 on the decider's device."""
    crop_xyxy: tuple[int, int, int, int]
    """Where the crop lies in the image, pixels, x1 and y1 exclusive."""
    box_xyxy: tuple[int, int, int, int]
    """The part of the crop that holds the mask, likewise; may be empty."""
    rle: bytes
    """The mask's compressed code, in the whole image."""
    size_hw: tuple[int, int]
    """Of the image."""
    names: tuple[str, ...]


class Decider:
    """Segments each crop once per name and counts, inside the mask, where which name scores highest.

    `model` is the Hugging Face id or folder of a CLIPSeg. A crop goes through the vision tower once, and only through
    the layers that the decoder taps; a name is embedded once a run; scores are looked at in the mask's box only.
    Raises InputError if the model cannot be loaded, with what to do.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPSegForImageSegmentation

        with loading(model, "the decider"):
            processor = AutoImageProcessor.from_pretrained(model, backend="torchvision")
            self._tokenizer = AutoTokenizer.from_pretrained(model)
            network = CLIPSegForImageSegmentation.from_pretrained(model, dtype=dtype)
        self._taps = list(network.extract_layers)
        encoder = network.clip.vision_model.encoder
        encoder.layers = encoder.layers[: max(self._taps) + 1]
        for layer in (*encoder.layers, *network.decoder.layers):
            _widen_heads(layer.self_attn)
        network.decoder.transposed_convolution, self._spread = _split(network.decoder.transposed_convolution)
        self._spread.requires_grad_(False).eval().to(device)
        self._grid = SIDE // network.config.vision_config.patch_size
        self._patch = int(np.prod([step.side for step in self._spread.modules() if isinstance(step, _Product)]))
        self._network = network.requires_grad_(False).eval().to(device)
        self._device, self._dtype = device, dtype
        self._longest = int(network.config.text_config.max_position_embeddings)
        std = torch.tensor(processor.image_std, device=device)
        self._scale = processor.rescale_factor / std
        self._shift = -torch.tensor(processor.image_mean, device=device) / std
        self._crops = plan_chunks(
            self._segment_blank,
            network.clip.vision_model,
            device,
            most=8 if device.type == "cpu" else 32,
            what="the decider",
        )
        self._texts = plan_chunks(
            lambda rows: self._embed(["a"] * rows),
            network.clip.text_model,
            device,
            most=32,
            what="the decider's texts",
            pad=True,
        )
        self._known = Memo(lambda names: self._texts.map(self._embed, names), TEXTS_KEPT)

    def __call__(self, groups: Sequence[Sequence[Question]]) -> list[list[npt.NDArray[np.int64]]]:
        """For each question, how many of the mask's pixels in the crop each of its names wins; ties to the first."""
        open_ones = [[question for question in group if len(question.names) > 1] for group in groups]
        self._known([name for question in chain.from_iterable(open_ones) for name in question.names])
        counts = list(chain.from_iterable(self._crops.map_groups(self._decide, open_ones)))
        answers = torch.cat(counts).cpu().numpy() if counts else np.zeros(0, np.int64)
        decided = iter(np.split(answers, np.cumsum([len(count) for count in counts])))
        return [
            [next(decided) if len(question.names) > 1 else _area(question) for question in group] for group in groups
        ]

    @torch.inference_mode()
    def _decide(self, chunk: Sequence[Question]) -> list[torch.Tensor]:
        """A (len(names),) tensor of counts for each question; nothing here waits for the device."""
        seen = self._look([question.crop for question in chunk])
        windows = [_Window(question, self._grid, self._patch, self._device) for question in chunk]
        areas = _areas(chunk, self._device)
        best: list[torch.Tensor] = [torch.empty(0)] * len(chunk)
        winners = [torch.zeros(area.shape, dtype=torch.int16, device=self._device) for area in areas]
        for turn in range(max(len(question.names) for question in chunk)):
            cells = self._segment(seen, [question.names[min(turn, len(question.names) - 1)] for question in chunk])
            for row, (question, window) in enumerate(zip(chunk, windows, strict=True)):
                if turn >= len(question.names):
                    continue
                scores = window.sample(self._spread(window.cut(cells[row]))[0, 0])
                if turn > 0:  # the last to beat all before it wins
                    winners[row] = torch.maximum(winners[row], (scores > best[row]).to(torch.int16).mul_(turn))
                    scores = torch.maximum(best[row], scores)
                best[row] = scores
        return [
            torch.stack([(inside & (winner == turn)).count_nonzero() for turn in range(len(question.names))])
            for question, inside, winner in zip(chunk, areas, winners, strict=True)
        ]

    def _look(self, crops: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What each layer of the decoder takes of the vision tower, in its order, (rows, tokens, width) each."""
        pixels = torch.empty((len(crops), 3, SIDE, SIDE), device=self._device)
        for crop, square in zip(crops, pixels, strict=True):
            height, width, _ = crop.shape
            rows, columns = (_sources(SIDE, 0, SIDE, cells, self._device) for cells in (height, width))
            _interpolate((crop * self._scale + self._shift).permute(2, 1, 0).contiguous(), rows, columns, out=square)
        states = self._network.clip.vision_model(
            pixel_values=pixels.to(self._dtype), interpolate_pos_encoding=True, output_hidden_states=True
        ).hidden_states
        taps = [states[layer + 1] for layer in reversed(self._taps)]
        return [reduce(tap) for reduce, tap in zip(self._network.decoder.reduces, taps, strict=True)]

    def _segment(self, seen: list[torch.Tensor], names: Sequence[str]) -> torch.Tensor:
        """(rows, channels, grid, grid): of one name for each crop, what `_spread` makes logits of.

        CLIPSeg's decoder, but for what is the same for every name.
        """
        decoder = self._network.decoder
        conditions = upload(np.stack(self._known(names)), self._device).to(self._dtype)[:, None]
        state = torch.zeros_like(seen[0])
        for place, (tokens, layer) in enumerate(zip(seen, decoder.layers, strict=True)):
            state = state + tokens
            if place == decoder.conditional_layer:
                state = decoder.film_mul(conditions) * state + decoder.film_add(conditions)
            state = layer(state, attention_mask=None)
        cells: torch.Tensor = decoder.transposed_convolution(
            state[:, 1:].mT.reshape(len(state), -1, self._grid, self._grid)
        )
        return cells

    @torch.inference_mode()
    def _embed(self, names: Sequence[str]) -> Sequence[npt.NDArray[np.float32]]:
        """The condition that stands for each name; longer ones than the text encoder takes are cut."""
        tokens = self._tokenizer(
            list(names), padding="max_length", truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._device)
        texts = self._network.clip.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return list(self._network.clip.text_projection(texts.pooler_output).float().cpu().numpy())

    @torch.inference_mode()
    def _segment_blank(self, rows: int) -> None:
        seen = self._look([torch.zeros((1, 1, 3), dtype=torch.uint8, device=self._device)] * rows)
        self._segment(seen, [""] * rows)


def _widen_heads(attention: Any) -> None:
    """Pad the heads of a CLIPSeg's attention to a multiple of HEAD, in its weights; its scale stays as it was."""
    heads, width = attention.num_heads, attention.head_dim
    more = -width % HEAD
    if not more:
        return
    for name in ("q_proj", "k_proj", "v_proj"):
        layer = getattr(attention, name)
        weight = functional.pad(layer.weight.detach().unflatten(0, (heads, width)), (0, 0, 0, more)).flatten(0, 1)
        bias = functional.pad(layer.bias.detach().view(heads, width), (0, more)).flatten()
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    out = attention.out_proj
    weight = functional.pad(out.weight.detach().unflatten(1, (heads, width)), (0, more)).flatten(1)
    out.weight = nn.Parameter(weight)
    attention.head_dim = width + more


def _area(question: Question) -> npt.NDArray[np.int64]:
    """(1,) the mask's pixels in the crop, all of which a name without rivals wins."""
    return np.array([np.count_nonzero(masks.decode_crop(question.rle, question.size_hw, question.box_xyxy))])


def _areas(chunk: Sequence[Question], device: torch.device) -> list[torch.Tensor]:
    """The masks inside their boxes, (h, w) bool each, brought to the device in one piece."""
    dense = [masks.decode_crop(question.rle, question.size_hw, question.box_xyxy) for question in chunk]
    flat = upload(np.concatenate([area.ravel() for area in dense]), device)
    parts = torch.split(flat, [area.size for area in dense])
    return [part.view(area.shape) for part, area in zip(parts, dense, strict=True)]


class _Window:
    """The cells of a crop's grid that its mask's box needs, and from their logits to the box's pixels."""

    def __init__(self, question: Question, grid: int, patch: int, device: torch.device) -> None:
        x0, y0, x1, y1 = question.crop_xyxy
        left, top, right, bottom = question.box_xyxy
        self._cells_y, self._rows = _span(y1 - y0, top - y0, bottom - y0, grid, patch, device)
        self._cells_x, self._columns = _span(x1 - x0, left - x0, right - x0, grid, patch, device)

    def cut(self, cells: torch.Tensor) -> torch.Tensor:
        """(1, channels, w, h), turned, of (channels, grid, grid)."""
        return cells[None, :, self._cells_y, self._cells_x].mT

    def sample(self, turned: torch.Tensor) -> torch.Tensor:
        """The box's scores, float32, from the (w * patch, h * patch) logits of the cells that were cut."""
        return _interpolate(turned.float(), self._rows, self._columns)


Sources = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _span(pixels: int, start: int, stop: int, grid: int, patch: int, device: torch.device) -> tuple[slice, Sources]:
    """The cells of `grid` that start..stop - 1 of `pixels` along a side need, and where those lie in their logits."""
    scale = grid * patch / pixels
    first = int(max((start + 0.5) * scale - 0.5, 0)) // patch
    last = min(int(max((stop - 0.5) * scale - 0.5, 0)) + 1, grid * patch - 1) // patch
    low, high, weight = _sources(pixels, start, stop, grid * patch, device)
    return slice(first, last + 1), (low - first * patch, high - first * patch, weight)


def _sources(pixels: int, start: int, stop: int, cells: int, device: torch.device) -> Sources:
    """For start..stop - 1 of `pixels` along a side: the two of `cells` each lies between, and the second's weight."""
    place = (torch.arange(start, stop, device=device) + 0.5).mul_(cells / pixels).sub_(0.5).clamp_(min=0)
    low = place.long()
    return low, (low + 1).clamp_(max=cells - 1), place - low


def _interpolate(
    turned: torch.Tensor, rows: Sources, columns: Sources, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Bilinear, without antialiasing: `functional.interpolate`'s arithmetic, one axis after the other.

    Several times faster on the CPU, as only whole rows are copied: it takes the image turned, (..., w, h), for its
    columns, and gives it upright.
    """
    low, high, weight = columns
    wide = torch.lerp(turned.index_select(-2, low), turned.index_select(-2, high), weight[:, None]).mT.contiguous()
    low, high, weight = rows
    return torch.lerp(wide.index_select(-2, low), wide.index_select(-2, high), weight[:, None], out=out)


def _split(convolution: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The decoder's upsampling in two: what looks at neighbouring cells, and what spreads each cell over its pixels."""
    steps = list(convolution) if isinstance(convolution, nn.Sequential) else [convolution]
    first = next(i for i, step in enumerate(steps) if isinstance(step, nn.ConvTranspose2d))
    spread = [_Product(step) if isinstance(step, nn.ConvTranspose2d) else step for step in steps[first:]]
    return nn.Sequential(*steps[:first]), nn.Sequential(*spread)


class _Product(nn.Module):
    """A transposed convolution whose kernel is its stride, as the matrix product it is: far faster on the CPU.

    Of turned images, with a turned kernel: what it gives is turned, too.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.side, self.planes = layer.kernel_size[0], layer.out_channels
        self.weight = nn.Parameter(layer.weight.detach().mT.flatten(1))
        bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(self.planes)
        self.bias = nn.Parameter(bias.detach().repeat_interleave(self.side**2))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(B, C, w, h) to (B, out, w * side, h * side)."""
        count, channels, width, height = values.shape
        cells = torch.addmm(self.bias, values.permute(0, 2, 3, 1).reshape(-1, channels), self.weight)
        cells = cells.view(count, width, height, self.planes, self.side, self.side)
        return cells.permute(0, 3, 1, 4, 2, 5).reshape(count, self.planes, width * self.side, height * self.side)
