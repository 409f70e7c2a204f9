"""Presets: the one home of every threshold and model name, as TOML files that are validated when loaded."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fiftyone_ssa.errors import InputError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Masks:
    """Where masks come from: SAM with `SamAutomaticMaskGenerator`'s parameters, or masks that are already there."""

    source: Literal["sam", "existing"] = "sam"
    model: str = "facebook/sam-vit-huge"
    """A Hugging Face id or folder of the SAM family, or a segment_anything checkpoint (`.pth`)."""
    points_per_side: int = field(default=32, metadata={"range": (1, 512)})
    points_per_batch: int = field(default=64, metadata={"range": (1, 65536)})
    pred_iou_thresh: float = field(default=0.86, metadata={"range": (-1e9, 1.0)})
    stability_score_thresh: float = field(default=0.92, metadata={"range": (0.0, 1.0)})
    stability_score_offset: float = field(default=1.0, metadata={"range": (0.0, 100.0)})
    box_nms_thresh: float = field(default=0.7, metadata={"range": (0.0, 1.0)})
    crop_n_layers: int = field(default=0, metadata={"range": (0, 4)})
    crop_nms_thresh: float = field(default=0.7, metadata={"range": (0.0, 1.0)})
    crop_overlap_ratio: float = field(default=512 / 1500, metadata={"range": (0.0, 1.0)})
    crop_n_points_downscale_factor: int = field(default=1, metadata={"range": (1, 64)})
    min_mask_region_area: int = field(default=0, metadata={"range": (0, 1_000_000_000)})
    answered_iou_thresh: float = field(default=0.0, metadata={"range": (0.0, 1.0)})
    """A point inside the smallest mask that another point of its crop was given is not asked, if that mask's predicted
    IoU is this or above. 0 asks all, as SamAutomaticMaskGenerator does, which has no such parameter."""


@dataclass(frozen=True)
class Semantic:
    """The closed-set segmenter of SSA and its voting rule."""

    model: str = ""
    """A Hugging Face id or folder, `"module:factory"`, or `"field"` for an existing FiftyOne Segmentation."""
    vote: Literal["hard", "soft", "core", "blend"] = "hard"


@dataclass(frozen=True)
class OpenVocabulary:
    """The models and settings of SSA-engine."""

    segmenters: tuple[str, ...] = ()
    captioner: str = ""
    """A Hugging Face id or folder of a captioner; empty: no captions."""
    class_filter: str = ""
    """An open_clip model: `"ViT-L-14:openai"`, or `"local-dir:FOLDER"`."""
    decider: str = ""
    """A Hugging Face id or folder of a CLIPSeg."""
    phrases: Literal["head", "raw"] = "head"
    vocabulary: str = ""
    """A text file with one name a line, offered for every mask; empty: none."""
    top_k: int = field(default=3, metadata={"range": (1, 1000)})
    filter_scale: float = field(default=1.2, metadata={"range": (1.0, 100.0)})
    caption_scale: float = field(default=1.6, metadata={"range": (1.0, 100.0)})
    decide_scale: float = field(default=1.6, metadata={"range": (1.0, 100.0)})
    max_new_tokens: int = field(default=20, metadata={"range": (1, 512)})


@dataclass(frozen=True)
class Preset:
    """One pipeline with every setting. Load it with `load_preset`; it travels between processes, its models do not."""

    name: str
    pipeline: Literal["ssa", "engine"] = "ssa"
    masks: Masks = Masks()
    semantic: Semantic = Semantic()
    open_vocabulary: OpenVocabulary = OpenVocabulary()

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits over all settings that can change a label; the preset's name does not count.

        A vocabulary counts by what its file holds, so that an edited one is not taken for done.
        """
        settings: dict[str, Any] = {
            "pipeline": self.pipeline,
            "masks": {"source": "existing"} if self.masks.source == "existing" else dataclasses.asdict(self.masks),
            **(
                {"semantic": dataclasses.asdict(self.semantic)}
                if self.pipeline == "ssa"
                else {"open_vocabulary": dataclasses.asdict(self.open_vocabulary)}
            ),
        }
        vocabulary = Path(self.open_vocabulary.vocabulary)
        if self.pipeline == "engine" and vocabulary.is_file():
            settings["open_vocabulary"]["vocabulary"] = hashlib.sha256(vocabulary.read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


_SECTIONS: dict[str, type[Any]] = {"masks": Masks, "semantic": Semantic, "open_vocabulary": OpenVocabulary}
_PATH_KEYS = {
    "masks": ("model",),
    "semantic": ("model",),
    "open_vocabulary": ("segmenters", "captioner", "class_filter", "decider", "vocabulary"),
}


def preset_names() -> list[str]:
    """The names of the presets that come with the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_preset(preset: str | Path | Preset, overrides: Mapping[str, Any] | None = None) -> Preset:
    """A preset by name or TOML file, with `{"section.key": value}` overrides laid over it.

    Relative paths in a TOML are relative to its folder, those in overrides to the working directory.
    Raises InputError for an unknown name or key (with the nearest legal one), a wrong type or a value out of range.
    """
    if isinstance(preset, Preset):
        settings: dict[str, Any] = {
            "pipeline": preset.pipeline,
            **{section: dataclasses.asdict(getattr(preset, section)) for section in _SECTIONS},
        }
        name, where = preset.name, f"preset {preset.name}"
    else:
        path = _find(preset)
        name, where = path.stem, f"preset {path.name}"
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a TOML file: {error}") from error
        _resolve_paths(settings, path.parent.resolve())
    if overrides:
        changes = _nested(overrides)
        _resolve_paths(changes, Path.cwd())
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(settings.get(key, {}), dict):
                settings[key] = {**settings.get(key, {}), **value}
            else:
                settings[key] = value
    return _build(name, settings, where)


def parse_override(text: str) -> tuple[str, Any]:
    """`"section.key=value"` as a key and a TOML value; what is no TOML value is taken as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"a setting must read section.key=value, got {text!r}; for example semantic.vote=soft")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _find(preset: str | Path) -> Path:
    text = str(preset)
    if text in preset_names():
        return FOLDER / f"{text}.toml"
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.suffix == ".toml" or "/" in text:
        raise InputError(f"preset file {text} does not exist; the presets that come with the package are {_listed()}")
    raise InputError(
        f"there is no preset {text!r}{_nearest(text, preset_names())}; choose one of {_listed()} or a TOML file"
    )


def _listed() -> str:
    return ", ".join(preset_names())


def _nearest(word: str, legal: list[str]) -> str:
    close = difflib.get_close_matches(word, legal, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in overrides.items():
        section, dot, option = key.partition(".")
        if dot:
            nested.setdefault(section, {})[option] = value
        elif isinstance(value, Mapping):
            nested.setdefault(section, {}).update(value)
        else:
            nested[section] = value
    return nested


def _resolve_paths(settings: dict[str, Any], folder: Path) -> None:
    """Make model and file paths absolute where they name something below `folder`; ids stay as they are."""

    def resolve(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [resolve(entry) for entry in value]
        if not isinstance(value, str) or not value:
            return value
        module, _, factory = value.partition(":")
        source = folder / (module if module.endswith(".py") else f"{module.replace('.', '/')}.py")
        if factory.isidentifier() and source.is_file():
            return f"{source.resolve()}:{factory}"  # the user's own segmenter, so that any process can build it
        prefix = "local-dir:" if value.startswith("local-dir:") else ""
        path = Path(value.removeprefix(prefix)).expanduser()
        explicit = prefix or value.startswith(("./", "../", "~"))
        return f"{prefix}{(folder / path).resolve()}" if explicit or (folder / path).exists() else value

    for section, keys in _PATH_KEYS.items():
        table = settings.get(section)
        if isinstance(table, dict):
            table.update({key: resolve(table[key]) for key in keys if key in table})


def _build(name: str, settings: Mapping[str, Any], where: str) -> Preset:
    legal = ["pipeline", *_SECTIONS]
    for key in settings:
        if key not in legal:
            raise InputError(f"{where}: unknown key {key!r}{_nearest(key, legal)}; legal are {', '.join(legal)}")
    pipeline = _check(f"{where}: pipeline", settings.get("pipeline", "ssa"), Literal["ssa", "engine"])
    tables = {section: _table(kind, settings.get(section, {}), section, where) for section, kind in _SECTIONS.items()}
    preset = Preset(name=name, pipeline=pipeline, **tables)
    if pipeline == "ssa" and not preset.semantic.model:
        raise InputError(f"{where}: semantic.model is missing; name a Hugging Face id, a folder or module:factory")
    if pipeline == "engine":
        for key in ("class_filter", "decider"):
            if not getattr(preset.open_vocabulary, key):
                raise InputError(f"{where}: open_vocabulary.{key} is missing; the engine presets show what to name")
        chosen = preset.open_vocabulary
        if not (chosen.segmenters or chosen.captioner or chosen.vocabulary):
            raise InputError(
                f"{where}: nothing proposes names; set open_vocabulary segmenters, captioner or vocabulary"
            )
    return preset


def _table(kind: type[Any], table: Any, section: str, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: {section} must be a table of settings, got {table!r}")
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in hints:
            raise InputError(
                f"{where}: unknown key {section}.{key}{_nearest(key, list(hints))}; legal are {', '.join(hints)}"
            )
        limits = next(f for f in dataclasses.fields(kind) if f.name == key).metadata.get("range")
        values[key] = _check(f"{where}: {section}.{key}", value, hints[key], limits)
    return kind(**values)


def _check(what: str, value: Any, hint: Any, limits: tuple[float, float] | None = None) -> Any:
    if typing.get_origin(hint) is Literal:
        legal = typing.get_args(hint)
        if value not in legal:
            raise InputError(
                f"{what} must be one of {', '.join(legal)}, got {value!r}{_nearest(str(value), list(legal))}"
            )
        return value
    if typing.get_origin(hint) is tuple:
        if isinstance(value, str) or not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise InputError(f"{what} must be a list of strings, got {value!r}")
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or isinstance(value, bool):
        raise InputError(f"{what} must be {_KIND[hint]}, got {value!r}")
    if limits and not limits[0] <= value <= limits[1]:
        raise InputError(f"{what} must be from {limits[0]:g} to {limits[1]:g}, got {value!r}")
    return value


_KIND: dict[type[Any], str] = {str: "a string", int: "a whole number", float: "a number"}
