"""What takes the place of packages and weights that a machine with a GPU may lack, doing the same work on the device.

- `Clip`: open_clip's ViT CLIP in plain torch, with its names of weights, so that it takes the same files.
- `WordPhrases`: spaCy's place; two words of a caption are a phrase. spaCy's own time is then not measured.
- `DrawnMasks`: a SAM whose arithmetic is done, and whose answers are drawn: random weights answer with noise, which
  no threshold lets pass. `GivenMasks`: its answers are an image's known masks.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import types
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fiftyone_ssa.masks import rle
from fiftyone_ssa.models.devices import upload
from fiftyone_ssa.models.everything import PointModel
from fiftyone_ssa.models.found_masks import Encoding
from fiftyone_ssa.types import Floats, Image, MaskSet

START, END, CONTEXT = 49406, 49407, 77
"""CLIP's tokens for the two ends of a text, and how many tokens it takes."""


class QuickGELU(nn.Module):
    """OpenAI's activation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As open_clip computes it."""
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A residual attention block."""

    def __init__(self, width: int, heads: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        layers = [
            ("c_fc", nn.Linear(width, 4 * width)),
            ("gelu", activation()),
            ("c_proj", nn.Linear(4 * width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, tokens, width) to the same."""
        seen = self.ln_1(x)
        x = x + self.attn(seen, seen, seen, need_weights=False, attn_mask=mask)[0]
        out: torch.Tensor = x + self.mlp(self.ln_2(x))
        return out


class Tower(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, width: int, layers: int, heads: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads, activation) for _ in range(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, tokens, width) to the same."""
        for block in self.resblocks:
            x = block(x, mask)
        return x


class VisionTower(nn.Module):
    """From pixels to the embedding of the class token."""

    def __init__(self, config: dict[str, Any], joint: int, activation: type[nn.Module]) -> None:
        super().__init__()
        width, patch = config["width"], config["patch_size"]
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * 0.02)
        self.positional_embedding = nn.Parameter(torch.randn((config["image_size"] // patch) ** 2 + 1, width) * 0.02)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Tower(width, config["layers"], width // config.get("head_width", 64), activation)
        self.proj = nn.Parameter(torch.randn(width, joint) * width**-0.5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(rows, joint) of (rows, 3, side, side)."""
        patches = self.conv1(pixels).flatten(2).mT
        tokens = torch.cat([self.class_embedding.expand(len(pixels), 1, -1), patches], 1) + self.positional_embedding
        seen: torch.Tensor = self.ln_post(self.transformer(self.ln_pre(tokens)))[:, 0] @ self.proj
        return seen


class Clip(nn.Module):
    """open_clip's CLIP of a `model_cfg` as its configuration files hold it; same weights, same answers (tested)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        text, joint = config["text_cfg"], config["embed_dim"]
        activation: type[nn.Module] = QuickGELU if config.get("quick_gelu") else nn.GELU
        self.visual = VisionTower(config["vision_cfg"], joint, activation)
        self.transformer = Tower(text["width"], text["layers"], text["heads"], activation)
        self.token_embedding = nn.Embedding(text["vocab_size"], text["width"])
        self.positional_embedding = nn.Parameter(torch.randn(text["context_length"], text["width"]) * 0.01)
        self.ln_final = nn.LayerNorm(text["width"])
        self.text_projection = nn.Parameter(torch.randn(text["width"], joint) * text["width"] ** -0.5)
        self.logit_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        causal = torch.full((text["context_length"],) * 2, float("-inf")).triu(1)
        self.register_buffer("attn_mask", causal, persistent=False)

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """(rows, joint) of (rows, 3, side, side)."""
        seen: torch.Tensor = self.visual(pixels)
        return seen

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(rows, joint) of (rows, 77) tokens."""
        states = self.token_embedding(tokens) + self.positional_embedding
        states = self.ln_final(self.transformer(states, self.attn_mask.to(states.dtype)))
        last: torch.Tensor = states[torch.arange(len(tokens), device=tokens.device), tokens.argmax(-1)]
        return last @ self.text_projection


def tokenize(texts: Sequence[str]) -> torch.Tensor:
    """(N, 77) tokens: a number for each word, by its checksum, in place of CLIP's vocabulary, which is not at hand."""
    rows = torch.zeros((len(texts), CONTEXT), dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        words = [zlib.crc32(word.encode()) % (START - 1) + 1 for word in text.lower().split()][: CONTEXT - 2]
        row[: len(words) + 2] = torch.tensor([START, *words, END])
    return rows


def open_clip_or_stand_in() -> bool:
    """Whether open_clip is here; where it is not, put a module in its place that opens `local-dir:` models."""
    loaded = sys.modules.get("open_clip")
    if loaded is not None or importlib.util.find_spec("open_clip"):
        return not getattr(loaded, "is_stand_in", False)
    for name, members in (
        ("open_clip", {"create_model_from_pretrained": _open, "get_tokenizer": lambda _: tokenize, "__path__": []}),
        ("open_clip.transform", {"ResizeKeepRatio": type("ResizeKeepRatio", (), {})}),  # what no step of ours is
    ):
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__.update(members, is_stand_in=True)
        sys.modules[name] = module
    return False


def _open(name: str, **_: Any) -> tuple[Clip, Any]:
    from safetensors.torch import load_file
    from torchvision import transforms

    folder = Path(name.removeprefix("local-dir:"))
    settings = json.loads((folder / "open_clip_config.json").read_text())
    network, seen = Clip(settings["model_cfg"]), settings["preprocess_cfg"]
    network.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    steps = [
        transforms.Resize(seen["size"], transforms.InterpolationMode.BICUBIC, antialias=True),
        transforms.CenterCrop(seen["size"]),
        lambda image: image.convert("RGB"),
        transforms.ToTensor(),
        transforms.Normalize(seen["mean"], seen["std"]),
    ]
    return network, transforms.Compose(steps)


class WordPhrases:
    """In spaCy's place: the first two pairs of words of each caption."""

    def __init__(self, mode: str = "raw") -> None:
        self.mode = mode

    def __call__(self, captions: Sequence[str]) -> list[tuple[str, ...]]:
        """One tuple of distinct phrases per caption."""
        words = [caption.split() for caption in captions]
        return [tuple(dict.fromkeys(" ".join(row[at : at + 2]) for at in (0, 2) if row[at:])) for row in words]


class DrawnMasks:
    """A point model that asks `model` and answers with ellipses: the three smallest that hold each point."""

    def __init__(self, model: PointModel, objects: int = 110) -> None:
        self.model, self.device, self.side = model, model.device, model.side
        random = np.random.default_rng(0)
        self._middles = random.uniform(0, 1, (objects, 2))
        self._radii = np.exp(random.uniform(np.log(0.01), np.log(0.15), (objects, 2)))
        self._areas = self._radii.prod(1)
        self._ious = random.uniform(0.88, 0.99, objects)
        self._planes: dict[tuple[Any, ...], torch.Tensor] = {}

    def encode_all(self, images: Sequence[Image]) -> list[Encoding]:
        """The model's own encodings."""
        return self.model.encode_all(images)

    def decode(self, encoding: Encoding, points_xy: Floats, _: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """The model's own decoding, and drawn logits and predicted IoU in the place of its answer.

        Points in nothing drawn have a low predicted IoU, for which a model draws nothing: neither does this one.
        """
        inside = self._inside(points_xy / np.array(encoding.frame.size_hw[::-1]))
        for some, threshold in ((inside.any(1), -math.inf), (~inside.any(1), math.inf)):
            if some.any():
                logits, _ = self.model.decode(encoding, points_xy[some], threshold)
        planes = self._drawn(encoding, (logits.shape[2], logits.shape[3]))
        areas = np.where(inside, self._areas, np.inf)
        chosen = np.ascontiguousarray(np.argsort(areas, axis=1)[:, : logits.shape[1]])
        # a SAM's answers all hold the point: where fewer than three do, the smallest comes again
        chosen = np.where(np.take_along_axis(inside, chosen, 1), chosen, chosen[:, :1])
        ious = np.where(inside.any(1)[:, None], self._ious[chosen], 0.3).astype(np.float32)
        return planes[upload(chosen, self.device)], upload(ious, self.device)

    def _drawn(self, encoding: Encoding, grid_hw: tuple[int, int]) -> torch.Tensor:
        """(objects, h, w) logits on the device, once for each frame."""
        key = (encoding.frame, grid_hw)
        if key not in self._planes:
            reach = np.array(encoding.frame.input_hw) / encoding.frame.side * grid_hw
            y, x = ((np.arange(cells) + 0.5) / seen for cells, seen in zip(grid_hw, reach, strict=True))
            logits = np.clip(60 * self._heights(y, x), -20, 20).astype(np.float32)
            self._planes[key] = torch.from_numpy(logits).to(self.device)
        return self._planes[key]

    def _inside(self, places_xy: Floats) -> np.ndarray:
        """(P, objects) whether each place (P, 2), as shares of width and height, lies in each."""
        return np.asarray((((places_xy[:, None] - self._middles) / self._radii) ** 2).sum(-1) < 1)

    def _heights(self, y: Floats, x: Floats) -> Floats:
        """(objects, h, w) above 0 in each object, at shares of height and width (more than 1 is beside the image)."""
        return np.stack(
            [
                1 - ((y[:, None] - middle[1]) / radius[1]) ** 2 - ((x - middle[0]) / radius[0]) ** 2
                for middle, radius in zip(self._middles, self._radii, strict=True)
            ]
        )


class GivenMasks(DrawnMasks):
    """The same with an image's known masks, at least three, in the ellipses' place."""

    def __init__(self, model: PointModel, masks: MaskSet) -> None:
        super().__init__(model, 0)
        self._dense = np.stack([rle.decode(counts, masks.size_hw) for counts in masks.rles])
        self._areas, self._ious = self._dense.sum((1, 2)), np.full(len(masks), 0.95)

    def _inside(self, places_xy: Floats) -> np.ndarray:
        x, y = self._cells(places_xy[:, 0], 2), self._cells(places_xy[:, 1], 1)
        return np.asarray(self._dense[:, y, x].T)

    def _heights(self, y: Floats, x: Floats) -> Floats:
        inside = self._dense[:, self._cells(y, 1)[:, None], self._cells(x, 2)]
        return np.where(inside & (y < 1)[:, None] & (x < 1), 1.0, -1.0)

    def _cells(self, shares: Floats, axis: int) -> np.ndarray:
        size = self._dense.shape[axis]
        return np.clip((shares * size).astype(np.int64), 0, size - 1)
