"""BLIP's text decoder written greedily: few operations a word, and nothing that waits for the device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from fiftyone_ssa.models.replay import Replay

STEPS_AHEAD = 5
"""Words are written so many at a time before it is asked whether there are more to write."""


class Writer:
    """What transformers' `generate` writes greedily with a `BlipTextLMHeadModel`, in a third of the launches.

    A word takes twelve layers of some fourteen operations: query, key and value are one product, attention is torch's
    own, and what a layer knows lies in one place, so that a GPU replays a word's launches (`replay`).
    """

    def __init__(self, network: Any, device: torch.device) -> None:
        bert = network.bert
        self._embeddings, self._head, self._config = bert.embeddings, network.cls, network.config
        self._layers = [_Layer(layer) for layer in bert.encoder.layer]
        self._device = device
        self._kept: tuple[tuple[int, ...], list[_Memory], Replay] | None = None

    @torch.inference_mode()
    def __call__(self, states: torch.Tensor, most: int) -> torch.Tensor:
        """(rows, words) tokens, the first the one that begins, of (rows, cells, width) images; at most `most` new ones.

        A row that has ended goes on with padding. Whether all have is asked every few words only.
        """
        config = self._config
        memories, write = self._prepared(states, most)
        for layer, memory in zip(self._layers, memories, strict=True):
            layer.look(states, memory)
        token = torch.full((len(states), 1), config.bos_token_id, device=states.device)
        ended = torch.zeros_like(token, dtype=torch.bool)
        places, tokens = torch.arange(most, device=states.device), [token]
        for step in range(most):
            logits = write(token=token, place=places[step : step + 1])["logits"]
            token = logits.float().argmax(-1, keepdim=True).masked_fill_(ended, config.pad_token_id)
            tokens.append(token)
            ended |= token == config.sep_token_id
            if (step + 1) % STEPS_AHEAD == 0 and bool(ended.all()):
                break
        return torch.cat(tokens, 1)

    def _prepared(self, states: torch.Tensor, most: int) -> tuple[list[_Memory], Replay]:
        """Room for what the layers know, and what writes a word with it: on a GPU those of the last batch of a size."""
        shape = (*states.shape, most)
        if self._kept is not None and self._kept[0] == shape:
            return self._kept[1:]
        self._kept = None  # gives its memory back first
        memories = [layer.memory(states, most) for layer in self._layers]
        write = Replay(partial(self._word, memories), self._device, "BLIP's writing")
        if self._device.type == "cuda":
            self._kept = shape, memories, write
        return memories, write

    def _word(self, memories: list[_Memory], token: torch.Tensor, place: torch.Tensor) -> dict[str, torch.Tensor]:
        """`"logits"` (rows, words) of what follows (rows, 1) tokens at (1,) place."""
        state = self._embeddings(input_ids=token, position_ids=place[None])
        known = torch.arange(memories[0].words.shape[3], device=place.device)[None] <= place
        for layer, memory in zip(self._layers, memories, strict=True):
            state = layer(state, memory, place, known)
        return {"logits": self._head(state)[:, -1]}


@dataclass(frozen=True, eq=False)
class _Memory:
    """What a layer knows of its images, and of the words so far."""

    image: torch.Tensor
    """(rows, cells, 2 * width) keys and values."""
    words: torch.Tensor
    """(2, rows, heads, most words, width of a head) keys and values; zeros where there is no word yet."""


class _Layer:
    """A `BlipTextLayer` for one new word a row."""

    def __init__(self, layer: Any) -> None:
        own, image = layer.attention.self, layer.crossattention.self
        self._heads = int(own.num_attention_heads)
        self._qkv = _joined(own.query, own.key, own.value)
        self._ask, self._image = image.query, _joined(image.key, image.value)
        self._own_out, self._image_out = layer.attention.output, layer.crossattention.output
        self._widen, self._narrow = layer.intermediate, layer.output

    def memory(self, states: torch.Tensor, most: int) -> _Memory:
        """Room for (rows, cells, width) images and `most` words."""
        both = len(self._image[1])
        return _Memory(
            states.new_empty((*states.shape[:2], both)),
            states.new_zeros((2, len(states), self._heads, most, both // 2 // self._heads)),
        )

    def look(self, states: torch.Tensor, memory: _Memory) -> None:
        """Take in new images."""
        weight, bias = self._image
        torch.addmm(bias, states.flatten(0, 1), weight.mT, out=memory.image.flatten(0, 1))

    def __call__(self, state: torch.Tensor, memory: _Memory, place: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """(rows, 1, width) of the word at (1,) `place`, which joins `memory`; (1, most) `known` words count."""
        query, key, value = self._split(functional.linear(state, *self._qkv), 3)
        keys, values = memory.words.unbind(0)
        keys.index_copy_(2, place, key)
        values.index_copy_(2, place, value)
        state = self._own_out(_attend(query, keys, values, known), state)
        (asked,), (keys, values) = self._split(self._ask(state), 1), self._split(memory.image, 2)
        state = self._image_out(_attend(asked, keys, values), state)
        answer: torch.Tensor = self._narrow(self._widen(state), state)
        return answer

    def _split(self, joined: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """(rows, heads, n, width of a head) each, of (rows, n, parts * width)."""
        parted = joined.view(*joined.shape[:2], parts, self._heads, -1)
        return tuple(parted.permute(2, 0, 3, 1, 4))


def _attend(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, known: torch.Tensor | None = None
) -> torch.Tensor:
    """(rows, n, width), of (rows, heads, n or m, width of a head)."""
    return functional.scaled_dot_product_attention(query, keys, values, known).transpose(1, 2).flatten(2)


def _joined(*layers: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight and bias of several linear layers of one input, as one."""
    return torch.cat([layer.weight.detach() for layer in layers]), torch.cat([layer.bias.detach() for layer in layers])
