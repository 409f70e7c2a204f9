"""What labels were made of: settings with the content of what they name, and the files of one image.

Work is done only while its stamps hold. Settings count by content, not by path: a model folder that was moved is the
same model, one whose weights were replaced is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.models.factories import is_factory, is_filter_factory, source_file
from fiftyone_ssa.presets import FACTORY, Preset
from fiftyone_ssa.presets.paths import existing
from fiftyone_ssa.presets.settings import FILTER, default_settings, fingerprint

MODEL_FILES = frozenset((".json", ".safetensors", ".bin", ".pt", ".pth", ".txt", ".model", ".jinja", ".py"))
"""Endings of the files in a model folder that can change what it answers: configuration, weights, vocabulary, code."""
_NAMING_KEYS = (
    *("masks.model", "masks.concepts", "semantic.model", "semantic.vocabulary", "semantic.ontology"),
    *(f"open_vocabulary.{slot}" for slot in ("segmenters", "captioner", "class_filter", "decider")),
    *("open_vocabulary.vocabulary", "open_vocabulary.ontology"),
)
_CODE: dict[str, Callable[[str], bool]] = {"open_vocabulary.class_filter": is_filter_factory}

UNKNOWN, MISSING = "@unknown", "missing"
"""How the content of a hub model ends that is not downloaded, and of a file that is not there."""


@dataclass(frozen=True)
class Settings:
    """All that labels of a run depend on besides their image: `"section.key"` to a JSON value."""

    values: Mapping[str, Any]
    known: bool = True
    """False while a hub model is not downloaded, so that its revision is not known (ask again when it is), or a file
    that is named is missing."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits; equal where labels are made alike."""
        return fingerprint(self.values)

    def differences(self, recorded: Mapping[str, Any] | None, most: int = 4) -> list[str]:
        """The names of up to `most` settings that differ from recorded `values`; those not recorded had defaults."""
        if not isinstance(recorded, Mapping):
            return []
        defaults = default_settings()
        names = [*self.values, *(key for key in recorded if key not in self.values)]
        changed = [
            name
            for name in names
            if self.values.get(name, defaults.get(name)) != recorded.get(name, defaults.get(name))
        ]
        return changed[:most]


def settings_stamp(preset: Preset, **more: str | None) -> Settings:
    """A preset's settings with the content of what they name, and `more` of what labels depend on (None: left out).

    A model folder or file, a vocabulary and a factory's source file count by their bytes, a hub model by the revision
    in the local cache. Reads all weights (about a second for 2 GB), once in a process. Raises InputError if one of
    the files cannot be read.
    """
    values = preset.settings()
    contents = {
        key: {name: _content(name, code=_CODE.get(key, is_factory)) for name in _listed(values[key])}
        for key in _NAMING_KEYS
        if key in values
    }
    for key, of_names in contents.items():
        value = values[key]
        values[key] = [of_names[name] for name in value] if isinstance(value, list) else of_names.get(value, "")
    values |= {key: value for key, value in more.items() if value is not None}
    found = [content for of_names in contents.values() for content in of_names.values()]
    return Settings(values, known=not any(content.endswith((UNKNOWN, MISSING)) for content in found))


def model_stamp(name: str) -> str:
    """What a model's name stands for: the digest of its files, or the hub id with its revision."""
    return _content(name)


def file_stamp(path: Path) -> str:
    """Size in bytes and modification time of a file as text; empty where it cannot be found."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _listed(value: str | list[str]) -> list[str]:
    return [name for name in (value if isinstance(value, list) else [value]) if name]


def _content(name: str, code: Callable[[str], bool] = is_factory) -> str:
    """What a name stands for: the digest of its files, or the hub id with its revision; `code` knows names of code."""
    if name == FILTER:
        return name
    if "\n" in name:  # a vocabulary as it stands
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    factory = FACTORY.match(name)
    if factory and code(name):
        source = source_file(name)
        return f"{factory['name']} {_digest_of_files((source,)) if source and source.is_file() else 'missing'}"
    architecture, _, file = name.partition(":")
    if file and (weights := existing(file)) is not None and weights.is_file() and existing(name) is None:
        return f"{architecture} {_digest_of_files((weights,))}"  # open_clip's "architecture:weights file"
    path = existing(name.removeprefix("local-dir:"))
    if path is not None and path.is_file():
        return _digest_of_files((path,))
    if path is not None and path.is_dir():
        return _digest_of_files(tuple(_model_files(path)), path)
    if Path(name).is_absolute() or name.startswith("local-dir:"):
        return "missing"  # whoever loads it says so
    return f"{name}@{_revision(name.removeprefix('hf-hub:'))}"


def _model_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in MODEL_FILES and path.is_file() and not path.name.startswith("."):
            yield path


def _digest_of_files(paths: tuple[Path, ...], folder: Path | None = None) -> str:
    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(lambda path: _file_digest(path, file_stamp(path)), paths))
    names = [str(path.relative_to(folder)) if folder else "" for path in paths]
    return hashlib.sha256(repr(list(zip(names, digests, strict=True))).encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def _file_digest(path: Path, stamp: str) -> str:
    """SHA-256 of a file; `stamp` lets a changed file be read again."""
    if not stamp:
        return "missing"  # whoever loads it says so
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; mend that, or name another file") from error


def _revision(model: str) -> str:
    """The commit of a hub model in the local cache; an open_clip tag is one itself."""
    if "/" not in model:
        return "tag"
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return "unknown"
    for name in ("config.json", "open_clip_config.json"):
        try:
            found = try_to_load_from_cache(model, name)
        except (HFValidationError, ValueError):
            return "unknown"  # no id at all: whoever loads it says so
        if isinstance(found, str):
            return Path(found).parent.name
    return "unknown"
