"""The presets as cards of a form: what each is for, what it needs, and how long it takes here."""

from __future__ import annotations

from pathlib import Path

from fiftyone_ssa.models.catalogue import PREFERRED, Facts, facts
from fiftyone_ssa.models.hardware import Hardware
from fiftyone_ssa.models.speeds import seconds_an_image
from fiftyone_ssa.presets import Preset, load_preset, preset_names, preset_purpose

from .forms import Card

OWN_FILE = "own TOML file"
SLOW_S = 60.0
"""An image: what takes longer is for another machine."""
NAMES = {
    "facebook/sam-vit-huge": "SAM ViT-H",
    "facebook/sam2.1-hiera-tiny": "SAM 2.1 tiny",
    "nvidia/segformer-b5-finetuned-ade-640-640": "SegFormer B5",
    "nvidia/segformer-b5-finetuned-cityscapes-1024-1024": "SegFormer B5",
    "nvidia/segformer-b0-finetuned-ade-512-512": "SegFormer B0",
    "shi-labs/oneformer_coco_swin_large": "OneFormer",
    "shi-labs/oneformer_ade20k_swin_large": "OneFormer",
    "shi-labs/oneformer_ade20k_swin_tiny": "OneFormer Swin-T",
    "shi-labs/oneformer_cityscapes_dinat_large": "OneFormer DiNAT",
    "Salesforce/blip-image-captioning-large": "BLIP",
    "Salesforce/blip-image-captioning-base": "BLIP base",
    "timm/vit_large_patch14_clip_224.openai": "CLIP L/14",
    "timm/vit_base_patch32_clip_224.openai": "CLIP B/32",
    "CIDAS/clipseg-rd64-refined": "CLIPSeg",
    "CIDAS/clipseg-rd16": "CLIPSeg rd16",
    "facebook/sam2.1-hiera-large": "SAM 2.1 large",
    "tue-mps/coco_panoptic_eomt_large_640": "EoMT",
    "tue-mps/ade20k_semantic_eomt_large_512": "EoMT",
    "HuggingFaceTB/SmolVLM-500M-Instruct": "SmolVLM",
    "google/siglip2-base-patch32-256": "SigLIP 2 B/32",
    "google/siglip2-large-patch16-256": "SigLIP 2 L/16",
}
"""How people call the models."""


def preset_cards(here: Hardware) -> list[Card]:
    """All presets, those that can run at once first, then those that take no minutes an image here; the user's own file
    last.
    """
    presets = [load_preset(name) for name in preset_names()]
    known = {preset.name: facts(preset) for preset in presets}
    order = [*PREFERRED, *(name for name in known if name not in PREFERRED)]

    def rank(preset: Preset) -> tuple[bool, bool, int]:
        is_slow = (seconds_an_image(preset, here) or 0.0) > SLOW_S
        return bool(known[preset.name].missing), is_slow, order.index(preset.name)

    cards = [_card(preset, known[preset.name], here) for preset in sorted(presets, key=rank)]
    return [*cards, Card(OWN_FILE, "Your own TOML file", "A preset that you wrote; its path is asked for below")]


def _card(preset: Preset, about: Facts, here: Hardware) -> Card:
    lines = [preset_purpose(preset.name), _models(about), _needs(about, here), _time(preset, here)]
    return Card(preset.name, f"{preset.name} ({_state(about, here)})", f"{'. '.join(lines)}.")


def _state(about: Facts, here: Hardware) -> str:
    if about.packages:
        return f"needs pip install {' '.join(about.packages)}"
    if not about.missing:
        fits = about.can_run(gpu=here.is_gpu, free_gb=here.free_gb)
        return "ready" if fits else f"needs more memory than the {here.free_gb:.0f} GB that are free"
    size = f", {about.download_gb:.1f} GB" if about.download_gb else ""
    return f"not downloaded{size}"


def _models(about: Facts) -> str:
    if "quickstart" in str(about.models):
        return f"{about.parameters_m:,.0f} M parameters"
    named = dict.fromkeys(NAMES.get(model, Path(model.removeprefix("local-dir:")).name) for model in about.models)
    size = f", {about.parameters_m:,.0f} M parameters" if about.parameters_m else ""
    return f"{', '.join(named)}{size}"


def _needs(about: Facts, here: Hardware) -> str:
    memory, what = about.memory_gb(gpu=here.is_gpu), "GPU memory" if here.is_gpu else "Memory"
    return f"{what} {memory:.1f} GB (estimate)" if memory else f"{what} unknown"


def _time(preset: Preset, here: Hardware) -> str:
    seconds = seconds_an_image(preset, here)
    if seconds is None:
        return "Speed unknown"
    return f"About {duration(seconds)} an image on {'a GPU (estimate)' if here.is_gpu else 'this CPU'}"


def duration(seconds: float) -> str:
    """Rough time as people say it: one or two digits and a unit."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    if seconds < 0.095:
        return f"{seconds:.1g} s"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
