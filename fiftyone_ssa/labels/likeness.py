"""Masks that look alike: the nearest to a mask or to words, and the look-alikes of one that was wrongly named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np
from bson import ObjectId

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.labels import embeddings
from fiftyone_ssa.labels.database import needs_database, root_dataset
from fiftyone_ssa.labels.kept import Found, Kept, Vectors, check_kept, object_ids, rows_of
from fiftyone_ssa.labels.review import OPEN, state
from fiftyone_ssa.labels.shown import detections_fields, field_shown, is_named

NEAREST = 50
MOST = 10_000
"""Masks that a view can be ordered by: FiftyOne's `select(ordered=True)` looks each up in the whole list."""
CANDIDATES = 10
"""Masks with the same wrong name are chosen among so many times as many as may be offered, the nearest."""


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
        unseen = f"; {counted(self.unseen, 'mask')} without an embedding" if self.unseen else ""
        found = f"{counted(len(self.ids), 'mask')} like {self.what}, nearest first"
        return f"{found} (similarity {near:.2f} to {far:.2f}){unseen}"


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
        same_wrong_name (False): find only masks that SSA gave the same name as those with these ids, that nobody has
            reviewed, and that look more like these than like the nearest others of that name: after one is corrected,
            those that may need it, too

    Raises InputError for a bad argument, or where no embeddings are kept, with how to keep some.
    """
    field = check_find(samples, ids, label_field, text, k, same_wrong_name)
    kept = Kept(samples, field)
    if text is not None:
        words = text.strip()
        return _likeness(kept, f'"{words}"', kept.nearest(kept.model.texts([words]), k))
    wanted = object_ids(ids or ())
    rows = rows_of(kept.dataset, field, wanted)
    query = kept.query(wanted, [row["sample"] for row in rows])
    what = f"this one ({rows[0]['label']})" if len(wanted) == 1 else f"these {len(wanted)}"
    if not same_wrong_name:
        return _likeness(kept, what, kept.nearest(query, k))
    names = {row["class_name"] for row in rows}
    if len(names) != 1:
        raise InputError("these masks had several names; choose masks that SSA gave one and the same name")
    (name,) = names
    found = _same_wrong_name(kept, query, {identity.binary for identity in wanted}, name, k)
    return _likeness(kept, f"{what} among those named {name!r} and not reviewed", found)


def _same_wrong_name(kept: Kept, query: Vectors, corrected: set[bytes], name: str | None, k: int) -> Found:
    """The masks with a name that are more like those corrected than like the others of that name."""
    named = {"$eq": [{"$ifNull": ["$$this.label", None]}, name]}
    told = {"$eq": [{"$ifNull": ["$$this.class_name", None]}, name]}
    open_ = {"$eq": [state(ours=is_named(kept.samples, kept.label_field)), OPEN]}
    near = kept.nearest(query, min(CANDIDATES * k, MOST), {"$and": [told, open_]})
    if not near.ids:
        return near
    others = kept.likeness_to_others(near, corrected, named)
    return near.only(np.array(near.similarities) >= others).first(k)


def _likeness(kept: Kept, what: str, found: Found) -> Likeness:
    return Likeness(
        kept.dataset,
        kept.label_field,
        what,
        tuple(identity.hex() for identity in found.ids),
        tuple(map(str, found.images)),
        found.similarities,
        found.searched,
        found.unseen,
    )


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


def check_text(text: Any) -> None:
    """Raise InputError unless a text says something."""
    if not (isinstance(text, str) and text.strip()):
        raise InputError(f"text must say what to look for, got {shown(text)}")
