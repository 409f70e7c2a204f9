"""A folder of results: one preset each, every file written whole or not at all, finished ones known on the next run."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import PART, write_whole
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.folders.image_folder import RESULT_ENDING
from fiftyone_ssa.presets import Preset

MARKER = ".fiftyone-ssa.json"


class ResultFolder:
    """Results of one preset below `root`, laid out as their images are.

    A marker file records the preset. Its time tells finished results from those that `overwrite` is to replace, so
    that a run which was killed while overwriting goes on where it stopped.
    """

    def __init__(self, root: Path, preset: Preset, *, overwrite: bool = False) -> None:
        """Look at the folder, without changing it.

        Raises InputError if it holds results of another preset and `overwrite` is not set.
        """
        self.root, self.preset, self.marker = root, preset, root / MARKER
        self._since_ns = math.inf
        if not overwrite and self._is_ours():
            self._since_ns = self.marker.stat().st_mtime_ns

    def begin(self) -> None:
        """Make the folder, remove what a killed run left half-written, and record the preset.

        Raises InputError if it cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for path in self._files(PART):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{self.root} cannot take results: {error.strerror}") from error
        if math.isinf(self._since_ns):
            write_whole(self.marker, json.dumps(_identity(self.preset), indent=1).encode())
            self._since_ns = self.marker.stat().st_mtime_ns

    def path(self, image_id: str, ending: str = RESULT_ENDING) -> Path:
        """Where the result of an image goes: its id without extension, and `ending`."""
        return self.root / Path(image_id).with_name(Path(image_id).stem + ending)

    def is_finished(self, image_id: str, ending: str = RESULT_ENDING) -> bool:
        """Whether the result is there and of this preset."""
        try:
            return self.path(image_id, ending).stat().st_mtime_ns >= self._since_ns
        except OSError:
            return False

    def outdated(self) -> int:
        """How many results are older than the preset recorded, of images that no run has redone since."""
        return sum(path.stat().st_mtime_ns < self._since_ns for path in self._files(RESULT_ENDING))

    def write(self, image_id: str, ending: str, content: bytes) -> None:
        """Write an image's file whole or not at all. Raises InputError if it cannot be written."""
        write_whole(self.path(image_id, ending), content)

    def _is_ours(self) -> bool:
        """Whether a run of this preset was recorded here; refuses results of anything else."""
        recorded = self.marker.exists()
        found, wanted = read_json(self.marker) if recorded else {}, _identity(self.preset)
        if recorded and found.get("fingerprint") == wanted["fingerprint"]:
            return True
        if next(self._files(RESULT_ENDING), None) is None:
            return False
        differs = ", ".join(_differences(found.get("settings"), wanted["settings"])) or "its settings"
        what = (
            f"of preset {found.get('preset')}, which differs from {self.preset.name} in {differs}"
            if recorded
            else "that no run recorded here"
        )
        raise InputError(f"{self.root} holds results {what}; name another folder, or add --overwrite to replace them")

    def _files(self, ending: str) -> Iterator[Path]:
        return (
            Path(folder, name) for folder, _, names in os.walk(self.root) for name in names if name.endswith(ending)
        )


def _identity(preset: Preset) -> dict[str, Any]:
    return {"preset": preset.name, "fingerprint": preset.fingerprint, "settings": dataclasses.asdict(preset)}


def _differences(found: Any, wanted: dict[str, Any]) -> list[str]:
    """Up to four settings that differ, as section.key."""
    changed: list[str] = []
    for key, value in json.loads(json.dumps(wanted)).items():
        other = found.get(key) if isinstance(found, dict) else None
        if isinstance(value, dict) and isinstance(other, dict):
            changed += [f"{key}.{name}" for name in value if other.get(name) != value[name]]
        elif key != "name" and other != value:
            changed.append(key)
    return changed[:4]
