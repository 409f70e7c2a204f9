"""Presets: the one home of every threshold and model name, as TOML files that are validated when loaded."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import math
import os
import tomllib
import typing
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.presets.paths import FACTORY, existing, resolved
from fiftyone_ssa.presets.settings import FILTER, SECTIONS, Masks, OpenVocabulary, Preset, Semantic

__all__ = [
    "FACTORY",
    "Masks",
    "OpenVocabulary",
    "Preset",
    "Semantic",
    "load_preset",
    "parse_override",
    "preset_names",
    "preset_purpose",
]

logger = logging.getLogger(__name__)
FOLDER = Path(__file__).parent
MAX_BYTES = 1_000_000
"""Of a preset's file; those that come with the package have 600."""

_PATH_KEYS = {
    "masks": ("model", "concepts"),
    "semantic": ("model", "vocabulary", "ontology"),
    "open_vocabulary": ("segmenters", "captioner", "class_filter", "decider", "vocabulary", "ontology"),
}


_READ_BY = {"semantic": "ssa", "open_vocabulary": "engine"}
"""Which pipeline reads a section; both read `masks`."""


_IDLE = {
    "open_vocabulary.decide_scale": ("decider", FILTER),
    **dict.fromkeys((f"open_vocabulary.{key}" for key in ("prompt", "phrases", "caption_scale")), ("captioner", "")),
    "open_vocabulary.max_new_tokens": ("captioner", ""),
    "open_vocabulary.weights": ("decision", "published"),
    "masks.concept_thresh": ("concepts", ""),
}
"""Settings that nothing reads where another of their section has a value; `applies` (`settings.py`) says of more."""


def preset_names() -> list[str]:
    """The names of the presets that come with the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def preset_purpose(name: str) -> str:
    """What a preset that comes with the package is for: the first comment of its file."""
    with (FOLDER / f"{name}.toml").open(encoding="utf-8") as file:
        return file.readline().strip("# \n.")


def load_preset(preset: str | Path | Preset, overrides: Mapping[str, Any] | None = None) -> Preset:
    """A preset with all its settings, checked.

    Args:
        preset: a name (`fiftyone-ssa presets` lists them), a TOML file, whose relative paths are relative to its
            folder, or a Preset
        overrides (None): changes to it, `{"section.key": value}`; relative paths are relative to the working directory

    Raises InputError for an unknown name or key (with the nearest legal one), a key that the preset's pipeline does not
    read, a wrong type or a value out of range.
    """
    given: Mapping[str, Any] = {}
    if isinstance(preset, Preset):
        settings: dict[str, Any] = {
            "pipeline": preset.pipeline,
            **{section: dataclasses.asdict(getattr(preset, section)) for section in SECTIONS},
        }
        name, where = preset.name, f"preset {preset.name}"
    else:
        path = _find(preset)
        name, where = path.stem, f"preset {path.name}"
        settings = _read_toml(path)
        _check_read(settings, settings.get("pipeline", "ssa"), where)
        _resolve_paths(settings, path.parent.resolve())
        given = {} if path.parent == FOLDER else settings
    if overrides:
        changes = _nested(overrides)
        _resolve_paths(changes, Path.cwd())
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(settings.get(key, {}), dict):
                settings[key] = {**settings.get(key, {}), **value}
            else:
                settings[key] = value
        _check_read(changes, settings.get("pipeline", "ssa"), where)
        given = changes  # a file's SAM is idle beside masks that exist, and nobody's mistake
    built = _build(name, settings, where)
    _tell_idle(given, built)
    return built


def parse_override(text: str) -> tuple[str, Any]:
    """`"section.key=value"` as a key and a TOML value; what is no TOML value is taken as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"a setting must read section.key=value, got {shown(text)}; for example semantic.vote=soft")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):  # ValueError: no TOML, or a number of thousands of digits
        return key.strip(), value.strip()
    return key.strip(), parsed["value"] if len(parsed) == 1 else value.strip()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes and no preset; {_choose()}")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, or a number of thousands of digits
        raise InputError(f"{path} is not a TOML file: {_clipped(str(error))}") from error


def _find(preset: str | Path) -> Path:
    if not isinstance(preset, str | Path):
        raise InputError(f"a preset must be a name, a TOML file or a Preset, got {shown(preset)}; {_choose()}")
    text = str(preset)
    if text in preset_names():
        return FOLDER / f"{text}.toml"
    path = _expanded(text)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise InputError(f"preset file {_clipped(text)} cannot be read: {error.strerror}; {_choose()}") from error
    if path.suffix == ".toml" or "/" in text:
        what = "is no file" if path.exists() else "does not exist"
        raise InputError(f"preset file {_clipped(text)} {what}; the presets that come with the package are {_listed()}")
    raise InputError(f"there is no preset {shown(text)}{_nearest(text, preset_names())}; {_choose()}")


def _choose() -> str:
    return f"choose one of {_listed()} or a TOML file"


def _expanded(text: str) -> Path:
    """A path with its `~` replaced; as it is where no such user exists."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{_clipped(text)} names the home folder of no user of this machine; write it out") from error


def _clipped(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 20]}... ({len(line)} characters)"


def _listed() -> str:
    return ", ".join(preset_names())


def _nearest(word: str, legal: list[str]) -> str:
    close = difflib.get_close_matches(word[:100].lower(), legal, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _nearest_key(word: str, legal: list[str], pipeline: object) -> str:
    """`_nearest` among the keys of a preset and those of its sections, which are named with them.

    One that the sections of both pipelines have is that of `pipeline`.
    """
    homes = {key: [repr(key)] for key in legal}
    unread = [section for section, reader in _READ_BY.items() if reader != pipeline]
    for section in [*(section for section in SECTIONS if section not in unread), *unread]:
        for key in typing.get_type_hints(SECTIONS[section]):
            if key not in homes or section not in unread:
                homes.setdefault(key, []).append(f"{section}.{key}")
    close = difflib.get_close_matches(word[:100].lower(), homes, n=1, cutoff=0.5)
    return f" (did you mean {' or '.join(homes[close[0]])}?)" if close else ""


def _check_read(given: Mapping[str, Any], pipeline: object, where: str) -> None:
    """Raise InputError for a setting of the other pipeline, which would change nothing."""
    reads = next((section for section, reader in _READ_BY.items() if reader == pipeline), None)
    for section, reader in _READ_BY.items():
        table = given.get(section)
        if reads in (None, section) or not isinstance(table, Mapping) or not table:
            continue
        key, legal = str(next(iter(table))), typing.get_type_hints(SECTIONS[str(reads)])
        near = f" (did you mean {reads}.{key}?)" if key in legal else ""
        raise InputError(
            f'{where}: {section}.{_clipped(key)}{near} does nothing where pipeline = "{pipeline}", which reads masks '
            f'and {reads} ({", ".join(legal)}); leave it out, or choose a preset with pipeline = "{reader}"'
        )


def _tell_idle(given: Mapping[str, Any], preset: Preset) -> None:
    """Warn of settings that a person gave, other than their defaults, and that nothing reads beside another."""
    for section in (section for section in SECTIONS if section in given):
        table = getattr(preset, section)
        for each in dataclasses.fields(table):
            if each.name not in given[section] or getattr(table, each.name) == each.default:
                continue
            key, idle = _IDLE.get(f"{section}.{each.name}", ("", None))
            wanted = each.metadata.get("applies")
            if wanted is not None and wanted != table.source:
                key, idle = "source", table.source
            if key and getattr(table, key) == idle:
                _tell_once(f'{section}.{each.name} does nothing where {section}.{key} = "{idle}"')


@cache
def _tell_once(sentence: str) -> None:
    """Warn, once a process: forms read their presets again and again."""
    logger.warning("%s", sentence)


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(overrides, Mapping) or not all(isinstance(key, str) for key in overrides):
        raise InputError(f'overrides must be {{"section.key": value}}, got {shown(overrides)}')
    nested: dict[str, Any] = {}
    for key, given in overrides.items():
        section, dot, option = key.partition(".")
        value = _plain(given)
        changes = {option: value} if dot else value
        if section in SECTIONS and not isinstance(changes, Mapping):
            raise InputError(
                f"section {section} must be a table of settings, got {shown(value)}; write {section}.key=value"
            )
        known = nested.setdefault(section, {} if isinstance(changes, Mapping) else changes)
        if isinstance(known, dict) and isinstance(changes, Mapping):
            known.update(changes)
        elif known is not changes:
            raise InputError(f"{section} is given as one value and as a table of settings; give one of the two")
    return nested


def _plain(value: Any) -> Any:
    """A path as text, numpy's numbers and arrays as Python's: what a sweep over settings has."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.tolist() if hasattr(value, "tolist") else value


def _resolve_paths(settings: dict[str, Any], folder: Path) -> None:
    """Make model and file paths absolute where they name something below `folder`; ids stay as they are."""

    def resolve(value: Any) -> Any:
        if not isinstance(value, str) or not value or "\n" in value:  # a vocabulary as it stands
            return value  # whether it may be anything else is checked later
        _expanded(value.removeprefix("local-dir:"))  # the home of no user is told
        return resolved(value, folder)

    for section, keys in _PATH_KEYS.items():
        table = settings.get(section)
        if isinstance(table, dict):
            _take_old_names(section, table)
            for key in keys:
                if key == "decider" and table.get(key) == FILTER:
                    continue  # a folder of that name is "./filter"
                if key == "vocabulary" and (names := _names(table.get(key), folder)):
                    table[key] = "".join(f"{name}\n" for name in names)
                elif isinstance(table.get(key), list | tuple):
                    table[key] = [resolve(entry) for entry in table[key]]
                elif key in table:
                    table[key] = resolve(table[key])


def _names(value: Any, folder: Path) -> list[str]:
    """The names that a vocabulary lists, or has commas between, unless a file is called so; none of any other."""
    if isinstance(value, list | tuple):
        return list(value) if all(isinstance(name, str) for name in value) else []
    if not isinstance(value, str) or "\n" in value.strip() or value.startswith(("/", "./", "../", "~")):
        return []
    listed = "," in value and not value.endswith(".txt") and existing(folder / value) is None
    return [name for part in value.split(",") if (name := part.strip())] if listed else []


def _take_old_names(section: str, table: dict[str, Any]) -> None:
    """`semantic.model = "field"` is `semantic.source = "field"` now; the old form is read until version 0.3."""
    if section == "semantic" and table.get("model") == "field" and "source" not in table:
        warnings.warn('semantic.model = "field" is semantic.source = "field" now', DeprecationWarning, stacklevel=4)
        del table["model"]
        table["source"] = "field"


def _build(name: str, settings: Mapping[str, Any], where: str) -> Preset:
    legal = ["pipeline", *SECTIONS]
    for key in settings:
        if key not in legal:
            near = _nearest_key(str(key), legal, settings.get("pipeline", "ssa"))
            raise InputError(f"{where}: unknown key {shown(key)}{near}; legal are {', '.join(legal)}")
    pipeline = _check(f"{where}: pipeline", settings.get("pipeline", "ssa"), Literal["ssa", "engine"])
    tables = {section: _table(kind, settings.get(section, {}), section, where) for section, kind in SECTIONS.items()}
    preset = Preset(name=name, pipeline=pipeline, **tables)
    if pipeline == "ssa" and preset.semantic.source == "model" and not preset.semantic.model:
        raise InputError(f"{where}: semantic.model is missing; name a Hugging Face id, a folder or module:factory")
    if pipeline == "engine":
        for key in ("class_filter", "decider"):
            if not getattr(preset.open_vocabulary, key):
                raise InputError(f"{where}: open_vocabulary.{key} is missing; the engine presets show what to name")
        chosen = preset.open_vocabulary
        if "{}" not in chosen.template:
            raise InputError(
                f"{where}: open_vocabulary.template must hold {{}}, where the name goes, got {shown(chosen.template)}"
            )
        named = preset.masks.names == "proposed"
        if not (named or chosen.segmenters or chosen.captioner or chosen.vocabulary or chosen.ontology):
            raise InputError(
                f"{where}: nothing proposes names; set open_vocabulary segmenters, captioner, vocabulary or ontology, "
                'or, of masks that have names, masks.names = "proposed"'
            )
        if preset.masks.concepts and not (chosen.vocabulary or chosen.ontology):
            raise InputError(f"{where}: masks.concepts is asked for names; set open_vocabulary.vocabulary")
    return preset


def _table(kind: type[Any], table: Any, section: str, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: {section} must be a table of settings, got {shown(table)}")
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in hints:
            near = _nearest(str(key), list(hints))
            raise InputError(f"{where}: unknown key {section}.{_clipped(str(key))}{near}; legal are {', '.join(hints)}")
        limits = next(f for f in dataclasses.fields(kind) if f.name == key).metadata.get("range")
        values[key] = _check(f"{where}: {section}.{key}", value, hints[key], limits)
    return kind(**values)


def _check(what: str, value: Any, hint: Any, limits: tuple[float, float] | None = None) -> Any:
    if typing.get_origin(hint) is Literal:
        legal = typing.get_args(hint)
        if value not in legal:
            raise InputError(
                f"{what} must be one of {', '.join(legal)}, got {shown(value)}{_nearest(shown(value), list(legal))}"
            )
        return value
    if typing.get_origin(hint) is tuple:
        if isinstance(value, str) or not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise InputError(f'{what} must be a list of strings, such as ["one", "two"] or [], got {shown(value)}')
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1 << 53 else math.inf  # beyond any range
    if not isinstance(value, hint) or isinstance(value, bool):
        raise InputError(f"{what} must be {_KIND[hint]}, got {shown(value)}")
    if limits and not limits[0] <= value <= limits[1]:
        raise InputError(f"{what} must be from {limits[0]:g} to {limits[1]:g}, got {shown(value)}")
    return value


_KIND: dict[type[Any], str] = {str: "a string", int: "a whole number", float: "a number"}
