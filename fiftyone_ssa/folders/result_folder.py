"""A folder of results: one writer, settings of one kind, every file whole, finished ones known on the next run."""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import PART, write_whole
from fiftyone_ssa.files.lock import LockFile
from fiftyone_ssa.folders import stamps
from fiftyone_ssa.folders.image_folder import RESULT_ENDING
from fiftyone_ssa.folders.record import MARKER, Found, Record, image_key, read_record, write_record
from fiftyone_ssa.naming.stamp import Settings
from fiftyone_ssa.presets import Preset

LOCK = ".fiftyone-ssa.lock"

FINISHED, NEW, FOREIGN = "", "new", "foreign"
MISSING, DAMAGED = "result missing", "result damaged"
OVERWRITTEN, OTHER = "result overwritten", "result of other settings"
_CHANGED = {"image": "image changed", "masks": "mask file changed"}
_NOT_BEGUN_NS = 2**63 - 1
"""`Record.since_ns` before `--overwrite` begins: all that is there is older."""


class ResultFolder:
    """Results of one kind of settings below `root`, laid out as their images are.

    First it is looked at, which changes nothing. `claim` makes this run its only writer, `begin` records the
    settings, `write` adds files, `end` records what is done, and `release`, in any case, lets others write.
    """

    def __init__(self, root: Path, preset: Preset, settings: Settings, *, overwrite: bool = False) -> None:
        """Look at the folder. Raises InputError if it holds results of other settings and `overwrite` is not set."""
        self.root, self.preset, self.settings, self.overwrite = root, preset, settings, overwrite
        self.record = self._resumed()
        self._lock: LockFile | None = None
        self._made: list[Path] = []
        self._done = array("I")

    @property
    def is_unended(self) -> bool:
        """Whether a run was killed, or one of `--overwrite` stopped, before it came to its end."""
        return self.record.overwriting or os.path.lexists(self.root / LOCK)

    def path(self, image_id: str, ending: str = RESULT_ENDING) -> Path:
        """Where the result of an image goes: its id without extension, and `ending`."""
        return self.root / Path(image_id).with_name(Path(image_id).stem + ending)

    def state(self, image_id: str, inputs: Mapping[str, str], ending: str = RESULT_ENDING) -> str:
        """`FINISHED`, `NEW`, `FOREIGN` (not written by us), or why an image that was done is to be done again.

        `inputs` are the stamps of the files it is made of, `image` and `masks`.
        """
        found = stamps.read(self.path(image_id, ending))
        if found is None:
            return MISSING if self.record.was_done(image_id) else NEW
        if not found.is_ours:
            return OVERWRITTEN if self.record.since_ns else FOREIGN
        if found.values is None:
            return DAMAGED
        if found.mtime_ns <= self.record.since_ns:
            return OVERWRITTEN
        if found.values.get("settings") != self.fingerprint:
            return OTHER
        return next((why for key, why in _CHANGED.items() if found.values.get(key) != inputs.get(key)), FINISHED)

    def stamp(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """What a file written now says of itself."""
        return {"settings": self.fingerprint, **inputs}

    def claim(self) -> None:
        """Make this run the folder's only writer, and look again, for another may have written since.

        What a killed run left half-written is removed. Raises InputError if another run writes there, with who and
        since when, or if the folder cannot be made.
        """
        try:
            for folder in (self.root, *self.root.parents):
                if folder.exists():
                    break
                self._made.append(folder)
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = LockFile.take(self.root / LOCK)
            if self._lock.left_behind:
                for path in self._files(PART):
                    if path.name.startswith(f".{self._lock.token}-"):
                        path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{self.root} cannot take results: {error.strerror}; name another folder") from error
        self.record = self._resumed()

    def begin(self, settings: Settings) -> None:
        """Record the settings, as they are known once models are loaded.

        Raises InputError if results of other settings are there, or if it cannot be written.
        """
        assert self._lock is not None  # claimed
        self.settings = settings
        self.record = self._resumed()
        if self.record.since_ns == _NOT_BEGUN_NS:
            self.record = replace(self.record, since_ns=self._lock.since_ns)
        self._save()

    def write(self, image_id: str, ending: str, content: bytes) -> None:
        """Write an image's file whole or not at all.

        Raises InputError if it cannot be written, or if the folder was removed or replaced.
        """
        assert self._lock is not None  # claimed
        self.check()
        path = self.path(image_id, ending)
        try:
            write_whole(path, content, self._lock.token)
        except InputError:
            self.check()
            raise
        if not self._lock.is_held():
            path.unlink(missing_ok=True)  # it went into a folder that is not the one we claimed
            self.check()

    def is_gone(self, image_id: str) -> bool:
        """Whether the result of an image is not there."""
        return not os.path.lexists(self.path(image_id))

    def remember(self, image_id: str) -> None:
        """Count an image as finished, so that a later run misses its result if it is gone."""
        self._done.append(image_key(image_id))

    def discard_outdated(self, image_id: str, inputs: Mapping[str, str], ending: str) -> None:
        """Remove a file of an image that we wrote of other inputs or in another pass."""
        path = self.path(image_id, ending)
        found = stamps.read(path)
        if found is not None and found.is_ours and self.state(image_id, inputs, ending) != FINISHED:
            path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise InputError if the folder is no longer the one that was claimed."""
        if self._lock is not None and not self._lock.is_held():
            raise InputError(
                f"{self.root} was removed or replaced while results were written to it; start again when it is there"
            )

    def end(self) -> int:
        """Record what is done, and that this pass came to its end.

        Returns how many results are of an earlier pass, of images that no run has redone since.
        """
        self.check()
        outdated = self._outdated() if self.record.since_ns else 0
        self.record = self.record.ended(self._done, outdated=outdated > 0)
        self._save()
        return outdated

    def release(self) -> None:
        """Let others write, and remove the folder if it was made for nothing."""
        if self._lock is None:
            return
        made = self._made if self._lock.is_held() else []
        self._lock.give_back()
        self._lock = None
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()

    def _resumed(self) -> Record:
        """The state to go on from; refuses results of other settings."""
        found, problem = None, "that no run recorded here"
        try:
            found = read_record(self.root, self.settings, self.preset.settings())
        except InputError as error:
            problem = f"whose record is of no use: {error}"
        if found is not None and not found.differs:
            self.fingerprint, self._values = found.fingerprint, found.settings
            if self.overwrite and not found.record.overwriting:
                return Record(overwriting=True, since_ns=_NOT_BEGUN_NS, done=found.record.done)
            return found.record
        self.fingerprint, self._values = self.settings.fingerprint, self.settings.values
        if next(self._files(RESULT_ENDING), None) is None:
            return Record(overwriting=self.overwrite)
        if self.overwrite:
            return Record(overwriting=True, since_ns=_NOT_BEGUN_NS)
        what = self._other_settings(found) if found is not None else problem
        raise InputError(f"{self.root} holds results {what}; name another folder, or add --overwrite to replace them")

    def _other_settings(self, found: Found) -> str:
        names = ", ".join(found.differs)
        if found.preset != self.preset.name:
            return f"of preset {found.preset}, which differs from {self.preset.name} in {names}"
        return f"of other settings of {self.preset.name}: {names} changed, by value or by what the files it names hold"

    def _save(self) -> None:
        assert self._lock is not None  # claimed
        write_record(self.root, self.preset, (self.fingerprint, self._values), self.record, self._lock.token)

    def _outdated(self) -> int:
        """How many results are not of this pass."""
        found = (stamps.read(path) for path in self._files(RESULT_ENDING))
        return sum(
            stamp is not None
            and (
                stamp.values is None
                or stamp.values.get("settings") != self.fingerprint
                or stamp.mtime_ns <= self.record.since_ns
            )
            for stamp in found
        )

    def _files(self, ending: str) -> Iterator[Path]:
        """Files below the root, without those of other result folders that lie in it."""
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if not os.path.lexists(Path(folder, name, MARKER))]
            yield from (Path(folder, name) for name in names if name.endswith(ending))
