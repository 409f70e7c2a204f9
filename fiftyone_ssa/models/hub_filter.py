"""Class filters of transformers: CLIP, MetaCLIP 2, SigLIP and SigLIP 2, with a fixed size or keeping proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fiftyone_ssa.models.hub import check_kind, check_vocabulary, load_whole, loading
from fiftyone_ssa.models.images import processed
from fiftyone_ssa.models.quick_gelu import in_one_pass
from fiftyone_ssa.models.two_towers import WHAT, Embeddings, TwoTowers, unit, without_ends

KINDS = {
    "clip": ("CLIPModel",),
    "metaclip_2": ("MetaClip2Model",),
    "siglip": ("SiglipModel",),
    "siglip2": ("Siglip2Model",),
    "tipsv2": ("Tipsv2Model",),
    "altclip": ("AltCLIPModel",),
    "chinese_clip": ("ChineseCLIPModel",),
}
TAKES = "a CLIP, MetaCLIP 2, SigLIP, SigLIP 2 or TIPSv2, or a model of open_clip (ViT-L-14:openai, hf-hub:ID)"
SIGLIP = ("siglip", "siglip2")
"""Trained on lower-case texts of one length, whose padding was looked at too."""
LONGEST = {"altclip": 77, "chinese_clip": 52}
"""Tokens of a name, where the text tower could take many more than it was trained with."""


class HuggingFaceFilter(TwoTowers):
    """Unit embeddings by the Hugging Face id or folder of a model with two towers; names longer than it takes are cut.

    Crops are shaped as the model's own image processor does it: squeezed to a square, cut to their middle, or, by a
    SigLIP 2 "naflex", in their own proportions.
    Raises InputError if the model cannot be loaded, with what to do.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype, template: str = "{}") -> None:
        from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

        with loading(model, WHAT):
            config = AutoConfig.from_pretrained(model)
            check_kind(config, model, WHAT, KINDS, TAKES)
            self._processor = AutoImageProcessor.from_pretrained(model, backend="torchvision")
            self._tokenizer = check_vocabulary(AutoTokenizer.from_pretrained(model), model, WHAT, pads=True)
            self._network = in_one_pass(load_whole(AutoModel, model, WHAT, dtype), device, dtype).to(device)
            self._device, self._dtype = device, dtype
            self._embed_images([torch.zeros((8, 8, 3), dtype=torch.uint8, device=device)])  # its processor may not fit
        self._siglip = config.model_type in SIGLIP
        self._tokenizer.padding_side = "right"
        self._longest = LONGEST.get(config.model_type) or int(config.text_config.max_position_embeddings)
        self.logit_scale = _scale(self._network)
        self.logit_bias = float(self._network.logit_bias.detach()) if self._siglip else None
        self._plan_batches(self._network.vision_model, self._network, template)

    @torch.inference_mode()
    def _embed_images(self, crops: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        if getattr(self._processor, "do_center_crop", False):
            crops = [without_ends(crop) for crop in crops]
        tensors = processed(self._processor, crops, self._device, self._dtype)
        return list(unit(_pooled(self._network.get_image_features(**tensors))))

    @torch.inference_mode()
    def _embed_texts(self, names: Sequence[str]) -> Sequence[Embeddings]:
        texts = [name.lower() for name in names] if self._siglip else list(names)
        tokens = self._tokenizer(
            texts, padding="max_length", truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._device)
        seen = {} if self._siglip else {"attention_mask": tokens["attention_mask"]}
        features = _pooled(self._network.get_text_features(input_ids=tokens["input_ids"], **seen))
        return list(unit(features).cpu().numpy())


def _scale(network: Any) -> float:
    """What similarities are multiplied by: some keep its logarithm, some its inverse."""
    inverse = getattr(network, "temperature", None)
    return float(network.logit_scale.detach().float().exp() if inverse is None else 1 / inverse.detach().float())


def _pooled(output: Any) -> torch.Tensor:
    pooled: torch.Tensor = getattr(output, "pooler_output", output)
    return pooled
