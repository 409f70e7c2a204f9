"""What is known of a preset's models without loading one: which they are, how large, and whether they are here."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fiftyone_ssa.presets import FACTORY, Preset, load_preset
from fiftyone_ssa.presets.paths import existing
from fiftyone_ssa.presets.settings import FILTER

OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_REPOSITORIES = {
    "ViT-L-14:openai": "timm/vit_large_patch14_clip_224.openai",
    "ViT-B-32:openai": "timm/vit_base_patch32_clip_224.openai",
}
"""Where open_clip gets the weights of the presets' models from; it is asked about others, which takes seconds."""
PARAMETERS_M = {
    "facebook/sam-vit-huge": 641,
    "facebook/sam2.1-hiera-tiny": 39,
    "nvidia/segformer-b5-finetuned-ade-640-640": 85,
    "nvidia/segformer-b5-finetuned-cityscapes-1024-1024": 85,
    "nvidia/segformer-b0-finetuned-ade-512-512": 4,
    "shi-labs/oneformer_coco_swin_large": 219,
    "shi-labs/oneformer_ade20k_swin_large": 219,
    "shi-labs/oneformer_ade20k_swin_tiny": 51,
    "shi-labs/oneformer_cityscapes_dinat_large": 223,
    "Salesforce/blip-image-captioning-large": 446,
    "Salesforce/blip-image-captioning-base": 224,
    "timm/vit_large_patch14_clip_224.openai": 428,
    "timm/vit_base_patch32_clip_224.openai": 151,
    "CIDAS/clipseg-rd64-refined": 152,
    "CIDAS/clipseg-rd16": 152,
    "facebook/sam2.1-hiera-large": 224,
    "tue-mps/coco_panoptic_eomt_large_640": 317,
    "tue-mps/ade20k_semantic_eomt_large_512": 317,
    "HuggingFaceTB/SmolVLM-500M-Instruct": 507,
    "google/siglip2-base-patch32-256": 377,
    "google/siglip2-large-patch16-256": 882,
}
"""Millions of parameters of the models that presets name."""
ANSWER_NAMES = frozenset({"HuggingFaceTB/SmolVLM-500M-Instruct"})
"""Captioners of presets that name things and write no sentences, which spaCy would read."""
PREFERRED = (
    "ssa-ade20k",
    "engine-2026",
    "engine-base",
    "engine-small",
    "engine-fast",
    "ssa-ade20k-b0",
    "ssa-fast",
    "ssa-cityscapes",
    "ssa-foggy-driving",
    "mini-ssa",
)
"""Which preset is proposed: the first of these that can run here. The last one always can."""
WORKING_GB = 2.0
"""What a device needs besides the weights: its own libraries, and batches, which follow the memory that is free."""
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True)
class Facts:
    """What a form can tell of a preset before it runs."""

    models: tuple[str, ...]
    missing: tuple[str, ...]
    """Those that are not here: not downloaded, or, of those named by their path, not there."""
    parameters_m: float | None
    """Millions, of all models together; None where one of them is not known."""
    packages: tuple[str, ...]
    """What has to be installed first, by its name for pip."""

    @property
    def download_gb(self) -> float | None:
        """Gigabytes to fetch, at 4 bytes a parameter; None where they are not known."""
        sizes = [parameters_m(model) for model in self.missing]
        return sum(size * 4e-3 for size in sizes if size) if None not in sizes else None

    def memory_gb(self, *, gpu: bool) -> float | None:
        """An estimate: 2 bytes a parameter on a GPU, 4 on a CPU, and `WORKING_GB`."""
        return None if self.parameters_m is None else self.parameters_m * (2e-3 if gpu else 4e-3) + WORKING_GB

    def can_run(self, *, gpu: bool, free_gb: float | None) -> bool:
        """Whether all is there, and fits into the memory that is free, as far as that is known."""
        needed = self.memory_gb(gpu=gpu)
        fits = needed is None or free_gb is None or needed <= free_gb
        return not self.missing and not self.packages and fits


def facts(preset: Preset) -> Facts:
    """What is known of a preset's models, by looking at this machine's disk alone."""
    models = tuple(preset_models(preset))
    sizes = [parameters_m(model) for model in models]
    return Facts(
        models,
        tuple(model for model in models if not FACTORY.match(model) and not is_cached(model)),
        sum(size for size in sizes if size) if None not in sizes else None,
        tuple(_missing_packages(preset)),
    )


def preferred_preset(*, gpu: bool, free_gb: float | None) -> str:
    """The preset to propose on this machine: one that can run without fetching anything."""
    runs = (name for name in PREFERRED if facts(load_preset(name)).can_run(gpu=gpu, free_gb=free_gb))
    return next(runs, PREFERRED[-1])


def _missing_packages(preset: Preset) -> Iterator[str]:
    needed = {"transformers": "transformers"}
    if preset.pipeline == "engine":
        chosen = preset.open_vocabulary
        if not is_of_transformers(chosen.class_filter):
            needed["open_clip"] = "open_clip_torch"
        if chosen.captioner and chosen.captioner not in ANSWER_NAMES:
            needed["spacy"] = "spacy"
    return (package for module, package in needed.items() if importlib.util.find_spec(module) is None)


def preset_models(preset: Preset) -> list[str]:
    """The Hugging Face ids, folders or files of a preset's models; open_clip's by the repository that it loads from."""
    chosen = preset.open_vocabulary
    models = [preset.masks.model] if preset.masks.source == "sam" else []
    models += [preset.masks.concepts] if preset.masks.concepts not in ("", *models) else []
    if preset.pipeline == "ssa":
        return [*models, preset.semantic.model] if preset.semantic.source == "model" else models
    models += [*chosen.segmenters, chosen.captioner, _open_clip_repository(chosen.class_filter), chosen.decider]
    return [model for model in models if model and model != FILTER]


def is_of_transformers(class_filter: str) -> bool:
    """Whether a class filter is no open_clip's: a hub id without a prefix, or a folder without its configuration."""
    folder = existing(class_filter)
    if folder is not None and folder.is_dir():
        return (folder / "config.json").is_file() and not (folder / OPEN_CLIP_CONFIG).is_file()
    return ":" not in class_filter and class_filter.count("/") == 1 and class_filter[0] not in "/.~"


def path_of(model: str) -> Path | None:
    """The folder or file of a model that is named by its path; None where it is named otherwise."""
    path = Path(model.removeprefix("local-dir:"))
    return path if path.is_absolute() else None


def is_cached(model: str) -> bool:
    """Whether the model's folder, or its local snapshot, holds weights, or the model is a file that is there."""
    if path := path_of(model):
        return path.is_file() or next(_weights(path), None) is not None
    try:
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(model, "config.json") or try_to_load_from_cache(model, OPEN_CLIP_CONFIG)
    except (ImportError, ValueError):  # ValueError: no id of the hub
        return False
    return isinstance(config, str) and next(_weights(Path(config).parent), None) is not None


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` keeps models from being downloaded."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return False
    return bool(constants.HF_HUB_OFFLINE)


def parameters_m(model: str) -> float | None:
    """Millions of parameters of a model that a preset names, or that lies in a folder; None if it is not known."""
    folder = path_of(model)
    if folder is None:
        return PARAMETERS_M.get(model)
    try:
        counts = [_parameters(path) for path in folder.glob("*.safetensors")]
    except (OSError, ValueError, TypeError, LookupError, AttributeError):  # a damaged file
        return None
    return sum(counts) / 1e6 if counts else None


def _parameters(path: Path) -> int:
    """The numbers in a safetensors file, by its header alone."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _weights(folder: Path) -> Iterator[Path]:
    return (path for pattern in _WEIGHTS for path in folder.glob(pattern))


def _open_clip_repository(name: str) -> str:
    if name.startswith("local-dir:") or name in OPEN_CLIP_REPOSITORIES:
        return OPEN_CLIP_REPOSITORIES.get(name, name)
    if ":" not in name or name.startswith("hf-hub:"):  # a hub id
        return name.removeprefix("hf-hub:")
    architecture, _, tag = name.partition(":")
    if path_of(tag):
        return tag
    try:
        import open_clip
    except ImportError:
        return name
    return str((open_clip.get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", name)).rstrip("/")
