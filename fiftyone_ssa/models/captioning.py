"""Captions of crops by models that need no prompt: BLIP in two steps, any other in one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from fiftyone_ssa.models.blip_writing import Writer
from fiftyone_ssa.models.devices import Chunks, plan_chunks
from fiftyone_ssa.models.images import processed
from fiftyone_ssa.models.replay import Replay
from fiftyone_ssa.models.resizing import squares_of

WHAT = "the captioner"


class Captioner:
    """One caption per crop, greedily or as the model's own generation settings say, never sampled.

    Batches are of one size and sorted by the crops' shapes; where the processor keeps a crop's proportions, so that
    crops cannot share a batch, they go one by one.
    """

    only_names = False
    """Whether answers are names, so that no sentence has to be read."""

    def __init__(self, processor: Any, network: Any, max_new_tokens: int) -> None:
        self._processor, self._network = processor, network
        self._device, self._dtype = network.device, network.dtype
        self._limits = {"max_new_tokens": max_new_tokens, "do_sample": False}
        self._plan()

    def _plan(self) -> None:
        """Decide the sizes of batches."""
        wide, tall = (self._pixels([self._blank(*shape)]) for shape in ((8, 64), (64, 8)))
        alike = {key: value.shape for key, value in wide.items()} == {key: value.shape for key, value in tall.items()}
        self._caption([self._blank(64, 64)])  # one that needs a prompt fails here, before work starts
        self._crops = plan_chunks(
            lambda rows: self._caption([self._blank(64, 64)] * rows),
            self._network,
            self._device,
            most=32 if alike else 1,
            what=WHAT,
        )

    def __call__(self, groups: Sequence[Sequence[torch.Tensor]]) -> list[list[str]]:
        """One caption for each (h, w, 3) uint8 crop of each group on this captioner's device."""
        orders = [sorted(range(len(crops)), key=lambda index: tuple(crops[index].shape)) for crops in groups]
        found = self._captions([[crops[i] for i in order] for crops, order in zip(groups, orders, strict=True)])
        captions = [dict(zip(order, texts, strict=True)) for order, texts in zip(orders, found, strict=True)]
        return [[texts[index] for index in range(len(texts))] for texts in captions]

    def _captions(self, groups: list[list[torch.Tensor]]) -> list[list[str]]:
        return self._crops.map_groups(self._caption, groups)

    @torch.inference_mode()
    def _caption(self, crops: Sequence[torch.Tensor]) -> Sequence[str]:
        return self._words(self._network.generate(**self._pixels(crops), **self._limits))

    def _words(self, tokens: torch.Tensor) -> list[str]:
        return [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]

    def _pixels(self, crops: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        return processed(self._processor, crops, self._device, self._dtype)

    def _blank(self, height: int, width: int) -> torch.Tensor:
        return torch.zeros((height, width, 3), dtype=torch.uint8, device=self._device)


class BlipCaptioner(Captioner):
    """BLIP, looking in small batches and writing in large ones: a step of writing takes as long for 10 as for 200."""

    def _plan(self) -> None:
        for layer in self._network.vision_model.encoder.layers:
            layer.self_attn.forward = partial(_attend, layer.self_attn)
        self._writer = Writer(self._network.text_decoder, self._device)
        network, device, blank = self._network, self._device, self._blank(1, 1)
        tower = network.vision_model
        self._tower = Replay(lambda **seen: {"states": tower(**seen).last_hidden_state}, device, "BLIP's vision tower")
        self._squares = (
            squares_of(self._processor.image_processor, device, tf32=self._dtype != torch.float32)
            if device.type == "cuda"
            else None
        )
        self._encoding = plan_chunks(
            lambda rows: self._encode([blank] * rows),
            network.vision_model,
            device,
            most=32,
            what=f"{WHAT}'s vision tower",
        )
        seen = self._encode([blank])[0]
        self._writing = plan_chunks(
            lambda rows: self._write([seen] * rows),
            network.text_decoder,
            device,
            most=256 if device.type == "cuda" else 64,
            what=WHAT,
        )
        # what was looked at is held for one batch of writing only
        self._crops = Chunks(self._writing.size, WHAT, pad=False, parallel=self._writing.parallel)

    def _caption(self, crops: Sequence[torch.Tensor]) -> Sequence[str]:
        return self._writing.map(self._write, self._encoding.map(self._encode, crops))

    @torch.inference_mode()
    def _encode(self, crops: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        pixels = (
            self._pixels(crops) if self._squares is None else {"pixel_values": self._squares(crops).to(self._dtype)}
        )
        return list(self._tower(**pixels)["states"])

    @torch.inference_mode()
    def _write(self, seen: Sequence[torch.Tensor]) -> Sequence[str]:
        states = torch.stack(list(seen))
        if not is_plain(self._network.text_decoder.generation_config):
            return self._words(self._generate(states))
        return self._words(self._writer(states, self._limits["max_new_tokens"]))

    def _generate(self, states: torch.Tensor) -> torch.Tensor:
        """(rows, tokens), by transformers, whose every step waits for the device."""
        text = self._network.config.text_config
        tokens: torch.Tensor = self._network.text_decoder.generate(
            input_ids=torch.full((len(states), 1), text.bos_token_id, device=self._device),
            eos_token_id=text.sep_token_id,
            pad_token_id=text.pad_token_id,
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=self._device),
            **self._limits,
        )
        return tokens


def is_plain(settings: Any) -> bool:
    """Whether a model's own generation settings leave a greedy choice as it is."""
    neutral = {"num_beams": 1, "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "num_beam_groups": 1}
    changing = (
        *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens", "bad_words_ids"),
        *("force_words_ids", "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "sequence_bias"),
        *("begin_suppress_tokens", "exponential_decay_length_penalty", "stop_strings", "max_time", "constraints"),
        *("penalty_alpha", "guidance_scale", "prompt_lookup_num_tokens", "dola_layers"),
    )
    return not any(getattr(settings, name, None) for name in changing) and all(
        getattr(settings, name, None) in (None, value) for name, value in neutral.items()
    )


def _attend(attention: Any, hidden_states: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
    """`BlipAttention.forward` by torch's own kernel, which keeps no (tokens, tokens) shares."""
    rows, tokens, _width = hidden_states.shape
    three = attention.qkv(hidden_states).view(rows, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = three
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    return attention.projection(mixed.transpose(1, 2).flatten(2)), None
