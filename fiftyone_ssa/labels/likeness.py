"""Masks that look alike: the nearest to a mask or to words, and the look-alikes of one that was wrongly named.

Exact search over the embeddings that runs keep (`labels.embeddings`), file by file: memory holds one block of vectors,
and the similarity of every mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from fiftyone_ssa.labels.database import Document, needs_database, root_dataset, samples_of
from fiftyone_ssa.labels.review import OPEN, state
from fiftyone_ssa.labels.shown import check_masks, detections_fields, field_shown, is_named, masks_of

NEAREST = 50
MOST = 10_000
"""Masks that a view can be ordered by: FiftyOne's `select(ordered=True)` looks each up in the whole list."""
ALIKE = 0.0
"""Masks with the same wrong name are offered from this similarity on; `benchmarks.likeness` measures it."""
BLOCK_ROWS = 4096
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Likeness:
    """Masks by how much they look like what was asked for, the nearest first; `str()` says what they are."""

    dataset: fo.Dataset
    label_field: str
    what: str
    """What they are like, in words."""
    ids: tuple[str, ...]
    sample_ids: tuple[str, ...]
    """The image of each."""
    similarities: tuple[float, ...]
    """Cosine of each to what was asked for, in [-1, 1]."""
    searched: int
    """Masks that were compared."""
    unseen: int = 0
    """Masks without an embedding."""

    def view(self) -> Any:
        """A view of the masks' patches in this order; the dataset stays as it is."""
        ids = [ObjectId(identity) for identity in self.ids]
        images = self.dataset.select(list(dict.fromkeys(self.sample_ids)))
        few = images.filter_labels(self.label_field, fo.ViewField("_id").is_in(ids))
        return few.to_patches(self.label_field).select(list(self.ids), ordered=True)

    def __str__(self) -> str:
        if not self.ids:
            return f"no mask is like {self.what}, of {self.searched} compared"
        near, far = self.similarities[0], self.similarities[-1]
        unseen = f"; {self.unseen} masks have no embedding" if self.unseen else ""
        many = f"{len(self.ids)} mask{'' if len(self.ids) == 1 else 's'}"
        return f"{many} like {self.what}, nearest first (similarity {near:.2f} to {far:.2f}){unseen}"


@needs_database()
def find_like(
    samples: Any,
    ids: Sequence[str] | None = None,
    label_field: str | None = None,
    *,
    text: str | None = None,
    k: int = NEAREST,
    same_wrong_name: bool = False,
) -> Likeness:
    """The masks that look most like some masks, or like a text; needs embeddings that a run or `embed` has kept.

    Args:
        samples: a dataset or view of images, or of patches; masks that it does not show are not compared
        ids (None): ids of masks; with several, a mask is as similar as to the nearest of them
        label_field (None): a Detections field; None is the one that the view shows
        text (None): what to look for instead, in plain words as a class name has them
        k (50): masks to find at most
        same_wrong_name (False): find only masks that SSA gave the same name as those with these ids, that no one has
            reviewed, and that look alike enough (`ALIKE`): after one is corrected, the others that may need it, too

    Raises InputError for a bad argument, or where no embeddings are kept, with how to keep some.
    """
    field = check_find(samples, ids, label_field, text, k, same_wrong_name)
    kept = Kept(samples, field)
    if text is not None:
        query, what = kept.model.texts([text.strip()]), f'"{text.strip()}"'
        return kept.nearest(query, what, k)
    wanted = object_ids(ids or ())
    rows = rows_of(kept.dataset, field, wanted)
    query = kept.vectors_of(wanted, rows)
    names = {row["class_name"] for row in rows}
    what = f"this one ({rows[0]['label']})" if len(wanted) == 1 else f"these {len(wanted)}"
    if not same_wrong_name:
        return kept.nearest(query, what, k)
    if len(names) != 1:
        raise InputError("these masks had several names; choose masks that SSA gave one and the same name")
    name = names.pop()
    told = {"$eq": [{"$ifNull": ["$$this.class_name", None]}, name]}
    open_ = {"$eq": [state(ours=is_named(samples, field)), OPEN]}
    what = f"{what}, of those that are named {name!r} and not reviewed"
    return kept.nearest(query, what, k, only={"$and": [told, open_]}, least=ALIKE)


def check_find(samples: Any, ids: Any, label_field: Any, text: Any, k: Any, same_wrong_name: Any = False) -> str:
    """The field to search. Raises InputError where `find_like` would, without comparing masks."""
    field: str = label_field if label_field is not None else field_shown(samples)
    check_kept(samples, field)
    if (ids is None) == (text is None):
        raise InputError("pass ids of masks or a text to look for, one of the two")
    if text is not None:
        check_text(text)
    if ids is not None:
        object_ids(ids)
    if type(k) is not int or not 1 <= k <= MOST:
        raise InputError(f"k must be a whole number from 1 to {MOST}, got {shown(k)}")
    if type(same_wrong_name) is not bool:
        raise InputError(f"same_wrong_name must be True or False, got {shown(same_wrong_name)}")
    if same_wrong_name and ids is None:
        raise InputError("same_wrong_name needs ids of masks: words have no wrong name")
    return field


def kept_fields(samples: Any) -> list[str]:
    """The label fields whose runs keep embeddings."""
    dataset = root_dataset(samples)
    return [name for name in detections_fields(dataset) if embeddings.are_kept(dataset, name)]


def check_kept(samples: Any, label_field: str) -> None:
    """Raise InputError unless a label field is there and embeddings of its masks are kept."""
    check_masks(samples, label_field)
    dataset = root_dataset(samples)
    where = {f"{label_field}.{embeddings.PATH}": {"$type": "string"}}
    if samples_of(dataset).find_one(where, {"_id": 1}) is None:
        raise InputError(
            f"no embeddings of the masks in {label_field!r} are kept; annotate with keep_embeddings=True (engine "
            f'presets), or call fiftyone_ssa.embed(dataset, {label_field!r}, "engine-base")'
        )


def check_text(text: Any) -> None:
    """Raise InputError unless a text says something."""
    if not (isinstance(text, str) and text.strip()):
        raise InputError(f"text must say what to look for, got {shown(text)}")


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

    def vectors_of(self, wanted: Sequence[ObjectId], rows: Sequence[Document]) -> Vectors:
        """(Q, d) vectors of masks, of which `rows` say in which image they are. Raises InputError if none is kept."""
        keys = {identity.binary for identity in wanted}
        found = []
        for sample in {row["sample"] for row in rows}:
            stored = embeddings.read(self.files.get(sample, ""))
            if stored is not None:
                found += [row["vector"] for row in stored if row["id"].tobytes() in keys]
        if not found:
            raise InputError(
                "these masks have no embedding: drawn later, or empty; call fiftyone_ssa.embed, or choose others"
            )
        return np.stack(found).astype(np.float32)

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

    def nearest(self, query: Vectors, what: str, k: int, *, only: Any = True, least: float = -1.0) -> Likeness:
        """The `k` masks nearest to the nearest of (Q, d) vectors, as far as they are `least` similar."""
        images: list[ObjectId] = []
        ids: list[bytes] = []
        parts = [np.zeros(0, np.float32)]
        for some_images, some_ids, vectors in self.blocks(only):
            images += some_images
            ids += some_ids
            parts.append((vectors @ query.T).max(axis=1))
        similarities = np.concatenate(parts).round(5)  # what is behind depends on how a block is cut
        order = np.argsort(-similarities, kind="stable")[:k]
        order = order[similarities[order] >= least]
        return Likeness(
            self.dataset,
            self.label_field,
            what,
            tuple(ids[place].hex() for place in order),
            tuple(str(images[place]) for place in order),
            tuple(similarities[order].tolist()),
            len(ids),
            self.shown - len(ids),
        )


@lru_cache(maxsize=1)
def _class_filter(model: str) -> Any:
    import torch

    from fiftyone_ssa.models.class_filter import ClassFilter

    return ClassFilter(model, torch.device("cpu"), torch.float32)


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
