"""What people corrected in a dataset of chosen masks, back beside the rows that they came from, as a layer.

A mask counts that stands otherwise than when it was loaded, or last returned from this dataset: another label, review,
tags or pixels; drawn; or deleted, which is a rejection. What another dataset returned about it meanwhile stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bson import ObjectId

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels.database import (
    Document,
    check_whole_images,
    dataset_id,
    needs_database,
    root_dataset,
    samples_of,
)
from fiftyone_ssa.labels.review import CORRECTED, REJECTED, REVIEWS, is_redrawn
from fiftyone_ssa.labels.selected import origin_of
from fiftyone_ssa.labels.shown import check_masks
from fiftyone_ssa.labels.stored_masks import mask_counts, whole_rows
from fiftyone_ssa.masks import rle
from fiftyone_ssa.naming.arguments import check_flag
from fiftyone_ssa.scale.layers import LAYERS, write_layer
from fiftyone_ssa.scale.loading import MASK_IDS
from fiftyone_ssa.scale.query import Output, Row, latest, quoted

DELETED, ELSEWHERE = "deleted", "decided elsewhere"
STATE = ("label", "review", "reviewed_by", "tags", "rle")
"""What makes a mask another than it was: a decision that is made again at another time is the same."""


@dataclass
class Returned:
    """What went back."""

    out: Path | str
    layer: Path | str | None = None
    """The new file; None where nothing went back."""
    counts: Counter[str] = field(default_factory=Counter)
    """Masks that were relabelled, redrawn, drawn, deleted, reviewed or tagged, taken back, or "decided elsewhere"."""
    errors: dict[str, str] = field(default_factory=dict)
    """`image_id` to reason, for every image left out."""
    dry_run: bool = False

    def __str__(self) -> str:
        told = ", ".join(f"{count:,} {what}" for what, count in self.counts.most_common() if what != ELSEWHERE)
        elsewhere = self.counts[ELSEWHERE]
        parts = [f"{counted(self.counts.total() - elsewhere, 'correction')} to {self.out}{told and f': {told}'}"]
        parts += [f"{counted(elsewhere, 'mask')} decided elsewhere since stay as they are"] if elsewhere else []
        parts += [f"{counted(len(self.errors), 'image')} FAILED"] if self.errors else []
        return ("would return " if self.dry_run else "") + "; ".join(parts)


@needs_database()
def return_corrections(
    samples: Any, label_field: str = "ssa", *, overwrite: bool = False, dry_run: bool = False
) -> Returned:
    """Lay what people corrected in a dataset that `select` made over the rows that it came from.

    The rows stay; `select` and `stats` see the corrected masks. What was returned is not returned again.

    Args:
        samples: the dataset, or a view of its images; all masks of an image count
        label_field ("ssa"): the field that was filled
        overwrite (False): whether to change masks, too, about which another dataset returned something meanwhile
        dry_run (False): whether to compare only

    Returns:
        a Returned; an image that cannot be read costs itself only

    Raises:
        InputError: if the field is not one that `select` filled, or its output folder is gone
        MissingDependencyError: if DuckDB or the database is not there
    """
    check_masks(samples, label_field)
    check_whole_images(samples, "a return of corrections")
    check_flag("overwrite", overwrite)
    dataset = root_dataset(samples)
    origin, identity = check_origin(dataset, label_field), str(dataset_id(dataset))
    where = {} if samples is dataset else {"_id": {"$in": list(map(ObjectId, samples.values("id")))}}
    shown = {label_field: 1, "image_id": 1, "shard": 1, "metadata": 1}
    rows: list[Row] = []
    with Output(origin["out"]) as output:
        done = Returned(output.root, dry_run=check_flag("dry_run", dry_run))
        known = _Known(output, origin["layer"], identity)
        for document in samples_of(dataset).find(where, shown):
            try:
                found = list(_changes(document, label_field, known))
            except InputError as error:
                done.errors[str(document.get("image_id"))] = str(error)
                continue
            for what, row in found:
                settled = known.is_settled_elsewhere(row) and not overwrite
                done.counts[ELSEWHERE if settled else what] += 1
                rows += [] if settled else [row | {"dataset": identity}]
        _name_deleted(rows, output)
    if rows and not dry_run:
        done.layer = write_layer(done.out, rows)
    return done


def check_origin(dataset: Any, label_field: str) -> Mapping[str, str]:
    """Where a field's masks are from (`labels.selected`). Raises InputError if `select` did not fill it."""
    origin = origin_of(dataset, label_field)
    if origin is None:
        raise InputError(
            f"{label_field!r} of {dataset.name!r} was not filled by select, so it has no rows to return to; export it"
        )
    return origin


class _Known:
    """The corrections that are there: when the masks were loaded, as this dataset left them, and now."""

    def __init__(self, output: Output, layer: str, identity: str) -> None:
        loaded = f"filename <= {quoted(output.store.place(f'{LAYERS}/{layer}'))}"
        ours = f"{loaded} OR dataset = {quoted(identity)}"
        self._loaded, self._left, self._now = (
            {_key(row): row for row in output.rows(latest(output.layers, which))} for which in (loaded, ours, "true")
        )
        self.drawn: dict[str, set[int]] = defaultdict(set)
        """By image, the masks that people drew in this dataset, and returned."""
        for (image_id, mask_id), row in self._left.items():
            if mask_id < 0 and row["dataset"] == identity and row["review"] != REJECTED:
                self.drawn[image_id].add(mask_id)

    def is_settled_elsewhere(self, row: Row) -> bool:
        """Whether another dataset returned something about a mask since."""
        return self._now.get(_key(row)) != self._left.get(_key(row))

    def code(self, image_id: str, mask_id: int) -> bytes | None:
        """The mask's code when it was loaded; None for the model's."""
        found: bytes | None = self._loaded.get((image_id, mask_id), {}).get("rle")
        return found

    def left(self, image_id: str, mask_id: int) -> Row | None:
        """The mask as this dataset left it; None where nobody had said anything of it."""
        return self._left.get((image_id, mask_id))


def _key(row: Row) -> tuple[str, int]:
    return row["image_id"], row["mask_id"]


def _changes(document: Document, label_field: str, known: _Known) -> Iterator[tuple[str, Row]]:
    """What is to be said of each mask of a sample that stands otherwise than it was left: in a word, and as a row."""
    label = document.get(label_field)
    image_id, metadata = document.get("image_id"), document.get("metadata") or {}
    if not label or not image_id or not metadata.get("height"):
        return  # an image that somebody added to the dataset
    size_hw = int(metadata["height"]), int(metadata["width"])
    head = {"image_id": image_id, "shard": document["shard"], "member": image_id.removeprefix(f"{document['shard']}/")}
    head |= {"height": size_hw[0], "width": size_hw[1]}
    left = {*(label.get(MASK_IDS) or ()), *known.drawn[image_id]}
    for detection in whole_rows(label):
        known_id: Any = detection.get("sa1b_id")  # of a mask drawn here, or of a copy, it is none that is left
        mask_id: int = known_id if known_id in left else _drawn_id(detection["_id"])
        left.discard(mask_id)
        is_theirs = mask_id < 0 or is_redrawn(detection)
        code = mask_counts(detection, size_hw) if is_theirs else known.code(image_id, mask_id)
        state = _state(detection, size_hw, code)
        before = known.left(image_id, mask_id)
        if before is None and mask_id >= 0:
            before = {"label": detection.get("class_name")}
        if before is None or any(state[name] != before.get(name) for name in STATE):
            yield _word(state, before), {**head, "mask_id": mask_id, **state}
    for mask_id in left:
        before = known.left(image_id, mask_id)
        if before is None or before["review"] != REJECTED:
            yield DELETED, {**(before or {}), **head, "mask_id": mask_id, "review": REJECTED}


def _drawn_id(identity: ObjectId) -> int:
    """The `mask_id` of a mask that a person drew, which stays: below 0, from what is random and counted in its id."""
    return -1 - (int.from_bytes(identity.binary[4:]) >> 1)


def _state(detection: Mapping[str, Any], size_hw: tuple[int, int], code: bytes | None) -> Row:
    """A mask as it stands; `code` is None where its pixels are the model's."""
    label, review = detection.get("label") or None, detection.get("review")  # the App leaves "" in an emptied one
    changed = label != detection.get("class_name") or code is not None
    state: Row = {
        "label": label,
        "review": review if review in REVIEWS else CORRECTED if changed else None,
        "reviewed_at": detection.get("reviewed_at"),
        "reviewed_by": detection.get("reviewed_by"),
        "tags": list(detection.get("tags") or ()) or None,
        "rle": code,
    }
    if code is not None:
        found = rle.mask_set(size_hw, [code])
        state |= dict(zip("xywh", map(float, found.boxes_xywh[0]), strict=True))
        state["area"] = int(found.areas_px[0])
    return state


def _word(state: Row, before: Row | None) -> str:
    """What a person did to a mask, in a word."""
    if before is None:
        return "drawn"
    if state["review"] is None and state["tags"] is None:
        return "taken back"
    if state["rle"] != before.get("rle"):
        return "redrawn"
    return "relabelled" if state["label"] != before["label"] else "reviewed or tagged"


def _name_deleted(rows: Sequence[Row], output: Output) -> None:
    """Give masks that were deleted the label that they have: their detections are gone."""
    nameless = {_key(row): row for row in rows if "label" not in row}
    if nameless:
        images = sorted({image_id for image_id, _ in nameless})
        found = output.rows("SELECT image_id, mask_id, label FROM masks WHERE image_id IN (SELECT unnest(?))", [images])
        for row in found:
            nameless.get(_key(row), {})["label"] = row["label"]
