"""SAM 3 asked by name: where in an image the things are that a name means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from fiftyone_ssa.models.devices import plan_chunks
from fiftyone_ssa.models.hub import check_kind, check_vocabulary, load_whole, loading
from fiftyone_ssa.models.images import processed
from fiftyone_ssa.models.memo import Memo

KINDS = {"sam3": ("Sam3Model",), "sam3_video": ("Sam3VideoModel",), "sam3_lite_text": ("Sam3LiteTextModel",)}
"""`facebook/sam3` is published as the video model, which holds this one."""
LONGEST = 32
"""Tokens of a name, at which it is padded and cut."""
TEXTS_KEPT = 1 << 14
"""32 KB each, 512 MB at most; where a vocabulary is longer, every name is read again for every image."""
Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class Instances:
    """What SAM 3 takes for things of one name: Q queries, most of which mean nothing."""

    logits: torch.Tensor
    """(Q, h, w), above 0 inside, of the image squeezed to the model's grid."""
    scores: torch.Tensor
    """(Q,) float32 in [0, 1]."""


class Concepts:
    """Finds what names mean, by the Hugging Face id or folder of a SAM 3; an image is looked at once for all names.

    Raises InputError if the model cannot be loaded, with what to do; `what` is the place it is loaded for.
    """

    def __init__(self, model: str, what: str, device: torch.device, dtype: torch.dtype, takes: str) -> None:
        import transformers
        from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

        with loading(model, what):
            config = AutoConfig.from_pretrained(model)
            check_kind(config, model, what, KINDS, takes)
            kind = "Sam3LiteTextModel" if config.model_type == "sam3_lite_text" else "Sam3Model"
            self._processor = AutoImageProcessor.from_pretrained(model, backend="torchvision")
            self._tokenizer = check_vocabulary(AutoTokenizer.from_pretrained(model), model, what, pads=True)
            self.network = load_whole(getattr(transformers, kind), model, what, dtype).to(device)
        self._device, self._dtype = device, dtype
        self._known = Memo(lambda names: [self._text(name) for name in names], TEXTS_KEPT)
        self.prepare: Callable[[torch.Tensor], torch.Tensor] = self._pixels
        """From an (H, W, 3) uint8 image to the (1, 3, side, side) pixels that the network takes."""
        self.side = int(self._processor.size["height"])
        with loading(model, what):  # a processor of another size than the network's fails here
            blank = self.look(torch.zeros((64, 64, 3), dtype=torch.uint8, device=device))
            height, width = self._find(blank, ["a"])[0].logits.shape[-2:]
        self.grid_hw = (height, width)
        """Height and width of the grid that masks are told on."""
        self._chunks = plan_chunks(
            lambda rows: self._find(blank, ["a"] * rows), self.network, device, most=16, what=what
        )

    @torch.inference_mode()
    def look(self, image: torch.Tensor) -> Any:
        """What is seen in an (H, W, 3) uint8 image on this device."""
        return self.network.get_vision_features(self.prepare(image))

    def _pixels(self, image: torch.Tensor) -> torch.Tensor:
        return processed(self._processor, [image], self._device, self._dtype)["pixel_values"]

    def find(self, seen: Any, names: Sequence[str], keep: Callable[[Instances], Kept]) -> list[Kept]:
        """What `keep` makes of the instances of each name in what `look` saw; those take 60 MB a name, and go."""
        return self._chunks.map(lambda some: [keep(found) for found in self._find(seen, some)], names)

    @torch.inference_mode()
    def _find(self, seen: Any, names: Sequence[str]) -> list[Instances]:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        texts = self._known(names)
        rows = len(names)
        repeated = type(seen)(
            fpn_hidden_states=tuple(level.expand(rows, -1, -1, -1) for level in seen.fpn_hidden_states),
            fpn_position_encoding=tuple(level.expand(rows, -1, -1, -1) for level in seen.fpn_position_encoding),
        )
        outputs = self.network(
            vision_embeds=repeated,
            text_embeds=BaseModelOutputWithPooling(pooler_output=torch.stack([features for features, _ in texts])),
            attention_mask=torch.stack([mask for _, mask in texts]),
        )
        scores = outputs.pred_logits.float().sigmoid() * outputs.presence_logits.float().sigmoid()
        return [Instances(*pair) for pair in zip(outputs.pred_masks, scores, strict=True)]

    @torch.inference_mode()
    def _text(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """A name's (LONGEST, d) features and its (LONGEST,) attention mask."""
        tokens = self._tokenizer(
            [name], padding="max_length", truncation=True, max_length=LONGEST, return_tensors="pt"
        ).to(self._device)
        seen = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
        return self.network.get_text_features(**seen).pooler_output[0], tokens["attention_mask"][0]


def on_grid(mask: np.ndarray, height: int, width: int, device: torch.device) -> torch.Tensor:
    """(height, width) float32: how much of each cell a dense (H, W) mask covers, when squeezed to that grid."""
    dense = torch.from_numpy(np.ascontiguousarray(mask)).to(device, torch.float32)
    covered: torch.Tensor = torch.nn.functional.interpolate(dense[None, None], size=(height, width), mode="area")
    return covered[0, 0]


def overlaps(masks: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """(N, Q) IoU of N soft masks, (N, h, w) in [0, 1], with Q instances given by (Q, h, w) logits."""
    flat = masks.flatten(1)
    inside = (logits > 0).float().flatten(1)
    shared = flat @ inside.T
    union = flat.sum(1)[:, None] + inside.sum(1)[None] - shared
    return shared / union.clamp(min=1e-9)
