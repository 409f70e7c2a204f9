"""Loading a captioner: what captions alone, what is asked in words, or the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from logging import ERROR, getLogger
from typing import Any

import torch

from fiftyone_ssa.errors import InputError, said_by
from fiftyone_ssa.models import CaptionerSlot
from fiftyone_ssa.models.captioning import WHAT, BlipCaptioner, Captioner
from fiftyone_ssa.models.devices import finer
from fiftyone_ssa.models.factories import is_factory
from fiftyone_ssa.models.faults import is_device_lost, is_out_of_memory
from fiftyone_ssa.models.hub import check_kind, check_vocabulary, load_whole, loading
from fiftyone_ssa.models.prompted import ALONE, PromptedCaptioner, check_can_be_asked, legal_kinds, load_prompted
from fiftyone_ssa.models.prompts import PROMPTS
from fiftyone_ssa.models.user_slots import build_captioner

TAKES = (
    "a captioner (BLIP, BLIP-2, GIT, ViT-GPT2, Florence-2) or an image-text model with a chat template (Qwen-VL, "
    "SmolVLM, LLaVA, InternVL ...), PaliGemma or Kosmos-2"
)


def load_captioner(
    model: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    max_new_tokens: int = 20,
    prompt: str = "name",
    trust_remote_code: bool = False,
) -> CaptionerSlot:
    """A captioner by Hugging Face id or folder, or the user's own by `"module:factory"`.

    `prompt` is what image-text models are asked, by name (`prompts.PROMPTS`) or in words; those that caption alone
    read none. Raises InputError if the model cannot be loaded or takes no such prompt, with what to do.
    """
    if is_factory(model):
        return build_captioner(model)
    from transformers import AutoConfig, AutoModelForImageTextToText

    options = {"trust_remote_code": trust_remote_code}
    # notices at every batch about padding, which no image has
    getLogger("transformers.generation.utils").setLevel(ERROR)
    with loading(model, WHAT):
        config = AutoConfig.from_pretrained(model, **options)
        foreign = "AutoModelForImageTextToText" in (getattr(config, "auto_map", None) or {})
        if not foreign:
            check_kind(config, model, WHAT, legal_kinds(), TAKES)
        if not foreign and config.model_type not in ALONE:
            check_can_be_asked(config, model, WHAT, TAKES)
            parts = load_prompted(model, WHAT, device, dtype, options)
            return PromptedCaptioner(parts, max_new_tokens, prompt)
        if prompt not in PROMPTS:
            raise InputError(
                f"{model} ({config.model_type}) captions without a prompt; leave open_vocabulary.prompt as it is, "
                "or choose a model that is asked in words"
            )
        processor = _processor(model, options)
        check_vocabulary(getattr(processor, "tokenizer", processor), model, WHAT)
        dtype = finer(dtype) if config.model_type == "blip" else dtype
        network = load_whole(AutoModelForImageTextToText, model, WHAT, dtype, **options).to(device)
        if config.model_type == "blip":
            return BlipCaptioner(processor, network, max_new_tokens)  # it looks once: a processor may not fit it
    try:
        return Captioner(processor, network, max_new_tokens)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:
        if is_out_of_memory(error) or is_device_lost(error):
            raise
        raise InputError(
            f"{model} ({config.model_type}) cannot caption an image without a prompt; give {TAKES} "
            f"({type(error).__name__}: {said_by(error)})"
        ) from error


def _processor(model: str, options: dict[str, Any]) -> Any:
    """What makes pixels of images and words of tokens."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

    processor = AutoProcessor.from_pretrained(model, backend="torchvision", **options)
    if hasattr(processor, "image_processor"):
        return processor
    # a repository that names no processor class (ViT-GPT2) gives one of its two halves only
    images = AutoImageProcessor.from_pretrained(model, backend="torchvision", **options)
    return _Halves(images, AutoTokenizer.from_pretrained(model, **options))


@dataclass(frozen=True)
class _Halves:
    """An image processor and a tokenizer as one processor."""

    image_processor: Any
    tokenizer: Any

    def __call__(self, images: Any, **options: Any) -> Any:
        return self.image_processor(images, **options)

    def batch_decode(self, tokens: Any, **options: Any) -> list[str]:
        """One text for each row of tokens."""
        texts: list[str] = self.tokenizer.batch_decode(tokens, **options)
        return texts
