"""SA-1B's own form, each way: `<stem>.json` beside each image, with names and proposals added."""

from __future__ import annotations

from typing import ClassVar

from fiftyone_ssa.exports import ssa_json
from fiftyone_ssa.exports.data_card import JSON_FILE
from fiftyone_ssa.exports.loss import LOSS_FILE
from fiftyone_ssa.exports.marker import MARKER
from fiftyone_ssa.exports.writing import ExportJob, in_split


class FormatWriter(ssa_json.FormatWriter):
    """A JSON beside each image; with splits, a folder for each."""

    ending: ClassVar[str] = ".json"

    def __init__(self, job: ExportJob) -> None:
        super().__init__(job)
        # a picture called loss.png does not get loss.json
        self._stems |= {name.removesuffix(self.ending) for name in (MARKER, LOSS_FILE, JSON_FILE)}

    def picture(self, split: str, name: str) -> str:
        """The image goes beside its JSON."""
        return in_split(split, name)


class FormatReader(ssa_json.FormatReader):
    """Images with `<stem>.json` beside them."""

    ending: ClassVar[str] = ".json"
