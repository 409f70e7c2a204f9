"""Which of a dataset's settings are ours to change: those that nobody set, and those that are still as we left them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import fiftyone as fo

from fiftyone_ssa.labels.database import dataset_id, own_collection


class OwnSettings:
    """What we set of a dataset's settings, by key, as digests in a collection of ours; `save` keeps it."""

    def __init__(self, dataset: fo.Dataset) -> None:
        self._dataset = dataset_id(dataset)
        self._left = {row["key"]: row["digest"] for row in own_collection("settings").find({"dataset": self._dataset})}
        self._new: dict[str, str] = {}

    def knows(self, key: str) -> bool:
        """Whether we set this once, whatever became of it."""
        return key in self._left

    def is_ours(self, key: str, present: Any) -> bool:
        """Whether a setting is still as we left it, or nobody set it."""
        return (None if present is None else _digest(present)) == self._left.get(key)

    def once(self, key: str) -> bool:
        """Whether this is the first time that a step is done, which then counts as done."""
        first = not self.knows(key)
        self._new[key] = _digest(True)
        return first

    def offer(self, key: str, present: Any, wanted: Any) -> bool:
        """Whether a setting that is `present` (None: unset) is to become `wanted`: if it is nobody's, or ours."""
        left = self._left.get(key)
        if (None if present is None else _digest(present)) != left:
            return False  # someone's own, or ours that someone changed or removed
        self._new[key] = _digest(wanted)
        return self._new[key] != left

    def keep(self, key: str, wanted: Any) -> None:
        """Count a setting as ours, whatever it was."""
        self._new[key] = _digest(wanted)

    def save(self) -> None:
        """Remember what was set."""
        for key, digest in self._new.items():
            if self._left.get(key) != digest:
                row = {"dataset": self._dataset, "key": key}
                own_collection("settings").update_one(row, {"$set": {"digest": digest}}, upsert=True)
        self._left |= self._new


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
