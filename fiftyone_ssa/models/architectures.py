"""What a model is made for, by the architecture that its config.json names: told without the libraries that run it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.models.catalogue import is_of_transformers, path_of
from fiftyone_ssa.presets import FACTORY, Preset

_SEGMENTERS = ("semantic.model", "open_vocabulary.segmenters")
_ASKED = ("open_vocabulary.captioner", "open_vocabulary.decider")
GOES_INTO: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"ForSemanticSegmentation$", _SEGMENTERS),
    (r"For(Universal|Instance)Segmentation$", ("masks.model", *_SEGMENTERS)),
    (r"ForImageSegmentation$", (*_SEGMENTERS, "open_vocabulary.decider")),
    (r"(ForConditionalGeneration|ForCausalLM|ForImageTextToText|EncoderDecoderModel)$", _ASKED),
    (r"For[A-Z]\w+$", ()),
    (r"^Sam3\w*Model$", ("masks.model", "masks.concepts", *_SEGMENTERS, "open_vocabulary.decider")),
    (r"^(Sam|EdgeTam)\w*Model$", ("masks.model",)),
    (r"^GroupViTModel$", _SEGMENTERS),
    (r"^(CLIP|MetaClip2|AltCLIP|ChineseCLIP|Siglip2?|Tipsv2)Model$", ("open_vocabulary.class_filter",)),
)
"""The settings that may name a model, by the first pattern that its architecture has; of others nothing is said.

Coarser than what loading finds: what is refused by it would never load, what is not may still be refused there.
"""


CLOSED = re.compile(r"For(Semantic|Universal|Instance)Segmentation$")
"""Segmenters that have classes of their own."""
TAKES_NAMES = "a CLIPSeg (CIDAS/clipseg-rd64-refined), GroupViT (nvidia/groupvit-gcc-yfcc) or SAM 3 (facebook/sam3)"


def check_models(preset: Preset) -> None:
    """Raise InputError for a model on this machine's disk that a setting names and that is made for another one.

    Also for a vocabulary where the segmenter has classes of its own.
    """
    for setting, model in _named(preset):
        kinds = _architectures(model)
        fits = [_settings_of(kind) for kind in kinds]
        if fits and all(legal is not None and setting not in legal for legal in fits):
            place = " or ".join(fits[0] or ()) or "no setting"
            raise InputError(
                f"the model {model} is a {kinds[0]}, which goes into {place}, not into {setting}; name another there"
            )
        if setting == "semantic.model" and preset.semantic.vocabulary and kinds and all(map(CLOSED.search, kinds)):
            raise InputError(with_own_classes(model))


def with_own_classes(model: str) -> str:
    """What is said where a vocabulary is given to a segmenter that has classes of its own."""
    return f"{model} has classes of its own; leave semantic.vocabulary out, or name {TAKES_NAMES}"


def _settings_of(kind: str) -> tuple[str, ...] | None:
    return next((settings for pattern, settings in GOES_INTO if re.search(pattern, kind)), None)


def _named(preset: Preset) -> Iterator[tuple[str, str]]:
    """Each setting that the preset's pipeline reads, with a model that it names."""
    settings = preset.settings()
    for setting in dict.fromkeys(name for _, names in GOES_INTO for name in names):
        value = settings.get(setting, "")
        yield from ((setting, model) for model in (value if isinstance(value, list) else [value]) if model)


def _architectures(model: str) -> list[str]:
    """Those that a model's config.json names; none where it is not here, or brings code of its own."""
    found = None if FACTORY.match(model) or not is_of_transformers(model) else _config(model)
    config = read_json(found) if found is not None else {}
    named = config.get("architectures")
    return [str(name) for name in named] if isinstance(named, list) and "auto_map" not in config else []


def _config(model: str) -> Path | None:
    if path := path_of(model):
        return path / "config.json"
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "config.json")
    except (ImportError, ValueError):  # ValueError: no id of the hub
        return None
    return Path(found) if isinstance(found, str) else None
