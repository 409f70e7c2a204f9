"""The kept embeddings of one label field (`labels.embeddings`), searched exactly and file by file.

Memory holds one block of vectors, and the similarity of every mask.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import fiftyone as fo
import numpy as np
import numpy.typing as npt
from bson import ObjectId
from bson.errors import InvalidId

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels import embeddings
from fiftyone_ssa.labels.database import Document, root_dataset, samples_of
from fiftyone_ssa.labels.shown import check_masks, masks_of

BLOCK_ROWS = 4096
OTHERS = 3
"""A mask counts as like the others of its name by so many of the nearest."""
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """Masks by similarity, the nearest first."""

    ids: tuple[bytes, ...]
    images: tuple[ObjectId, ...]
    similarities: tuple[float, ...]
    searched: int
    """Masks that were compared."""
    unseen: int
    """Masks without an embedding."""

    def only(self, chosen: npt.NDArray[np.bool_]) -> Found:
        """Those that are chosen of them."""
        places = np.flatnonzero(chosen).tolist()
        return Found(
            tuple(self.ids[place] for place in places),
            tuple(self.images[place] for place in places),
            tuple(self.similarities[place] for place in places),
            self.searched,
            self.unseen,
        )

    def first(self, count: int) -> Found:
        """The nearest of them."""
        return self.only(np.arange(len(self.ids)) < count)


def check_kept(samples: Any, label_field: str) -> None:
    """Raise InputError unless a label field is there and embeddings of its masks are kept."""
    check_masks(samples, label_field)
    dataset = root_dataset(samples)
    where = {f"{label_field}.{embeddings.PATH}": {"$type": "string"}}
    if samples_of(dataset).find_one(where, {"_id": 1}) is None:
        raise InputError(
            f"no embeddings of the masks in {label_field!r} are kept; name them anew with an engine preset and its "
            "embeddings kept (in the form a switch under More settings, in Python keep_embeddings=True), or call "
            f'fiftyone_ssa.embed(dataset, {label_field!r}, "engine-base")'
        )


def object_ids(ids: Any) -> list[ObjectId]:
    """Ids as the database has them. Raises InputError where one is none."""
    if isinstance(ids, str) or not isinstance(ids, Sequence) or not ids:
        raise InputError(f"ids must be a list of ids of masks, got {shown(ids)}")
    try:
        return [ObjectId(identity) for identity in ids]
    except (InvalidId, TypeError) as error:
        raise InputError(f"ids must be ids of masks, 24 hex digits each ({error})") from error


class Kept:
    """The kept embeddings of one label field, as far as a collection shows its masks."""

    def __init__(self, samples: Any, label_field: str) -> None:
        """Raises InputError where there are none."""
        self.samples, self.label_field, self.dataset = samples, label_field, root_dataset(samples)
        self.files: Mapping[ObjectId, str] = embeddings.files_of(self.dataset, label_field)
        if not self.files:
            check_kept(samples, label_field)
            raise InputError(
                f"the embeddings in {label_field!r} are of runs that this database does not know; "
                "call fiftyone_ssa.embed again"
            )

    @property
    def model(self) -> Any:
        """The class filter that saw the masks, for texts: loaded once in a process."""
        return _class_filter(embeddings.model_of(self.files.values()))

    def vectors_of(self, ids: Sequence[bytes], images: Collection[ObjectId]) -> dict[bytes, npt.NDArray[np.float16]]:
        """The vector of each mask that has one, by its id; `images` says where the masks are."""
        keys, found = set(ids), {}
        for image in dict.fromkeys(images):
            stored = embeddings.read(self.files.get(image, ""))
            if stored is not None:
                there = zip(stored["id"].tolist(), stored["vector"], strict=True)
                found.update({identity: vector for identity, vector in there if identity in keys})
        return found

    def query(self, ids: Sequence[ObjectId], images: Collection[ObjectId]) -> Vectors:
        """(Q, d) vectors of masks to search by. Raises InputError if none of them has one."""
        found = self.vectors_of([identity.binary for identity in ids], images)
        if not found:
            raise InputError("these masks have no embedding (drawn later, or empty); call fiftyone_ssa.embed again")
        return np.stack(list(found.values())).astype(np.float32)

    def blocks(self, only: Any = True) -> Iterator[tuple[list[ObjectId], list[bytes], Vectors]]:
        """Blocks of masks that the collection shows: image and id of each, and their (n, d) vectors.

        `only` is a MongoDB expression of the mask `$$this`.
        """
        images: list[ObjectId] = []
        ids: list[bytes] = []
        parts: list[npt.NDArray[np.float16]] = []
        self.shown = 0
        for row in masks_of(self.samples, self.label_field, {"id": "$$this._id", "only": only}):
            masks = {identity.binary for identity, chosen in zip(row["id"], row["only"], strict=True) if chosen}
            self.shown += len(masks)
            stored = embeddings.read(self.files.get(row["sample"], "")) if masks else None
            if stored is None or not len(stored):
                continue
            there = stored["id"].tolist()
            places = [place for place, identity in enumerate(there) if identity in masks]
            ids += [there[place] for place in places]
            images += [row["sample"]] * len(places)
            parts.append(stored["vector"][places])
            if len(ids) >= BLOCK_ROWS:
                yield images, ids, np.concatenate(parts).astype(np.float32)
                images, ids, parts = [], [], []
        if ids:
            yield images, ids, np.concatenate(parts).astype(np.float32)

    def nearest(self, query: Vectors, k: int, only: Any = True) -> Found:
        """The `k` masks nearest to the nearest of (Q, d) vectors."""
        images: list[ObjectId] = []
        ids: list[bytes] = []
        parts = [np.zeros(0, np.float32)]
        for some_images, some_ids, vectors in self.blocks(only):
            images += some_images
            ids += some_ids
            parts.append((vectors @ query.T).max(axis=1))
        similarities = np.concatenate(parts).round(5)  # what is behind depends on how a block is cut
        order = np.argsort(-similarities, kind="stable")[:k]
        return Found(
            tuple(ids[place] for place in order),
            tuple(images[place] for place in order),
            tuple(similarities[order].tolist()),
            len(ids),
            self.shown - len(ids),
        )

    def likeness_to_others(self, found: Found, leave: Collection[bytes], only: Any) -> npt.NDArray[np.float64]:
        """(N,) the mean similarity of each mask that was found to the `OTHERS` nearest of some masks.

        `only` says which masks, as for `blocks`; `leave` are ids of masks that do not count, nor does a mask itself.
        -1 where there is none.
        """
        vectors = self.vectors_of(found.ids, found.images)
        mine = np.stack([vectors[identity] for identity in found.ids]).astype(np.float32)
        places = {identity: place for place, identity in enumerate(found.ids)}
        best = np.full((len(mine), OTHERS), np.nan)
        for _, ids, block in self.blocks(only):
            similarities = mine @ block.T
            for column, identity in enumerate(ids):
                if identity in leave:
                    similarities[:, column] = -np.inf
                elif identity in places:
                    similarities[places[identity], column] = -np.inf
            every = np.concatenate([best, np.where(np.isinf(similarities), np.nan, similarities)], axis=1)
            best = -np.sort(-every, axis=1)[:, :OTHERS]  # what is missing comes last
        counts = np.maximum((~np.isnan(best)).sum(axis=1), 1)
        return np.where(np.isnan(best[:, 0]), -1.0, np.nansum(best, axis=1) / counts)


@lru_cache(maxsize=1)
def _class_filter(model: str) -> Any:
    import torch

    from fiftyone_ssa.models.class_filter import load_class_filter

    return load_class_filter(model, torch.device("cpu"), torch.float32)


def rows_of(dataset: fo.Dataset, label_field: str, wanted: Sequence[ObjectId]) -> list[Document]:
    """What the database says of masks, in the order of their ids. Raises InputError where one is not there."""
    masks = f"${label_field}.detections"
    found = samples_of(dataset).aggregate(
        [
            {"$match": {f"{label_field}.detections._id": {"$in": list(wanted)}}},
            {"$project": {"mask": {"$filter": {"input": masks, "cond": {"$in": ["$$this._id", list(wanted)]}}}}},
            {"$unwind": "$mask"},
            {
                "$project": {
                    "sample": "$_id",
                    "_id": "$mask._id",
                    "label": "$mask.label",
                    "class_name": "$mask.class_name",
                }
            },
        ]
    )
    rows = {row["_id"]: {"label": None, "class_name": None, **row} for row in found}
    gone = [identity for identity in wanted if identity not in rows]
    if gone:
        raise InputError(f"{label_field!r} has no mask {gone[0]}; was it deleted, or is it of another field?")
    return [rows[identity] for identity in wanted]
