"""What a format is written by: one image at a time, into a folder that only the export writes to."""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, ClassVar, Literal

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.exports.folder import ExportFolder
from fiftyone_ssa.exports.image_masks import Document
from fiftyone_ssa.types import MaskSet

Media = Literal["copy", "symlink", "none"]
MEDIA_FOLDER = "data"
Kept = Sequence[bytes | None]
"""Of each mask its compressed code as a reader of the format sees it; None for a mask that is not there."""


@dataclass(frozen=True)
class ExportClass:
    """A class of an export."""

    name: str
    id: int
    is_thing: bool = True
    """Whether its masks are things that are counted (False: stuff, one segment an image in panoptic formats)."""
    supercategory: str | None = None
    colour: str | None = None
    """As "#rrggbb"."""
    entry: Mapping[str, Any] = field(default_factory=dict)
    """What else the caller's categories say of it."""


@dataclass(frozen=True)
class ExportImage:
    """One image on its way out, with the masks that were chosen."""

    number: int
    """From 1, over all splits."""
    sample_id: str
    source: Path
    """The picture of the data set."""
    name: str
    """The picture's path below the folder of images, with slashes."""
    split: str
    """Empty where the export has no splits."""
    size_hw: tuple[int, int]
    """Upright by the picture's EXIF orientation, as everything here."""
    masks: MaskSet
    labels: tuple[str, ...]
    """The class of each mask, one of the export's."""
    documents: tuple[Document, ...]
    """Of each mask the detection as the database holds it: `_id`, confidence, attributes; `label` may differ from the
    class where an ontology gives the classes."""


@dataclass(frozen=True)
class ExportJob:
    """What all writers are told."""

    folder: ExportFolder
    classes: tuple[ExportClass, ...]
    """By id."""
    splits: tuple[str, ...] = ()
    """Empty where the export has none; then every image's split is ""."""
    media: Media = "copy"
    images_root: Path = Path()
    """The folder that names of images are relative to where they stay where they are."""
    title: str = ""
    """What is exported, in a few words."""
    source_id: str = ""
    """What tells the dataset from any other."""
    label_field: str = "ssa"
    options: Mapping[str, Any] = field(default_factory=dict)
    """The format's own options, all of them."""

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Class name to id."""
        return {entry.name: entry.id for entry in self.classes}

    @property
    def parts(self) -> tuple[str, ...]:
        """The splits, or the one nameless part."""
        return self.splits or ("",)


class Writer(abc.ABC):
    """One export in one format while it runs; a context manager. Subclasses are called `FormatWriter`."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Option of this format to its default."""
    keeps: ClassVar[frozenset[str]] = frozenset()
    """What a reader finds again of "confidence", "proposals", "attributes"; for the loss report."""
    labels: ClassVar[str] = ""
    """The file of labels, below the folder; empty where there are several."""
    returns: ClassVar[bool] = False
    """Whether people correct masks there, so that what was exported is remembered until it comes back."""
    needs_media: ClassVar[bool] = False
    """Whether the format's readers need the images in the folder, so that they cannot stay where they are."""

    def __init__(self, job: ExportJob) -> None:
        """Write by `job`; nothing is done before the first image."""
        self.job = job
        self._closing = contextlib.ExitStack()
        self._stems: set[str] = set()

    def __enter__(self) -> Writer:
        """Open what is written to all along."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what `open` opened: a file is staged for the folder only where nothing failed."""
        self._closing.__exit__(kind, error, trace)

    def picture(self, split: str, name: str) -> str | None:
        """Where an image goes, below the folder; None where the format holds the images itself."""
        return f"{split}/{MEDIA_FOLDER}/{name}" if split else f"{MEDIA_FOLDER}/{name}"

    def planned(self) -> Iterable[str]:
        """Names of files that will surely be written, to find out early if something is in the way."""
        return ()

    @abc.abstractmethod
    def add(self, image: ExportImage) -> Kept | None:
        """Write one image; its picture is in its place.

        Answers what a reader will see of each mask; None where that is every mask, pixel for pixel.
        """

    def finish(self) -> str | None:
        """Complete the files, and answer a digest of the labels where there is one."""
        return None

    def stem(self, image: ExportImage) -> str:
        """The image's name without its ending, for a file of its labels; with it where another has the same stem.

        An image that comes again, where images stay where they are, is numbered.
        """
        stem = str(PurePosixPath(image.name).with_suffix(""))
        for found in (stem, image.name):
            if in_split(image.split, found) not in self._stems:
                break
        else:
            found = f"{stem}-{image.number}"
        self._stems.add(in_split(image.split, found))
        return found

    def path(self, name: str) -> Path:
        """Where to write a file that stands at `name` in the end; staged when the export is done without a fault."""
        return self._closing.enter_context(self.job.folder.stage(name))

    def open(self, name: str) -> IO[str]:
        """A text file to write, closed and staged at the end."""
        file = self.path(name).open("w", encoding="utf-8")
        return self._closing.enter_context(file)

    def write(self, name: str, content: bytes | str) -> None:
        """Write one whole file."""
        with self.job.folder.stage(name) as path:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def in_split(split: str, name: str) -> str:
    """The name of a file in the folder of a split; the folder itself where there are none."""
    return f"{split}/{name}" if split else name


def check_options(writer: type[Writer], given: Mapping[str, Any]) -> dict[str, Any]:
    """A format's options with what was given. Raises InputError for one that the format does not know."""
    unknown = [name for name in given if name not in writer.options]
    if unknown:
        known = ", ".join(writer.options) or "none"
        raise InputError(f"the format has no option {shown(unknown[0])}; it has {known}")
    return {**writer.options, **given}
