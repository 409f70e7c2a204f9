"""BLIP's text decoder written greedily: few operations a word, and nothing that waits for the device."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

STEPS_AHEAD = 5
"""Words are written so many at a time before it is asked whether there are more to write."""


class Writer:
    """What transformers' `generate` writes greedily with a `BlipTextLMHeadModel`, in a third of the launches.

    A word takes twelve layers of some fourteen operations: query, key and value are one product, attention is torch's
    own, and what a layer knows of the words so far lies in place instead of being joined anew at every word.
    """

    def __init__(self, network: Any) -> None:
        bert = network.bert
        self._embeddings, self._head, self._config = bert.embeddings, network.cls, network.config
        self._layers = [_Layer(layer) for layer in bert.encoder.layer]

    @torch.inference_mode()
    def __call__(self, states: torch.Tensor, most: int) -> torch.Tensor:
        """(rows, words) tokens, the first the one that begins, of (rows, cells, width) images; at most `most` new ones.

        A row that has ended goes on with padding. Whether all have is asked every few words only.
        """
        config = self._config
        token = torch.full((len(states), 1), config.bos_token_id, device=states.device)
        ended = torch.zeros_like(token, dtype=torch.bool)
        memories = [layer.memory(states, most) for layer in self._layers]
        tokens = [token]
        for step in range(most):
            state = self._embeddings(input_ids=token, position_ids=self._embeddings.position_ids[:, step : step + 1])
            for layer, memory in zip(self._layers, memories, strict=True):
                state = layer(state, memory, step)
            token = self._head(state)[:, -1].float().argmax(-1, keepdim=True).masked_fill_(ended, config.pad_token_id)
            tokens.append(token)
            ended |= token == config.sep_token_id
            if (step + 1) % STEPS_AHEAD == 0 and bool(ended.all()):
                break
        return torch.cat(tokens, 1)


class _Layer:
    """A `BlipTextLayer` for one new word a row."""

    def __init__(self, layer: Any) -> None:
        own, image = layer.attention.self, layer.crossattention.self
        self._heads = int(own.num_attention_heads)
        self._qkv = _joined(own.query, own.key, own.value)
        self._ask, self._image = image.query, _joined(image.key, image.value)
        self._own_out, self._image_out = layer.attention.output, layer.crossattention.output
        self._widen, self._narrow = layer.intermediate, layer.output

    def memory(self, states: torch.Tensor, most: int) -> tuple[torch.Tensor, ...]:
        """Keys and values of the image, and room for those of `most` words: (rows, heads, n, width of a head) each."""
        keys, values = self._split(functional.linear(states, *self._image), 2)
        words = keys.new_empty((2, *keys.shape[:2], most, keys.shape[3]))
        return keys, values, words[0], words[1]

    def __call__(self, state: torch.Tensor, memory: tuple[torch.Tensor, ...], step: int) -> torch.Tensor:
        """(rows, 1, width) of the word `step`, which joins those in `memory`."""
        image_keys, image_values, keys, values = memory
        query, key, value = self._split(functional.linear(state, *self._qkv), 3)
        keys[:, :, step : step + 1], values[:, :, step : step + 1] = key, value
        state = self._own_out(self._attend(query, keys[:, :, : step + 1], values[:, :, : step + 1]), state)
        asked = self._split(self._ask(state), 1)[0]
        state = self._image_out(self._attend(asked, image_keys, image_values), state)
        answer: torch.Tensor = self._narrow(self._widen(state), state)
        return answer

    def _attend(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, keys, values).transpose(1, 2).flatten(2)

    def _split(self, joined: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """(rows, heads, n, width of a head) each, of (rows, n, parts * width)."""
        parted = joined.view(*joined.shape[:2], parts, self._heads, -1)
        return tuple(parted.permute(2, 0, 3, 1, 4))


def _joined(*layers: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight and bias of several linear layers of one input, as one."""
    return torch.cat([layer.weight.detach() for layer in layers]), torch.cat([layer.bias.detach() for layer in layers])
