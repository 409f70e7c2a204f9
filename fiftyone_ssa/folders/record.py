"""What a result folder knows of itself: the settings of its results, and how far the runs that wrote them came."""

from __future__ import annotations

import base64
import json
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.naming.stamp import MISSING, UNKNOWN, Settings
from fiftyone_ssa.presets import Preset

MARKER = ".fiftyone-ssa.json"


@dataclass(frozen=True)
class Record:
    """The state of a result folder, as its marker file holds it."""

    overwriting: bool = False
    """Whether `--overwrite` began and has not come to its end yet."""
    since_ns: int = 0
    """When it began, by the clock of the file system; older results are to be done again. 0: all results count."""
    done: npt.NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    """Checksums of the ids of images that were finished when a run ended, sorted: such a result that is gone is
    missed. Four bytes an image, for there may be a million."""

    def was_done(self, image_id: str) -> bool:
        """Whether an earlier run finished this image."""
        key = image_key(image_id)
        place = int(np.searchsorted(self.done, key))
        return place < len(self.done) and int(self.done[place]) == key

    def ended(self, done: array[int], *, outdated: bool) -> Record:
        """The state after a run that finished the images of these keys."""
        keys = np.union1d(self.done, np.frombuffer(done, np.uint32) if done else self.done)
        return Record(since_ns=self.since_ns if outdated else 0, done=keys)


def image_key(image_id: str) -> int:
    """An image's checksum in `Record.done`."""
    return zlib.crc32(image_id.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class Found:
    """What a folder's marker says: a record, and what its settings differ in from those asked for."""

    preset: str
    fingerprint: str
    settings: Mapping[str, Any]
    differs: tuple[str, ...]
    record: Record


def read_record(folder: Path, settings: Settings, named: Mapping[str, Any]) -> Found | None:
    """What is recorded in a folder, held against `settings`; None where nothing is. Otherwise as `parse_record`."""
    path = folder / MARKER
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return parse_record(read_json(path), str(path), settings, named)


def parse_record(content: Any, path: str, settings: Settings, named: Mapping[str, Any]) -> Found:
    """What the content of a marker says, held against `settings`.

    `named` are the preset's settings as they were given: models by id or path, where `settings` have their content.
    Raises InputError, naming the file, if it is damaged or of another version.
    """
    content = content if isinstance(content, dict) else {}
    preset, fingerprint, recorded = content.get("preset"), content.get("fingerprint"), content.get("settings")
    if not isinstance(preset, str) or not isinstance(fingerprint, str) or not isinstance(recorded, dict):
        raise InputError(f"{path} is damaged, or was written by another version of this program")
    since = content.get("since_ns")
    record = Record(
        overwriting=content.get("overwriting") is True,
        since_ns=since if type(since) is int else 0,
        done=_unpacked(content.get("done")),
    )
    names = content.get("named")
    differs = _differences(settings, recorded, named, names if isinstance(names, dict) else {})
    return Found(preset, fingerprint, recorded, tuple(differs), record)


def write_record(
    folder: Path, preset: Preset, found: tuple[str, Mapping[str, Any]], record: Record, owner: str
) -> None:
    """Record it; `found` are the settings' fingerprint and values. Raises InputError if the file cannot be written."""
    content = {
        **settings_content(preset, *found),
        "overwriting": record.overwriting,
        "since_ns": record.since_ns,
        "done": base64.b64encode(record.done.astype("<u4").tobytes()).decode(),
    }
    write_whole(folder / MARKER, json.dumps(content, indent=1).encode(), owner)


def settings_content(preset: Preset, fingerprint: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a marker holds of the settings."""
    return {"preset": preset.name, "fingerprint": fingerprint, "settings": dict(values), "named": preset.settings()}


def _unpacked(text: Any) -> npt.NDArray[np.uint32]:
    """The checksums, sorted; none where they are damaged, for they only tell why an image is done again."""
    try:
        packed = base64.b64decode(text, validate=True)
        return np.unique(np.frombuffer(packed[: len(packed) // 4 * 4], "<u4").astype(np.uint32))
    except (TypeError, ValueError):
        return np.zeros(0, np.uint32)


def _differences(
    settings: Settings, recorded: Mapping[str, Any], named: Mapping[str, Any], names: Mapping[str, Any], most: int = 4
) -> list[str]:
    """Settings that differ; what is not here may be what is recorded: a hub model, or a file of the recorded name."""
    changed = settings.differences(recorded, most=1000)
    if not settings.known:
        changed = [
            key
            for key in changed
            if not _may_be(settings.values.get(key), recorded.get(key), key in named and named[key] == names.get(key))
        ]
    return changed[:most]


def _may_be(ours: Any, recorded: Any, same_name: bool) -> bool:
    if isinstance(ours, list) and isinstance(recorded, list):
        pairs = zip(ours, recorded, strict=False)
        return len(ours) == len(recorded) and all(_may_be(*pair, same_name) for pair in pairs)
    if ours == recorded or not isinstance(ours, str) or not isinstance(recorded, str):
        return bool(ours == recorded)
    if same_name and ours.endswith(MISSING):
        return True
    return ours.endswith(UNKNOWN) and recorded.startswith(ours.removesuffix("unknown"))
