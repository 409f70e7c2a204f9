"""What becomes of one image's masks in the database, given what people changed of them in another tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.corrections import Came, Correction
from fiftyone_ssa.labels.database import Document
from fiftyone_ssa.labels.documents import masks_document
from fiftyone_ssa.labels.exported import ExportedMask, pixels_digest
from fiftyone_ssa.labels.journal import Said
from fiftyone_ssa.labels.reshape import Change, shape_of
from fiftyone_ssa.labels.review import ACCEPTED, CORRECTED, OPEN, REJECTED, state_of
from fiftyone_ssa.labels.stored_masks import mask_counts
from fiftyone_ssa.labels.updates import now, said
from fiftyone_ssa.types import MaskSet


@dataclass(frozen=True)
class Changed:
    """One mask that somebody changed."""

    label_id: str
    what: str
    """renamed, redrawn, renamed and redrawn, new, deleted, restored, accepted."""
    was: str | None
    """Its name before; None of a new one."""
    label: str | None
    by: str
    at: datetime
    sample_id: str = ""

    def of(self, sample_id: str) -> Changed:
        """The same, with its sample."""
        return replace(self, sample_id=sample_id)


@dataclass
class Bringing:
    """One image's corrections on their way to the database."""

    corrections: Sequence[Correction]
    masks: MaskSet
    """As they came."""
    deletes: bool = True
    """Whether what did not come back was deleted; else it may never have left."""
    by: str = ""
    at: datetime | None = None
    """Who handed the image in, and when: of what did not come back nothing else is known."""
    accept: bool = False
    overwrite: bool = False
    said_before: Mapping[ObjectId, Said] = field(default_factory=dict)
    """What earlier imports said of masks."""
    drawn_before: Mapping[ObjectId, Document] = field(default_factory=dict)
    """How earlier imports drew masks."""
    counts: Counter[str] = field(default_factory=Counter)
    changes: list[Changed] = field(default_factory=list)

    def change(self, rows: list[Document]) -> Change:
        """What is to become of the detections as they are now; may be asked again."""
        self.counts, self.changes = Counter(), []
        self._rows = {row["_id"]: row for row in rows}
        self._imported = {row["imported_id"]: row for row in rows if row.get("imported_id")}
        self._change = Change()
        for correction in self.corrections:
            left, came = correction.left, correction.came
            row = self._rows.get(left.id) if left is not None else None
            if came is None:
                assert left is not None
                self._delete(left, row)
            elif left is None or row is None:
                if left is None or correction.what != "unchanged":
                    self._add(came)
            elif correction.what == "unchanged":
                self._unchanged(left, came, row)
            else:
                self._correct(correction.what, left, came, row)
        return self._change

    def _delete(self, left: ExportedMask, row: Document | None) -> None:
        if row is None or not self.deletes or row.get("review") == REJECTED:
            return
        if self._decided_here(row, left, redrawn=True):
            return
        self._say("deleted", row, Said(row.get("label"), REJECTED, self._when(None), self.by or None), self.by)

    def _unchanged(self, left: ExportedMask, came: Came, row: Document) -> None:
        if row.get("reviewed_by") and said(row)[:2] != left.said[:2] and row.get("review") != ACCEPTED:
            if self._decided_here(row, left, redrawn=True):
                return
            self._say("restored", row, left.said, came.by)  # deleted or renamed in an earlier import, and taken back
            self._reshape(row, came)
        elif self.accept and state_of(row, ours="class_name" in row) == OPEN:
            self._say("accepted", row, Said(row.get("label"), ACCEPTED, self._when(came), came.by), came.by)
        else:
            self.counts["unchanged"] += 1

    def _correct(self, what: str, left: ExportedMask, came: Came, row: Document) -> None:
        redrawn = "redrawn" in what
        label = came.label if "renamed" in what else row.get("label")
        same = row.get("label") == label and row.get("review") != REJECTED and said(row) != left.said
        if same and not (redrawn and self._pixels(row) != came.pixels):
            self.counts["unchanged"] += 1  # it came back before
            return
        if self._decided_here(row, left, redrawn=redrawn):
            return
        review = ACCEPTED if not redrawn and label == row.get("class_name") else CORRECTED
        self._say(what, row, Said(label, review, self._when(came), came.by), came.by)
        if redrawn:
            self._reshape(row, came)

    def _add(self, came: Came) -> None:
        """Add a mask that was drawn, or correct one that an earlier import added."""
        known = self._imported.get(came.id) if came.id else None
        if known is None and not came.id:
            alike = (row for row in self._imported.values() if row.get("label") == came.label)
            known = next((row for row in alike if self._pixels(row) == came.pixels), None)
        if known is not None:
            redrawn = self._pixels(known) != came.pixels
            if known.get("label") == came.label and not redrawn:
                self.counts["unchanged"] += 1
                return
            if self._decided_here(known, redrawn=redrawn):
                return
            what = "redrawn" if redrawn else "renamed"
            self._say(what, known, Said(came.label, CORRECTED, self._when(came), came.by), came.by)
            if redrawn:
                self._reshape(known, came)
            return
        at = self._when(came)
        row = {
            **self._drawn(came),
            "imported_id": came.id or str(ObjectId()),
            "review": CORRECTED,
            "reviewed_at": at,
            "reviewed_by": came.by,
        } | ({} if came.label is None else {"label": came.label})
        self._change.added.append(row)
        self.counts["new"] += 1
        self.changes.append(Changed(str(row["_id"]), "new", None, came.label, came.by, at))

    def _say(self, what: str, row: Document, after: Said, by: str) -> None:
        self._change.said[row["_id"]] = (said(row), after)
        self.counts[what] += 1
        at = after.reviewed_at or now()
        self.changes.append(Changed(str(row["_id"]), what, row.get("label"), after.label, by, at))

    def _reshape(self, row: Document, came: Came) -> None:
        if self._pixels(row) != came.pixels:
            self._change.shapes[row["_id"]] = shape_of(self._drawn(came))

    def _drawn(self, came: Came) -> Document:
        """A detection that holds a mask as it came."""
        (row,) = masks_document(self.masks[[came.row]], Path())["detections"]
        return {key: value for key, value in row.items() if key != "source_box"}

    def _pixels(self, row: Document) -> str | None:
        """The digest of a detection's mask; None where it cannot be read."""
        try:
            return pixels_digest(mask_counts(row, self.masks.size_hw), self.masks.size_hw)
        except InputError:
            return None

    def _decided_here(self, row: Document, left: ExportedMask | None = None, *, redrawn: bool = False) -> bool:
        """Whether somebody decided about a mask here since it left, or since an import brought it: that then holds."""
        mask, now_said = row["_id"], said(row)
        as_left = None if left is None else left.said
        brought = self.said_before.get(mask, now_said if row.get("reviewed_by") else as_left)
        a_run = "class_name" in row and state_of(row) == OPEN  # what a run says is no decision
        decided = not a_run and now_said not in (as_left, brought)
        if redrawn and not decided:
            if mask in self.drawn_before:
                decided = shape_of(row) != shape_of(self.drawn_before[mask])
            else:
                decided = left is not None and self._pixels(row) != left.own_pixels
        if decided and not self.overwrite:
            self.counts["decided here"] += 1
        return decided and not self.overwrite

    def _when(self, came: Came | None) -> Any:
        return (came.at if came is not None else self.at) or now()
