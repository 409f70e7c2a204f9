"""SA-1B's own form, each way: `<stem>.json` beside each image, with names and proposals added."""

from __future__ import annotations

from typing import ClassVar

from fiftyone_ssa.exports import ssa_json
from fiftyone_ssa.exports.writing import in_split


class FormatWriter(ssa_json.FormatWriter):
    """A JSON beside each image; with splits, a folder for each."""

    ending: ClassVar[str] = ".json"

    def picture(self, split: str, name: str) -> str:
        """The image goes beside its JSON."""
        return in_split(split, name)


class FormatReader(ssa_json.FormatReader):
    """Images with `<stem>.json` beside them."""

    ending: ClassVar[str] = ".json"
