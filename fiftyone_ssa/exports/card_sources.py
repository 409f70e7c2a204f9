"""Where an export's names come from, for its data card: presets, models with revisions and licences, evaluations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fiftyone_ssa.curation.standings import standings
from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.parquet_source import ParquetSource
from fiftyone_ssa.exports.sources import DatasetSource, Source
from fiftyone_ssa.files.json_file import plain
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.database import root_dataset
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.models.catalogue import preset_models
from fiftyone_ssa.presets import load_preset, preset_names

UNKNOWN = "unknown"
LICENCES = {
    "facebook/sam-vit-*": "apache-2.0",
    "facebook/sam2*": "apache-2.0",
    "nvidia/segformer-*": "other: NVIDIA Source Code License for SegFormer (non-commercial)",
    "shi-labs/oneformer_*": "mit",
    "Salesforce/blip-*": "bsd-3-clause",
    "timm/*_clip_*.openai": "apache-2.0",
    "ViT-*:openai": "mit",
    "CIDAS/clipseg-*": "apache-2.0",
    "tue-mps/*eomt*": "mit",
    "HuggingFaceTB/SmolVLM-*": "apache-2.0",
    "google/siglip2-*": "apache-2.0",
}
"""Names of models that presets have, to what their cards on the hub say; a card on this disk counts for more."""
_SLOTS = ("masks.model", "masks.concepts", "semantic.model")
_INFO = ("license", "licence", "licenses", "source", "url", "version", "contributor")
"""Keys of a dataset's `info` that say where the data is from."""


def presets_of(source: Source) -> list[dict[str, Any]]:
    """The settings that an export's labels were made with, each with how many images; none where nobody recorded it."""
    if isinstance(source, ParquetSource):
        told = source.settings()
        return [] if told is None else [_preset(*told, source.done())]
    if not isinstance(source, DatasetSource):
        return []
    name = Fields(source.label_field).preset
    if not source.samples.has_sample_field(name):
        return []
    found = []
    for fingerprint, images in sorted(source.samples.count_values(name).items(), key=lambda item: -item[1]):
        known = runs.settings_of(fingerprint) if fingerprint else None
        if known is not None:
            preset, values = known
            found.append(_preset(preset, fingerprint, values, images))
        elif fingerprint:
            found.append({"preset": UNKNOWN, "fingerprint": fingerprint, "images": images, "models": []})
    return found


def _preset(preset: str, fingerprint: str, values: Mapping[str, Any], images: int) -> dict[str, Any]:
    return {
        "preset": preset,
        "fingerprint": fingerprint,
        "images": images,
        "models": list(_models(preset, values)),
        "thresholds": {key: value for key, value in values.items() if "thresh" in key},
        "settings": dict(values),
    }


def evaluations_of(source: Source) -> list[dict[str, Any]]:
    """What was measured of the field, on the whole dataset, the earliest first."""
    if not isinstance(source, DatasetSource):
        return []
    fields = Fields(source.label_field)
    return [
        {
            "key": row.eval_key,
            "predictions": row.pred_field,
            "ground_truth": row.gt_field,
            "when": row.when.isoformat(timespec="seconds"),
            "images": row.scores.images,
            "mIoU": _rounded(row.scores.mean_iou),
            "aAcc": _rounded(row.scores.pixel_accuracy),
            "mAcc": _rounded(row.scores.mean_accuracy),
        }
        for row in standings(source.samples)
        if row.pred_field in (fields.label, fields.semantic, fields.branch)
    ]


def data_of(source: Source) -> dict[str, Any]:
    """What is known of where the images are from: what the dataset's `info` says."""
    info = dict(root_dataset(source.samples).info or {}) if isinstance(source, DatasetSource) else {}
    known = {key: plain(info[key]) for key in _INFO if info.get(key)}
    return {"licence": known.get("license") or known.get("licence") or known.get("licenses") or UNKNOWN, **known}


def licence_of(model: str) -> str:
    """The licence of a model by its card on this disk, else as `LICENCES` knows it, else unknown."""
    card = _card(model)
    found = re.search(r"^licen[sc]e:[ \t]*['\"]?([^'\"\n]+)", card, re.MULTILINE) if card else None
    if found and found[1].strip() != "other":
        return found[1].strip()
    return next((licence for pattern, licence in LICENCES.items() if fnmatch(model, pattern)), UNKNOWN)


def _models(preset: str, values: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The models behind settings: a hub model by its id and revision, a folder by the digest of its files."""
    names = dict(_named(preset))
    slots = [*_SLOTS, *(key for key in values if key.startswith("open_vocabulary."))]
    wanted = [key for key in slots if key in _SLOTS or key.rsplit(".", 1)[1] in _OPEN_SLOTS]
    for key in wanted:
        value = values.get(key)
        for content in value if isinstance(value, list) else [value]:
            if not isinstance(content, str) or not content or content == "filter":
                continue
            name, at, revision = content.rpartition("@")
            model = name if at else names.get(content, content)
            yield {
                "slot": key,
                "model": Path(model).name if model.startswith("/") else model,
                "revision": revision if at else f"files {content}",
                "licence": licence_of(model),
            }


_OPEN_SLOTS = ("segmenters", "captioner", "class_filter", "decider")


def _named(preset: str) -> Iterator[tuple[str, str]]:
    """Digest to folder of the models in folders that a preset of ours names."""
    from fiftyone_ssa.naming.stamp import model_stamp

    if preset not in preset_names():
        return
    for model in preset_models(load_preset(preset)):
        folder = model.removeprefix("local-dir:")
        if folder.startswith("/"):
            try:
                yield model_stamp(model), folder
            except InputError:
                continue


def _card(model: str) -> str:
    """The first kilobytes of a model's card on this disk; empty where there is none."""
    path: Any = Path(model) / "README.md" if model.startswith("/") else None
    if path is None and "/" in model:
        try:
            from huggingface_hub import try_to_load_from_cache

            path = try_to_load_from_cache(model, "README.md")
        except (ImportError, ValueError):
            return ""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")[:4000] if isinstance(path, str | Path) else ""
    except OSError:
        return ""


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if value == value else None
