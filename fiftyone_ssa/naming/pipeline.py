"""From a preset to a pipeline: the one place that loads models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fiftyone_ssa.errors import DeviceLostError, InputError
from fiftyone_ssa.models import MaskGenerator
from fiftyone_ssa.models.devices import pick_device, pick_dtype
from fiftyone_ssa.models.faults import briefly, is_device_lost, is_out_of_memory, without_frames
from fiftyone_ssa.naming.run import Pipeline
from fiftyone_ssa.presets import Preset

if TYPE_CHECKING:
    from fiftyone_ssa.models.concept_masks import ConceptMasks


def build_pipeline(
    preset: Preset,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    keep_branch: bool = False,
    keep_embeddings: bool = False,
) -> Pipeline:
    """The pipeline that a preset describes, its models loaded: a batch of `types.Inputs` in, annotations out.

    Args:
        preset: from `load_preset`
        device ("auto"): auto (CUDA if there is a GPU, else the CPU), cpu, cuda, cuda:N or mps
        dtype ("auto"): auto (bfloat16 on a GPU, float32 on the CPU), float32, bfloat16 or float16
        trust_remote_code (False): whether to run code that comes with a Hugging Face model
        keep_branch (False): whether to keep the segmenter's own map beside the refined one (SSA only)
        keep_embeddings (False): whether to keep what CLIP saw in each mask's crop (engine only)

    Raises InputError if a model cannot be loaded or does not fit, with what to do; MissingDependencyError if a package
    is missing; DeviceLostError if the GPU fails.
    """
    if keep_branch and preset.pipeline != "ssa":
        raise InputError("only SSA has a segmenter's map to keep; leave keep_branch off for the engine")
    if keep_embeddings and preset.pipeline != "engine":
        raise InputError("only the engine has embeddings to keep: SSA looks at no crops; leave keep_embeddings off")
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    try:
        if preset.pipeline == "engine":
            return _engine(preset, torch_device, torch_dtype, trust_remote_code, keep_embeddings)
        return _ssa(preset, torch_device, torch_dtype, trust_remote_code, keep_branch)
    except Exception as error:
        if is_out_of_memory(error):
            raise InputError(
                f"the models of {preset.name} do not fit into the memory of {torch_device} ({briefly(error)}); choose "
                "smaller ones or another device"
            ) from without_frames(error)
        if is_device_lost(error):
            raise DeviceLostError(
                f"the device stopped working while models were loaded ({briefly(error)}); start again"
            ) from without_frames(error)
        raise


def _engine(
    preset: Preset, device: torch.device, dtype: torch.dtype, trust_remote_code: bool, keep_embeddings: bool
) -> Pipeline:
    from fiftyone_ssa.naming.engine import build_engine

    generator = _generator(preset, device, dtype)
    return build_engine(
        preset,
        device,
        dtype,
        generator=generator,
        concepts=_concepts(preset, device, dtype, generator),
        trust_remote_code=trust_remote_code,
        keep_embeddings=keep_embeddings,
    )


def _ssa(
    preset: Preset, device: torch.device, dtype: torch.dtype, trust_remote_code: bool, keep_branch: bool
) -> Pipeline:
    from fiftyone_ssa.models.open_segmenters import needs_vocabulary
    from fiftyone_ssa.models.segmenters import load_segmenter
    from fiftyone_ssa.naming.ssa import SSA
    from fiftyone_ssa.naming.under_ontology import load_ontology, with_prompts
    from fiftyone_ssa.naming.vocabulary import read_vocabulary

    ontology = load_ontology(preset.semantic.ontology)
    generator = _generator(preset, device, dtype)
    segmenter = None
    if preset.semantic.source == "model":
        chosen = preset.semantic
        given = read_vocabulary(chosen.vocabulary) if chosen.vocabulary else ()
        asks = needs_vocabulary(chosen.model, trust_remote_code=trust_remote_code)
        segmenter = load_segmenter(
            chosen.model,
            device,
            dtype,
            trust_remote_code=trust_remote_code,
            vocabulary=with_prompts(given, ontology) if asks else given,
            background=chosen.background,
        )
    concepts = _concepts(preset, device, dtype, generator)
    return SSA(
        segmenter,
        generator,
        rule=preset.semantic.vote,
        check=preset.semantic.check,
        keep_branch=keep_branch,
        concepts=concepts,
        ontology=ontology,
    )


def _generator(preset: Preset, device: torch.device, dtype: torch.dtype) -> MaskGenerator | None:
    if preset.masks.source != "sam":
        return None
    from fiftyone_ssa.models.sam import load_mask_generator

    return load_mask_generator(preset.masks, device, dtype)


def _concepts(
    preset: Preset, device: torch.device, dtype: torch.dtype, generator: MaskGenerator | None
) -> ConceptMasks | None:
    if not preset.masks.concepts:
        return None
    from fiftyone_ssa.models.concept_masks import ConceptMasks

    thresh = preset.masks.concept_thresh
    return ConceptMasks(preset.masks.concepts, device, dtype, thresh=thresh, generator=generator)
