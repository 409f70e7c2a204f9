"""What is written of each image, and where: its JSON, its picture, the segmenter's own map."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.folders import stamps
from fiftyone_ssa.folders.image_folder import OVERLAY_ENDING, RESULT_ENDING, ImageFile
from fiftyone_ssa.folders.result_folder import FINISHED, FOREIGN, NEW, ResultFolder
from fiftyone_ssa.folders.sa1b_json import annotation_record, map_record, readable_masks
from fiftyone_ssa.naming.run import Summary, Task, describe
from fiftyone_ssa.naming.stamp import Settings, file_stamp
from fiftyone_ssa.types import Annotation, Inputs, Result

_ONE_FILE_ONLY = {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
"""Why one file cannot be written where others can: a folder is in its way, or its name is none there."""


@dataclass(frozen=True)
class _Image:
    """What is known of an image while it is worked on."""

    why: str
    """Its state before."""
    inputs: Mapping[str, str]
    """The stamps of its files, taken before they were read."""
    header: Any = None
    """The `image` of its mask file."""


@dataclass
class Output(AbstractContextManager["Output"]):
    """The folders that take results, and the images on their way there."""

    results: ResultFolder
    branches: ResultFolder | None = None
    save_images: bool = False
    needs_masks: bool = True
    """Whether masks come from the JSON beside each image."""
    reads_names: bool = False
    """Whether the names in it are read, too (`masks.names`)."""
    levels: bool = False
    """Whether results say where each mask stands among the others (`masks.levels`)."""
    keeps_header: bool = False
    """Whether a result repeats the `image` of its mask file, as the engine's do."""
    summary: Summary = field(default_factory=Summary)
    _images: dict[str, _Image] = field(default_factory=dict)
    _written: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[ResultFolder]:
        """Those that are written."""
        return [self.results, self.branches] if self.branches is not None else [self.results]

    def __exit__(self, *_: object) -> None:
        for folder in self.folders:
            folder.release()

    def claim(self) -> None:
        """Make this run the only writer of the folders."""
        for folder in self.folders:
            folder.claim()

    def begin(self, settings: Settings) -> None:
        """Record the settings in the folders."""
        for folder in self.folders:
            folder.begin(settings)

    def end(self) -> int:
        """Record what is done; returns how many results of an earlier pass are left.

        Raises InputError if a folder, or what this run wrote, is no longer there.
        """
        gone = sum(self.results.is_gone(image_id) for image_id in self._written)
        if self.branches is not None:
            gone += sum(self.branches.is_gone(image_id) for image_id in self._written)
        if gone:
            raise InputError(
                f"{gone} of the results just written to {self.results.root} were removed meanwhile; "
                "start again to have them made once more"
            )
        return max(folder.end() for folder in self.folders)

    @property
    def is_unended(self) -> bool:
        """Whether a run in one of the folders did not come to its end."""
        return any(folder.is_unended for folder in self.folders)

    def state(self, image: ImageFile) -> str:
        """`FINISHED` if every file of an image is there and up to date; else `NEW`, or why it is done again."""
        inputs = self._inputs(image)
        state = self.results.state(image.id, inputs)
        if state == FINISHED and self.save_images:
            state = _of("overlay", self.results.state(image.id, inputs, OVERLAY_ENDING))
        if state == FINISHED and self.branches is not None:
            state = _of("branch map", self.branches.state(image.id, inputs))
        return state

    def count(self, images: Iterable[ImageFile]) -> int:
        """How many images are to be done; the others are counted as skipped."""
        todo = 0
        for image in images:
            if self.state(image) != FINISHED:
                todo += 1
                continue
            self.summary.skipped += 1
            for folder in self.folders:
                folder.remember(image.id)
        return todo

    def tasks(self, images: Iterable[ImageFile]) -> Iterator[Task]:
        """The images that are to be done."""
        for image in images:
            state = self.state(image)
            if state != FINISHED:
                yield Task(image.id, partial(self._read, image, state))

    def write(self, result: Result) -> None:
        """Write one image's files, the JSON that marks it as finished last, and count it."""
        known = self._images.pop(result.id, None)
        if result.annotation is not None and known is not None:
            try:
                self._write(result, result.annotation, known)
            except InputError as error:
                if getattr(error.__cause__, "errno", None) not in _ONE_FILE_ONLY:
                    raise
                result = Result(result.id, error=describe(error))
            except Exception as error:  # noqa: BLE001 - what cannot be drawn or encoded is this image's failure
                result = Result(result.id, error=describe(error))
            else:
                self.summary.redone.update([] if known.why == NEW else [known.why])
        self.summary.add(result)

    def _write(self, result: Result, annotation: Annotation, known: _Image) -> None:
        overlay, branch = b"", b""
        stamp = self.results.stamp(known.inputs)
        if self.save_images and result.inputs is not None:
            from fiftyone_ssa.folders.overlay import overlay_jpeg

            overlay = overlay_jpeg(result.inputs.image, annotation, stamps.comment(stamp))
        if self.branches is not None and annotation.branch is not None:
            branch = _json(stamps.stamped(self.branches.stamp(known.inputs), map_record(annotation.branch)))
        header = self._header(result.id, known, annotation)
        record = _json(stamps.stamped(stamp, annotation_record(annotation, header, levels=self.levels)))
        if overlay:
            self.results.write(result.id, OVERLAY_ENDING, overlay)
        else:
            self.results.discard_outdated(result.id, known.inputs, OVERLAY_ENDING)
        if self.branches is not None:
            self.branches.write(result.id, RESULT_ENDING, branch)
            self.branches.remember(result.id)
        self.results.write(result.id, RESULT_ENDING, record)
        self.results.remember(result.id)
        self._written.append(result.id)

    def _read(self, image: ImageFile, state: str) -> Inputs:
        self._images[image.id] = _Image(state, self._inputs(image))
        if image.problem:
            raise InputError(image.problem)
        if state == FOREIGN:
            raise InputError(f"{self._foreign(image)} is not of this program; move it away, or add --overwrite")
        pixels = read_image(image.path)
        if not self.needs_masks:
            return Inputs(pixels)
        content, size_hw = read_json(image.masks_path), (pixels.shape[0], pixels.shape[1])
        masks, bad = readable_masks(content, str(image.masks_path), size_hw, with_names=self.reads_names)
        if self.keeps_header:
            self._images[image.id] = replace(self._images[image.id], header=content.get("image"))
        return Inputs(pixels, masks, bad_masks=bad)

    def _foreign(self, image: ImageFile) -> Path:
        """The file in the place of one of ours."""
        paths = [folder.path(image.id) for folder in self.folders] + [self.results.path(image.id, OVERLAY_ENDING)]
        found = {path: stamps.read(path) for path in paths}
        return next((path for path, stamp in found.items() if stamp and not stamp.is_ours), paths[0])

    def _inputs(self, image: ImageFile) -> dict[str, str]:
        inputs = {"image": file_stamp(image.path)}
        return inputs | {"masks": file_stamp(image.masks_path)} if self.needs_masks else inputs

    def _header(self, image_id: str, known: _Image, annotation: Annotation) -> Mapping[str, Any] | None:
        """The `image` of the source's mask file, or the same made from what is known."""
        if not self.keeps_header:
            return None
        height, width = annotation.masks.size_hw
        made = {"width": width, "height": height, "file_name": image_id.rpartition("/")[2]}
        return known.header if isinstance(known.header, dict) else made


def _of(what: str, state: str) -> str:
    """Why an image is done again whose result is finished, from the state of another of its files."""
    if state in (FINISHED, FOREIGN):
        return state
    return f"{what} {'missing' if state == NEW or state.endswith('missing') else 'outdated'}"


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode()
