"""Loading a decider: a CLIPSeg, a SAM 3, an image-text model, or the user's own."""

from __future__ import annotations

import torch

from fiftyone_ssa.models import DeciderSlot
from fiftyone_ssa.models.choosing_decider import ChoosingDecider
from fiftyone_ssa.models.clipseg import CLIPSEG, WHAT
from fiftyone_ssa.models.concept_decider import ConceptDecider
from fiftyone_ssa.models.concepts import KINDS as CONCEPTS
from fiftyone_ssa.models.decider import Decider
from fiftyone_ssa.models.factories import is_factory
from fiftyone_ssa.models.hub import check_kind, loading
from fiftyone_ssa.models.prompted import ALONE, legal_kinds
from fiftyone_ssa.models.user_slots import build_decider

TAKES = (
    "a CLIPSeg (CIDAS/clipseg-rd64-refined, say), a SAM 3, or an image-text model with a chat template (Qwen-VL, "
    "SmolVLM, LLaVA, InternVL ...), PaliGemma or Kosmos-2"
)


def load_decider(model: str, device: torch.device, dtype: torch.dtype, *, top_k: int = 3) -> DeciderSlot:
    """A decider by Hugging Face id or folder, or the user's own by `"module:factory"`.

    A CLIPSeg, a SAM 3 that is asked by name, or an image-text model that chooses among `top_k` (3, at most 26) names.
    Raises InputError if it cannot be loaded, with what to do.
    """
    if is_factory(model):
        return build_decider(model)
    from transformers import AutoConfig

    with loading(model, WHAT):
        config = AutoConfig.from_pretrained(model)
        chooses = {kind: names for kind, names in legal_kinds().items() if kind not in (*ALONE, "florence2")}
        check_kind(config, model, WHAT, {**CLIPSEG, **CONCEPTS, **chooses}, TAKES)
        if config.model_type in chooses:
            return ChoosingDecider(config, model, device, dtype, most=top_k, what=WHAT, takes=TAKES)
    if config.model_type in CONCEPTS:
        return ConceptDecider(model, device, dtype, WHAT, TAKES)
    return Decider(model, device, dtype)
