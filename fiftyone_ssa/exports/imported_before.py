"""What imports filled a field with: which masks of it people touched since, so that another import leaves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo import ReplaceOne

from fiftyone_ssa.labels.database import Document, dataset_id, own_collection, samples_of
from fiftyone_ssa.labels.fields import Fields
from fiftyone_ssa.labels.merge import overlap
from fiftyone_ssa.labels.review import is_drawn, is_touched, label_digest
from fiftyone_ssa.labels.stored_masks import whole_rows
from fiftyone_ssa.types import MaskSet

COLLECTION = "imported"


class ImportedBefore:
    """The imports into one field; one document an image, of what its masks were when they came."""

    def __init__(self, dataset: fo.Dataset, label_field: str) -> None:
        self._dataset, self._field = dataset, label_field
        self._here = {"dataset": dataset_id(dataset), "field": label_field}
        own_collection(COLLECTION).create_index([("dataset", 1), ("field", 1), ("sample", 1)])

    def beside(self, sample: str, new: Document, masks: MaskSet) -> tuple[Document, list[Document]]:
        """A sample's new Detections with those of the old ones that people touched, and these alone.

        New masks of the same id, or that overlap them as one mask of a thing does another, give way.
        """
        wanted, named = {"_id": ObjectId(sample)}, Fields(self._field).preset
        now: Document = samples_of(self._dataset).find_one(wanted, {self._field: 1, named: 1}) or {}
        theirs = self._touched(sample, whole_rows(now.get(self._field)), done=now.get(named) is not None)
        if not theirs:
            return new, []
        ids = {row["_id"] for row in theirs}
        pairs = zip(new["detections"], overlap(masks, theirs), strict=True)
        fresh = [row for row, gives_way in pairs if not gives_way and row["_id"] not in ids]
        return {**new, "detections": fresh + theirs}, theirs

    def _touched(self, sample: str, rows: Sequence[Mapping[str, Any]], *, done: bool) -> list[Document]:
        """Those of a sample's masks that people touched; `done`: a run of ours named the sample."""
        row = own_collection(COLLECTION).find_one({**self._here, "sample": ObjectId(sample)})
        if row is not None:
            came = row["masks"]
            return [dict(each) for each in rows if came.get(str(each["_id"])) != _digest(each)]
        # what someone else filled tells nothing by names, pixels, or by what SSA never said anything of
        ours = done or not all(map(is_drawn, rows))
        return [dict(each) for each in rows if each.get("review") or each.get("tags") or (ours and is_touched(each))]

    def remember(self, kept: Mapping[str, Iterable[Document]]) -> None:
        """Samples are filled: keep what their masks are, but for those that people touched before."""
        theirs = {ObjectId(sample): {row["_id"] for row in rows} for sample, rows in kept.items()}
        found = samples_of(self._dataset).find({"_id": {"$in": list(theirs)}}, {self._field: 1})
        updates = []
        for document in found:
            where, people = {**self._here, "sample": document["_id"]}, theirs[document["_id"]]
            rows = [row for row in whole_rows(document.get(self._field)) if row["_id"] not in people]
            came = {str(row["_id"]): _digest(row) for row in rows}
            updates.append(ReplaceOne(where, {**where, "masks": came}, upsert=True))
        if updates:
            own_collection(COLLECTION).bulk_write(updates, ordered=False)


def _digest(row: Mapping[str, Any]) -> str | None:
    return label_digest({"detections": [row]})
