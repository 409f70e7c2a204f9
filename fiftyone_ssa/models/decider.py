"""CLIPSeg: which of a mask's proposals covers most of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from fiftyone_ssa.masks import rle as masks
from fiftyone_ssa.models import Question
from fiftyone_ssa.models.devices import plan_chunks, upload
from fiftyone_ssa.models.enlarging import EnlargedPatches, Sources, interpolate, sources
from fiftyone_ssa.models.hub import check_kind, check_vocabulary, load_whole, loading
from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.models.scores import argmax

WHAT = "the decider"
CLIPSEG = {"clipseg": ("CLIPSegForImageSegmentation",)}
SIDE = 512
"""Crops are shown at 512x512, as published; CLIPSeg interpolates its positions to that."""
TEXTS_KEPT = 1 << 15


class Decider:
    """Segments each crop once per name and counts, inside the mask, where which name scores highest.

    `model` is the Hugging Face id or folder of a CLIPSeg. A crop goes through the vision tower once, and only through
    the layers that the decoder taps; a name is embedded once a run; scores are looked at in the mask's box only.
    Raises InputError if the model cannot be loaded, with what to do.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        processor, self._tokenizer, network = _load(model, dtype)
        self._rewire(network.to(device))
        self._prepare_crops(processor)
        self._plan_batches()
        self._known = Memo(lambda names: self._texts.map(self._embed, names), TEXTS_KEPT)

    def _rewire(self, network: Any) -> None:
        """Leave out the tower's layers above those tapped, and take the decoder's upsampling apart."""
        self._network = network
        self._taps = list(network.extract_layers)
        encoder = network.clip.vision_model.encoder
        encoder.layers = encoder.layers[: max(self._taps) + 1]
        network.decoder.transposed_convolution, self._upsample = _split(network.decoder.transposed_convolution)
        convolutions = [step for step in network.decoder.transposed_convolution if isinstance(step, nn.Conv2d)]
        self._margin = sum(step.kernel_size[0] // 2 for step in convolutions)
        self._upsample.requires_grad_(False).eval().to(self._device)
        self._grid = SIDE // network.config.vision_config.patch_size
        self._patch = int(np.prod([step.side for step in self._upsample.modules() if isinstance(step, _Product)]))
        self._longest = int(network.config.text_config.max_position_embeddings)

    def _prepare_crops(self, processor: Any) -> None:
        """From a crop's pixels to the tower's patches, in the model's own normalization."""
        embeddings = self._network.clip.vision_model.embeddings
        blank = torch.empty((1, self._grid**2 + 1, embeddings.embed_dim))
        self._positions = embeddings.interpolate_pos_encoding(blank, SIDE, SIDE)
        std = torch.tensor(processor.image_std, device=self._device)[:, None, None]
        self._scale = processor.rescale_factor / std
        self._shift = -torch.tensor(processor.image_mean, device=self._device)[:, None, None] / std
        self._patches = self._enlarge_and_embed
        if self._device.type == "cpu" and self._dtype == torch.float32:
            self._patches = EnlargedPatches(embeddings.patch_embedding, SIDE, self._scale, self._shift)

    def _plan_batches(self) -> None:
        clip, device = self._network.clip, self._device
        most = 16 if device.type == "cpu" else 32
        self._crops = plan_chunks(self._segment_blank, clip.vision_model, device, most=most, what=WHAT)
        self._texts = plan_chunks(
            lambda rows: self._embed(["a"] * rows), clip.text_model, device, most=32, what=f"{WHAT}'s texts", pad=True
        )

    def __call__(self, groups: Sequence[Sequence[Question]]) -> list[list[npt.NDArray[np.int64]]]:
        """For each question (names, 2): of its box's pixels those that each name wins, inside the mask and outside.

        Ties go to the first name; a name without rivals wins the mask and nothing else.
        """
        open_ones = [[question for question in group if len(question.names) > 1] for group in groups]
        self._known([name for question in chain.from_iterable(open_ones) for name in question.names])
        counts = list(chain.from_iterable(self._crops.map_groups(self._decide, open_ones)))
        answers = torch.cat(counts).cpu().numpy() if counts else np.zeros((0, 2), np.int64)
        decided = iter(np.split(answers, np.cumsum([len(count) for count in counts])))
        return [
            [next(decided) if len(question.names) > 1 else _area(question) for question in group] for group in groups
        ]

    @torch.inference_mode()
    def _decide(self, chunk: Sequence[Question]) -> list[torch.Tensor]:
        """A (len(names), 2) tensor of counts for each question; nothing here waits for the device."""
        seen = self._encode([question.crop for question in chunk])
        windows = [_Window(question, self._grid, self._patch, self._device) for question in chunk]
        places = self._places(windows)
        areas = _areas(chunk, self._device)
        most = max(len(question.names) for question in chunk)
        asked = [[question.names[min(turn, len(question.names) - 1)] for question in chunk] for turn in range(most)]
        cells = torch.stack([self._segment(seen, names, places) for names in asked], 1)
        counts = []
        for question, window, inside, of_names in zip(chunk, windows, areas, cells, strict=True):
            scores = window.sample(self._upsample(window.cut(of_names[: len(question.names)]))[:, 0])
            won = argmax(scores) == torch.arange(len(scores), device=self._device)[:, None, None]
            counts.append(torch.stack([(won & where).count_nonzero((1, 2)) for where in (inside, ~inside)], 1))
        return counts

    def _encode(self, crops: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What each layer of the decoder takes of the vision tower, in its order, (rows, tokens, width) each."""
        vision = self._network.clip.vision_model
        patches = torch.cat([self._patches(crop) for crop in crops])
        classes = vision.embeddings.class_embedding.expand(len(crops), 1, -1)
        state = vision.pre_layrnorm(torch.cat([classes, patches], 1) + self._positions)
        states = [state := layer(state, attention_mask=None) for layer in vision.encoder.layers]
        taps = [states[layer] for layer in reversed(self._taps)]
        return [reduce(tap) for reduce, tap in zip(self._network.decoder.reduces, taps, strict=True)]

    def _enlarge_and_embed(self, crop: torch.Tensor) -> torch.Tensor:
        """(1, grid * grid, width): one enlarged crop's patches."""
        height, width, _ = crop.shape
        rows, columns = (sources(SIDE, 0, SIDE, cells, self._device) for cells in (height, width))
        turned = crop.permute(2, 1, 0).to(torch.float32, memory_format=torch.contiguous_format)
        square = interpolate(turned.mul_(self._scale).add_(self._shift), rows, columns)
        embed = self._network.clip.vision_model.embeddings.patch_embedding
        patches: torch.Tensor = embed(square[None].to(self._dtype)).flatten(2).mT
        return patches

    def _places(self, windows: Sequence[_Window]) -> torch.Tensor:
        """(rows, cells) the tokens whose logits the windows need, some repeated; on CUDA as many for every chunk."""
        places = pad_sequence([window.tokens(self._margin) for window in windows], batch_first=True, padding_value=1)
        if self._device.type == "cuda":
            places = functional.pad(places, (0, self._grid**2 - places.shape[1]), value=1)
        return upload(places.numpy(), self._device)

    def _segment(self, seen: list[torch.Tensor], names: Sequence[str], places: torch.Tensor) -> torch.Tensor:
        """(rows, channels, grid, grid): of one name for each crop, what `_upsample` makes logits of, in `places` only.

        CLIPSeg's decoder, without what is the same for every name and what no logit is asked of.
        """
        decoder = self._network.decoder
        conditions = upload(np.stack(self._known(names)), self._device).to(self._dtype)[:, None]
        state = torch.zeros_like(seen[0])
        for place, (tokens, layer) in enumerate(zip(seen, decoder.layers, strict=True)):
            state = state + tokens
            if place == decoder.conditional_layer:
                state = decoder.film_mul(conditions) * state + decoder.film_add(conditions)
            state = layer(state, attention_mask=None) if place + 1 < len(seen) else _last_layer(layer, state, places)
        index = (places - 1)[:, None].expand(-1, state.shape[-1], -1)
        grid = state.new_zeros((len(state), state.shape[-1], self._grid**2)).scatter_(2, index, state.mT)
        cells: torch.Tensor = decoder.transposed_convolution(grid.view(*grid.shape[:2], self._grid, self._grid))
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
        seen = self._encode([torch.zeros((1, 1, 3), dtype=torch.uint8, device=self._device)] * rows)
        places = torch.arange(1, self._grid**2 + 1, device=self._device).expand(rows, -1)
        self._segment(seen, [""] * rows, places)


def _load(model: str, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """The image processor, tokenizer and network of a CLIPSeg."""
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, CLIPSegForImageSegmentation

    with loading(model, WHAT):
        check_kind(
            AutoConfig.from_pretrained(model), model, WHAT, CLIPSEG, "a CLIPSeg (CIDAS/clipseg-rd64-refined, say)"
        )
        processor = AutoImageProcessor.from_pretrained(model, backend="torchvision")
        tokenizer = check_vocabulary(AutoTokenizer.from_pretrained(model), model, WHAT)
        return processor, tokenizer, load_whole(CLIPSegForImageSegmentation, model, WHAT, dtype)


def _last_layer(layer: Any, state: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(rows, cells, channels): a layer of CLIPSeg's decoder for some of (rows, tokens, channels) only."""
    attention = layer.self_attn
    asked = state.gather(1, places[..., None].expand(-1, -1, state.shape[-1]))
    query, key, value = (
        projection(tokens).unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)
        for projection, tokens in ((attention.q_proj, asked), (attention.k_proj, state), (attention.v_proj, state))
    )
    mixed = functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    asked = layer.layer_norm1(asked + attention.out_proj(mixed.transpose(1, 2).flatten(2)))
    answer: torch.Tensor = layer.layer_norm2(asked + layer.mlp(asked))
    return answer


def _area(question: Question) -> npt.NDArray[np.int64]:
    """(1, 2) the mask's pixels in the crop, all of which a name without rivals wins, and none outside."""
    return np.array([[np.count_nonzero(masks.decode_crop(question.rle, question.size_hw, question.box_xyxy)), 0]])


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
        self._grid = grid
        self._cells_y, self._rows = _span(y1 - y0, top - y0, bottom - y0, grid, patch, device)
        self._cells_x, self._columns = _span(x1 - x0, left - x0, right - x0, grid, patch, device)

    def tokens(self, margin: int) -> torch.Tensor:
        """(cells,) the places of the cells and of `margin` round them among the decoder's tokens, on the CPU."""
        rows, columns = (
            torch.arange(max(cells.start - margin, 0), min(cells.stop + margin, self._grid))
            for cells in (self._cells_y, self._cells_x)
        )
        return (1 + rows[:, None] * self._grid + columns).flatten()

    def cut(self, cells: torch.Tensor) -> torch.Tensor:
        """(names, channels, w, h), turned, of (names, channels, grid, grid)."""
        return cells[..., self._cells_y, self._cells_x].mT

    def sample(self, turned: torch.Tensor) -> torch.Tensor:
        """(names, h, w) float32, the box's scores, from (names, w * patch, h * patch) logits of the cells cut."""
        return interpolate(turned.float(), self._rows, self._columns)


def _span(pixels: int, start: int, stop: int, grid: int, patch: int, device: torch.device) -> tuple[slice, Sources]:
    """The cells of `grid` that start..stop - 1 of `pixels` along a side need, and where those lie in their logits."""
    scale = grid * patch / pixels
    first = int(max((start + 0.5) * scale - 0.5, 0)) // patch
    last = min(int(max((stop - 0.5) * scale - 0.5, 0)) + 1, grid * patch - 1) // patch
    low, high, weight = sources(pixels, start, stop, grid * patch, device)
    return slice(first, last + 1), (low - first * patch, high - first * patch, weight)


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
