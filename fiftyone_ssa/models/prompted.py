"""Image-text models that are asked in words: through their chat template, or in the words they were trained with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.functional import interpolate, pad

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.models.captioning import WHAT
from fiftyone_ssa.models.devices import plan_chunks
from fiftyone_ssa.models.hub import check_vocabulary, load_whole, loading
from fiftyone_ssa.models.prompts import FOR_KINDS, names_in, part_prompt_for, prompt_for, read

ALONE = ("blip", "blip-2", "git", "vision-encoder-decoder")
"""Kinds of models that caption an image without a prompt."""
READERS = ("ocr", "formula", "chart", "docling", "udop", "pix2struct", "kosmos-2.5")
"""Parts of the kinds' names that read documents."""
OTHERS = ("pi0", "evolla", "shieldgemma2", "fuyu", "idefics", "idefics2", "llama4")
"""Kinds that act, judge, or show images in ways of their own; Llama 4, whose code in transformers 5.24 fails at
every image."""
SIDE = 448
"""Where a model sees as many tokens as a crop has pixels, crops are shown on a square of this many pixels a side."""


def legal_kinds() -> dict[str, tuple[str, ...]]:
    """The kinds that say what is in an image, with the architecture that does."""
    from transformers.models.auto import modeling_auto

    known = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    return {
        kind: (name,)
        for kind, name in known.items()
        if kind not in OTHERS and not any(part in kind for part in READERS)
    }


def check_can_be_asked(config: Any, model: str, what: str, takes: str) -> None:
    """Raise InputError, before any weights are read, if there is no way to put a question to a model."""
    if config.model_type in FOR_KINDS:
        return
    from transformers import AutoProcessor

    if not getattr(AutoProcessor.from_pretrained(model), "chat_template", None):
        kind = config.model_type
        raise InputError(f"cannot load {what}: {model} ({kind}) has no chat template to be asked through; give {takes}")


@dataclass(frozen=True)
class Prompted:
    """A model that is asked, and what makes inputs of a crop and a text."""

    model: str
    kind: str
    processor: Any
    network: Any
    square: bool
    """Whether crops are shown on a square, so that all take as many tokens."""

    def words(self, prompt: str) -> str:
        """`prompt` as the model expects it, with the place of the image."""
        if self.kind in FOR_KINDS:
            return f"{self.processor.image_token}{prompt}" if self.kind == "paligemma" else prompt
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        # models that think before they answer would be cut off while they do
        thinks = "enable_thinking" in str(self.processor.chat_template)
        text: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=False,
            **({"enable_thinking": False} if thinks else {}),
        )
        return text

    def inputs(self, crops: Sequence[torch.Tensor], texts: Sequence[str]) -> dict[str, Any]:
        """What the network takes, of (h, w, 3) uint8 crops and as many texts from `words`."""
        shown = [_on_a_square(crop) if self.square else crop.permute(2, 0, 1) for crop in crops]
        bos = self.processor.tokenizer.bos_token
        starts = bool(bos) and texts[0].startswith(bos)
        # the data format is named: a crop 1 or 3 pixels high would be taken for channels otherwise
        inputs = self.processor(
            images=[[image] for image in shown],  # some take a flat list for the images of one text
            text=list(texts),
            padding=True,
            return_tensors="pt",
            input_data_format="channels_first",
            **({"add_special_tokens": False} if starts else {}),
        )
        dtype = self.network.dtype
        return {
            key: value.to(self.network.device, dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
            if isinstance(value, torch.Tensor)
        }


def load_prompted(model: str, what: str, device: torch.device, dtype: torch.dtype, options: dict[str, Any]) -> Prompted:
    """A model that is asked, whole, on `device`; raises InputError if it cannot be loaded."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    with loading(model, what):
        kind = AutoConfig.from_pretrained(model, **options).model_type
        processor = AutoProcessor.from_pretrained(model, backend="torchvision", **options)
        check_vocabulary(processor.tokenizer, model, what)
        network = load_whole(AutoModelForImageTextToText, model, what, dtype, **options).to(device)
    _show_whole(processor)
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    parts = Prompted(model, kind, processor, network, square=False)
    return parts if _alike(parts) else Prompted(model, kind, processor, network, square=True)


def _show_whole(processor: Any) -> None:
    """One tile a crop: a mask's crop is small, and tiles of it cost as much as as many crops."""
    processor.tokenizer.padding_side = "left"
    images = processor.image_processor
    if getattr(images, "do_image_splitting", False):
        images.do_image_splitting = False
        if getattr(images, "max_image_size", None):
            images.size = dict(images.max_image_size)  # it would be enlarged first, to many times that
    if getattr(images, "crop_to_patches", None) is not None:
        images.crop_to_patches = False
        type(processor).images_kwargs = {**getattr(type(processor), "images_kwargs", {}), "crop_to_patches": False}


def _alike(parts: Prompted) -> bool:
    """Whether crops of different sizes and proportions make inputs of one shape."""
    shapes = []
    for height, width in ((64, 64), (40, 160), (900, 600)):
        blank = torch.zeros((height, width, 3), dtype=torch.uint8, device=parts.network.device)
        shapes.append({key: value.shape for key, value in parts.inputs([blank], [parts.words("?")]).items()})
    return shapes[0] == shapes[1] == shapes[2]


def _on_a_square(crop: torch.Tensor) -> torch.Tensor:
    """(3, SIDE, SIDE) uint8: a crop enlarged or reduced in its proportions, in the middle of black."""
    height, width, _ = crop.shape
    scale = SIDE / max(height, width)
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    planes = crop.permute(2, 0, 1)[None].float()
    resized = interpolate(planes, size=size, mode="bicubic", antialias=True)[0].round().clamp(0, 255).to(torch.uint8)
    top, left = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    return pad(resized, (left, SIDE - size[1] - left, top, SIDE - size[0] - top))


class PromptedCaptioner:
    """One answer per crop, greedily; names as a tuple where names were asked for.

    Every crop takes as many tokens, and batches are of one size, so that an answer depends on nothing else in a batch.
    """

    def __init__(self, parts: Prompted, max_new_tokens: int, prompt: str) -> None:
        """Raises InputError if the model takes no such prompt."""
        asked, self._reading = prompt_for(parts.kind, prompt)
        self.only_names = self._reading == "names"
        self._parts, self._text = parts, parts.words(asked)
        self._limits = {"max_new_tokens": max_new_tokens, "do_sample": False, "num_beams": 1}
        self._limits["pad_token_id"] = parts.processor.tokenizer.pad_token_id
        blank = torch.zeros((64, 64, 3), dtype=torch.uint8, device=parts.network.device)
        try:
            self._answer([blank])
            self._crops = plan_chunks(
                lambda rows: self._answer([blank] * rows), parts.network, parts.network.device, most=32, what=WHAT
            )
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise InputError(
                f"{parts.model} ({parts.kind}) cannot be asked {prompt[:80]!r} about an image; choose another prompt "
                f"or captioner ({type(error).__name__}: {said_by(error)})"
            ) from error

    def __call__(self, groups: Sequence[Sequence[torch.Tensor]]) -> list[list[str | tuple[str, ...]]]:
        """For each (h, w, 3) uint8 crop of each group its names, or a sentence."""
        found = self._crops.map_groups(self._answer, groups)
        return [[read(answer, self._reading) for answer in answers] for answers in found]

    def parts(
        self, groups: Sequence[Sequence[torch.Tensor]], wholes: Sequence[Sequence[str]]
    ) -> list[list[str | tuple[str, ...]]]:
        """The same of crops of parts, with each crop's whole named in the question, where the model takes words."""
        every = [whole for group in wholes for whole in group]
        if any(part_prompt_for(self._parts.kind, whole) is None for whole in every):
            return self(groups)
        crops = [crop for group in groups for crop in group]
        found: list[str | tuple[str, ...]] = [()] * len(crops)
        for whole in dict.fromkeys(every):  # crops share a batch only with questions of as many tokens
            text = self._parts.words(str(part_prompt_for(self._parts.kind, whole)))
            places = [place for place, other in enumerate(every) if other == whole]
            (answers,) = self._crops.map_groups(partial(self._answer, text=text), [[crops[i] for i in places]])
            for place, answer in zip(places, answers, strict=True):
                found[place] = names_in(answer)
        rest = iter(found)
        return [[next(rest) for _ in group] for group in groups]

    @torch.inference_mode()
    def _answer(self, crops: Sequence[torch.Tensor], text: str | None = None) -> Sequence[str]:
        inputs = self._parts.inputs(crops, [text or self._text] * len(crops))
        tokens = self._parts.network.generate(**inputs, **self._limits)
        if not self._parts.network.config.is_encoder_decoder:
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._parts.processor.batch_decode(tokens, skip_special_tokens=True)]
