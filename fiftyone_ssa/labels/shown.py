"""What a collection shows of a Detections field, mask by mask and without decoding one: patches and filters count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import fiftyone as fo
from bson import ObjectId
from bson.errors import InvalidId

from fiftyone_ssa.errors import InputError, shown
from fiftyone_ssa.labels.database import (
    Document,
    check_shows,
    documents,
    filtered_fields,
    is_generated,
    is_part_of_images,
    root_dataset,
    shown_dataset,
)

DEFAULT_FIELD = "ssa"


def masks_of(
    samples: Any,
    label_field: str,
    columns: Mapping[str, Any],
    *,
    where: Document | None = None,
    sample_ids: Collection[ObjectId] | None = None,
    then: Sequence[Document] = (),
) -> Iterator[Document]:
    """A document for each sample or patch: `sample`, its image's id, and a list for each of the columns.

    Args:
        samples: a collection that `check_masks` let pass
        label_field: its Detections field
        columns: name to a MongoDB expression of the mask `$$this`
        where (None): such an expression of the masks to look at; None: all
        sample_ids (None): the images to look at; None: all
        then (()): further stages of aggregation, whose documents come instead
    """
    patches = is_generated(samples)
    label = f"${label_field}"
    rows: Any = {"$cond": [{"$isArray": f"{label}.detections"}, f"{label}.detections", []]}
    if patches:  # to_patches() holds a Detection a sample, to_evaluation_patches() a list as images do
        rows = {"$cond": [{"$eq": [f"{label}._cls", "Detection"]}, [label], rows]}
    if where is not None:
        rows = {"$filter": {"input": rows, "cond": where}}
    found = {name: {"$map": {"input": rows, "in": expression}} for name, expression in columns.items()}
    image = "_sample_id" if patches else "_id"
    wanted = [] if sample_ids is None else [{"$match": {image: {"$in": list(sample_ids)}}}]
    shown = {"$project": {"_id": 0, "sample": f"${image}", **found}}
    yield from documents(samples, [*wanted, shown, *then])


def check_masks(samples: Any, label_field: Any) -> None:
    """Raise InputError unless `samples` show images, or patches of them, with this Detections field."""
    check_collection(samples)
    dataset = root_dataset(samples)
    known = detections_fields(dataset)
    if label_field not in known:
        raise InputError(
            f"label_field must be a Detections field of {dataset.name!r}, got {shown(label_field)}; "
            f"it has {', '.join(known) or 'none'}"
        )
    if is_generated(samples) and not shown_dataset(samples).has_sample_field(label_field):
        there = ", ".join(name for name in known if shown_dataset(samples).has_sample_field(name))
        raise InputError(f"this view shows patches of {there}, not of {label_field!r}; name that field, or leave it")
    check_shows(samples, label_field)


def check_collection(samples: Any) -> None:
    """Raise InputError unless `samples` show images, or patches of them."""
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"samples must be a FiftyOne dataset or view, got {type(samples).__name__}; load one first")
    if getattr(samples, "deleted", False):
        raise InputError("this dataset was deleted; load another one")
    if samples.media_type == "video" or (is_generated(samples) and not is_part_of_images(samples)):
        raise InputError("masks are reviewed on images, got videos, clips or frames; pass a view of images or patches")


def detections_fields(samples: Any) -> list[str]:
    """The names of a dataset's Detections fields."""
    return list(root_dataset(samples).get_field_schema(embedded_doc_type=fo.Detections))


def field_shown(samples: Any, active: Sequence[str] = ()) -> str:
    """The Detections field that a person most likely means: patches' own, the filtered one, one of the `active` ones
    that the App draws, "ssa", or one of SSA's.

    Raises InputError where there is none.
    """
    known = detections_fields(samples)
    patches = [name for name in known if is_generated(samples) and shown_dataset(samples).has_sample_field(name)]
    filtered = [path.split(".")[0] for path in filtered_fields(samples)]
    named = [name for name in known if is_named(samples, name)]
    for name in (*patches, *filtered, *(n for n in active if n in named), DEFAULT_FIELD, *named, *known):
        if name in known:
            return name
    raise InputError(f"no field of {root_dataset(samples).name!r} holds masks; annotate first")


def is_named(samples: Any, label_field: str) -> bool:
    """Whether SSA named masks of this field."""
    return root_dataset(samples).get_field(f"{label_field}.detections.class_name") is not None


def object_ids(name: str, ids: Any) -> set[ObjectId]:
    """Ids as the database has them. Raises InputError for what is none, `name` being what they were passed as."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise InputError(f"{name} must be a list of ids, got {shown(ids)}")
    found = list(ids)
    try:
        if None in found:
            raise TypeError("ObjectId(None) is a new id")
        return {ObjectId(value) for value in found}
    except (InvalidId, TypeError) as error:
        raise InputError(f"{name} must be ids as FiftyOne shows them, 24 hex digits; got {shown(found)}") from error
