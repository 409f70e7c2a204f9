"""Segmenters that are told their classes: a CLIPSeg, GroupViT or SAM 3, asked for each name of a vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.architectures import TAKES_NAMES
from fiftyone_ssa.models.concepts import KINDS as CONCEPTS
from fiftyone_ssa.models.concepts import Concepts, Instances
from fiftyone_ssa.models.devices import Chunks, plan_chunks
from fiftyone_ssa.models.factories import is_factory
from fiftyone_ssa.models.hub import check_kind, check_vocabulary, load_whole, loading
from fiftyone_ssa.models.images import processed
from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.models.scores import ClassScores
from fiftyone_ssa.types import Image, SemanticMap

WHAT = "an open-vocabulary segmenter"
KINDS = {"clipseg": ("CLIPSegForImageSegmentation",), "groupvit": ("GroupViTModel",), **CONCEPTS}
BACKGROUND = "background"
GRID_BYTES = 128 << 20
"""Scores of all names of an image held at once; with more names the grid is coarser by 2, 3 ..."""
TEXTS_KEPT = 1 << 15
LEAST = 1e-6
"""Shares are at least this far from 0 and 1 before their logit is taken."""


class Finder(Protocol):
    """A network that is asked for names."""

    joint: bool
    """Whether scores mean something only beside those of the other names, as a softmax; else each is a logit alone."""

    def look(self, image: torch.Tensor) -> Any:
        """What is seen in an (H, W, 3) uint8 image, whatever is asked of it."""

    def find(self, seen: Any, names: Sequence[str], keep: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        """What `keep` makes of the (h, w) float32 logits of each name."""


def needs_vocabulary(model: str, *, trust_remote_code: bool = False) -> bool:
    """Whether a segmenter's name stands for one that knows no classes of its own, by its configuration alone."""
    if is_factory(model):
        return False
    from transformers import AutoConfig

    with loading(model, "a semantic segmenter"):
        return AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code).model_type in KINDS


def load_open_segmenter(
    model: str, device: torch.device, dtype: torch.dtype, names: Sequence[str], background: float
) -> OpenSegmenter:
    """A segmenter by the Hugging Face id or folder of a CLIPSeg, GroupViT or SAM 3, which is asked for `names`.

    Raises InputError if there are none, or if it cannot be loaded, with what to do.
    """
    from transformers import AutoConfig

    if not names:
        raise InputError(
            f"{model} knows no classes of its own: name them in semantic.vocabulary (of an engine preset in "
            "open_vocabulary.vocabulary), a text file with one a line or the names themselves"
        )
    with loading(model, WHAT):
        config = AutoConfig.from_pretrained(model)
        check_kind(config, model, WHAT, KINDS, TAKES_NAMES)
    finders = {"clipseg": ClipSegFinder, "groupvit": GroupVitFinder}
    finder = finders.get(config.model_type, ConceptFinder)(model, device, dtype)
    return OpenSegmenter(finder, device, names, background)


class OpenSegmenter:
    """Class scores of any names: each is one plane on the finder's grid, never of the image's size.

    With `background` above 0 there is one class more, which has a pixel where every name's share of it is less.
    """

    def __init__(self, finder: Finder, device: torch.device, names: Sequence[str], background: float = 0.0) -> None:
        self._finder, self._device, self._background = finder, device, background
        self._names = tuple(name for name in names if not background or name.casefold() != BACKGROUND)
        self.classes: Sequence[str] = (*self._names, BACKGROUND) if background else self._names

    def __call__(self, images: Sequence[Image]) -> list[SemanticMap]:
        """One class map per image, of its size."""
        return [scores.semantic_map() for scores in self.scores(images)]

    def scores(self, images: Sequence[Image]) -> list[ClassScores]:
        """Class scores on the finder's grid."""
        return [self._scores(image) for image in images]

    @torch.inference_mode()
    def _scores(self, image: Image) -> ClassScores:
        seen = self._finder.look(torch.from_numpy(np.ascontiguousarray(image)).to(self._device))
        values = torch.stack(self._finder.find(seen, self._names, self._coarse))
        if self._finder.joint:
            values = values.log_softmax(0)
        if share := self._background:
            level = math.log(share) if self._finder.joint else math.log(share / (1 - share))
            values = torch.cat([values, values.new_full((1, *values.shape[1:]), level)])
        return ClassScores(values, tuple(self.classes), (image.shape[0], image.shape[1]), logits=True)

    def _coarse(self, logits: torch.Tensor) -> torch.Tensor:
        """A name's logits, averaged over cells of a coarser grid where all names would take too much."""
        factor = math.ceil(math.sqrt(4 * logits.numel() * len(self._names) / GRID_BYTES))
        height, width = (max(1, side // max(1, factor)) for side in logits.shape)
        cells = (height, width)
        return torch.nn.functional.adaptive_avg_pool2d(logits[None], cells)[0] if factor > 1 else logits


class _Texts:
    """Names as a network's text tower embeds them, each once a run."""

    def __init__(self, network: Any, tokenizer: Any, device: torch.device, longest: int) -> None:
        self._network, self._tokenizer, self._device, self._longest = network, tokenizer, device, longest
        self._known = Memo(lambda names: [self._embed(name) for name in names], TEXTS_KEPT)

    def __call__(self, names: Sequence[str]) -> torch.Tensor:
        """(N, d) embeddings."""
        return torch.stack(self._known(names))

    @torch.inference_mode()
    def _embed(self, name: str) -> torch.Tensor:
        tokens = self._tokenizer(
            [name], padding="max_length", truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._device)
        found: torch.Tensor = self._network.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output[0]
        return found


class _Network:
    """What CLIPSeg and GroupViT have in common: an image processor, a text tower, and names in chunks."""

    joint = False

    def __init__(self, kind: Any, model: str, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer

        with loading(model, WHAT):
            self._processor = AutoImageProcessor.from_pretrained(model, backend="torchvision")
            tokenizer = check_vocabulary(AutoTokenizer.from_pretrained(model), model, WHAT, pads=True)
            self._network = load_whole(kind, model, WHAT, dtype).to(device)
        if getattr(self._processor, "do_center_crop", False):  # a map of the middle is none of the image
            self._processor.do_center_crop, self._processor.size = False, self._processor.crop_size
        self._device, self._dtype = device, dtype
        longest = int(self._network.config.text_config.max_position_embeddings)
        self._texts = _Texts(getattr(self._network, "clip", self._network), tokenizer, device, longest)
        with loading(model, WHAT):  # a processor of another size than the network's fails here
            blank = self.look(torch.zeros((64, 64, 3), dtype=torch.uint8, device=device))
        self._chunks: Chunks = plan_chunks(
            lambda rows: self._logits(blank, ["a"] * rows), self._network, device, most=16, what=WHAT
        )

    def find(self, seen: Any, names: Sequence[str], keep: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        """What `keep` makes of the (h, w) float32 logits of each name."""
        return self._chunks.map(lambda some: [keep(logits) for logits in self._logits(seen, some)], names)

    def _pixels(self, image: torch.Tensor) -> torch.Tensor:
        return processed(self._processor, [image], self._device, self._dtype)["pixel_values"]

    def look(self, image: torch.Tensor) -> Any:
        """What is seen in an (H, W, 3) uint8 image."""
        raise NotImplementedError

    def _logits(self, seen: Any, names: Sequence[str]) -> torch.Tensor:
        """(names, h, w) float32."""
        raise NotImplementedError


class ClipSegFinder(_Network):
    """CLIPSeg: its tower looks once, its decoder once a name."""

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import CLIPSegForImageSegmentation

        super().__init__(CLIPSegForImageSegmentation, model, device, dtype)

    @torch.inference_mode()
    def look(self, image: torch.Tensor) -> Any:
        """The (1, tokens, width) states that the decoder taps."""
        vision = self._network.clip.vision_model
        found = vision(self._pixels(image), output_hidden_states=True, interpolate_pos_encoding=True)
        return [found.hidden_states[layer + 1] for layer in self._network.extract_layers]

    @torch.inference_mode()
    def _logits(self, seen: Any, names: Sequence[str]) -> torch.Tensor:
        rows = [state.expand(len(names), -1, -1) for state in seen]
        logits: torch.Tensor = self._network.decoder(rows, self._texts(names)).logits
        return logits.view(len(names), *logits.shape[-2:]).float()


class GroupVitFinder(_Network):
    """GroupViT: an image is a few groups of pixels, and each group is near to some names."""

    joint = True

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import GroupViTModel

        super().__init__(GroupViTModel, model, device, dtype)

    @torch.inference_mode()
    def look(self, image: torch.Tensor) -> Any:
        """(G, d) unit embeddings of the groups, and (G, h, w) how much of each cell is theirs."""
        from transformers.models.groupvit.modeling_groupvit import get_grouping_from_attentions

        pixels = self._pixels(image)
        found = self._network.vision_model(pixels, output_attentions=True)
        groups = self._network.visual_projection(found.last_hidden_state[0]).float()
        shares = get_grouping_from_attentions(found.attentions, pixels.shape[2:])[0].float()
        return groups / groups.norm(dim=-1, keepdim=True), shares

    @torch.inference_mode()
    def _logits(self, seen: Any, names: Sequence[str]) -> torch.Tensor:
        groups, shares = seen
        texts = self._texts(names).float()
        near = self._network.logit_scale.exp().float() * (texts / texts.norm(dim=-1, keepdim=True)) @ groups.T
        return torch.einsum("ng,ghw->nhw", near, shares)


class ConceptFinder:
    """SAM 3: a name's share of a cell is the best of its instances', score times mask."""

    joint = False

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        self._concepts = Concepts(model, WHAT, device, dtype, TAKES_NAMES)

    def look(self, image: torch.Tensor) -> Any:
        """What is seen in an (H, W, 3) uint8 image."""
        return self._concepts.look(image)

    def find(self, seen: Any, names: Sequence[str], keep: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        """What `keep` makes of the (h, w) float32 logits of each name."""
        return self._concepts.find(seen, names, lambda found: keep(_best_share(found)))


def _best_share(found: Instances) -> torch.Tensor:
    """(h, w) logits of the highest share that an instance has of each cell."""
    shares = (found.logits.float().sigmoid() * found.scores[:, None, None]).amax(0)
    return shares.clamp(LEAST, 1 - LEAST).logit()
