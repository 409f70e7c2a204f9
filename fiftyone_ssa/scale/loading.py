"""Chosen masks as a FiftyOne dataset: the images that have some, each with those, as they stand in their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.utils as fou

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels.appearance import try_to_prepare_app
from fiftyone_ssa.labels.database import Document, dataset_id, needs_database
from fiftyone_ssa.labels.documents import declare_detections, masks_document
from fiftyone_ssa.labels.fields import check_label_field
from fiftyone_ssa.labels.loaders import Progress, check_dataset_name
from fiftyone_ssa.labels.metadata import image_metadata
from fiftyone_ssa.labels.selected import record_origin
from fiftyone_ssa.masks import rle
from fiftyone_ssa.naming.arguments import check_path
from fiftyone_ssa.scale.pictures import place_in, with_pictures
from fiftyone_ssa.scale.query import Output, Row
from fiftyone_ssa.scale.sampling import UNIFORM, Sample
from fiftyone_ssa.scale.selecting import Selection, choose
from fiftyone_ssa.types import MaskSet

MASK_IDS = "mask_ids"
"""The attribute of a Detections label that lists the masks that were loaded."""
BATCH = 64
ATTRIBUTES = {
    "label": "label",
    "class_name": "class_name",
    "confidence": "confidence",
    "class_proposals": "proposals",
    "proposal_scores": "proposal_scores",
    "vote_margin": "margin",
    "label_source": "source",
    "caption": "caption",
    "level": "level",
    "review": "review",
    "reviewed_at": "reviewed_at",
    "reviewed_by": "reviewed_by",
}
"""Attribute of a detection to the column that it holds; `sa1b_id` holds the `mask_id`."""
DECLARED = (
    *(name for name in ATTRIBUTES if name not in ("label", "confidence")),
    "mask_digest",
    "area",
    "sa1b_id",
    "source_box",
    "parent",
)


@dataclass
class Selected:
    """What was put into a dataset."""

    dataset: fo.Dataset
    images: int = 0
    masks: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    """`image_id` to reason, for every image left out."""

    def __str__(self) -> str:
        failed = f", {counted(len(self.errors), 'image')} FAILED" if self.errors else ""
        return f"{counted(self.masks, 'mask')} on {counted(self.images, 'image')} in {self.dataset.name!r}{failed}"


def select(
    out: str | Path,
    where: str = "true",
    *,
    limit: int | None = None,
    sample: str = UNIFORM,
    per_class: int | None = None,
    near: str | None = None,
    seed: int = 51,
    dataset_name: str | None = None,
    label_field: str = "ssa",
    media_dir: str | Path | None = None,
    persistent: bool = False,
    progress: Progress = None,
) -> Selected:
    """Put masks of an output folder into a new FiftyOne dataset, with the images that they are on.

    Args:
        out: the folder that `annotate --format parquet` wrote
        where ("true"): a condition on the columns of the masks, in SQL, as "label = 'car' and confidence > .6"
        limit (None): at most so many masks
        sample ("uniform"): which first, where there are more: "uniform", "first", or "margin", the most doubtful
        per_class (None): at most so many masks of each label
        near (None): `IMAGE_ID:MASK_ID` of a mask: those that look most like it first, by their embeddings
        seed (51): of "uniform"
        dataset_name (None): of the new dataset; by default FiftyOne makes one up
        label_field ("ssa"): the field of the masks
        media_dir (None): the folder for images read from tars, and for masks that are too large for the database; by
            default one below FiftyOne's default dataset folder
        persistent (False): whether the dataset stays when Python ends
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Returns:
        a Selected, with the dataset; an image that cannot be read costs itself only

    Raises:
        InputError: if an argument is wrong, or nothing matches
        MissingDependencyError: if DuckDB or the database is not there
    """
    taken = Sample(sample, limit, per_class, near, seed)
    with Output(out) as output:
        return load(choose(output, where, taken), dataset_name, label_field, media_dir, persistent, progress)


@needs_database()
def load(
    selection: Selection,
    dataset_name: str | None,
    label_field: str = "ssa",
    media_dir: str | Path | None = None,
    persistent: bool = False,
    progress: Progress = None,
) -> Selected:
    """What `select` does once masks are chosen."""
    check_dataset_name(dataset_name)
    check_label_field(label_field)
    if not selection.masks:
        raise InputError(f"no mask of {selection.output.root} matches {selection.where!r}; choose others")
    dataset = fo.Dataset(dataset_name, persistent=persistent)
    try:
        done = Selected(dataset)
        _declare(dataset, label_field, selection)
        _fill(done, selection, label_field, _media(selection, media_dir), progress)
    except BaseException:
        dataset.delete()
        raise
    try_to_prepare_app(dataset, label_field)
    return done


def _declare(dataset: fo.Dataset, label_field: str, selection: Selection) -> None:
    for name in ("image_id", "shard"):
        dataset.add_sample_field(name, fo.StringField)
    declare_detections(dataset, label_field, DECLARED)
    dataset.add_sample_field(f"{label_field}.{MASK_IDS}", fo.ListField, subfield=fo.IntField)
    layers, taken = selection.output.layers, selection.sample
    origin = {
        "out": str(selection.output.root),
        "where": selection.where,
        "sample": f"near {taken.near}" if taken.near else taken.how,
        "layer": str(layers[-1]).rpartition("/")[2] if layers else "",
    }
    record_origin(dataset, label_field, origin)


def _media(selection: Selection, media_dir: Any) -> Path:
    if media_dir is not None:
        return check_path("media_dir", media_dir).absolute()
    store = selection.output.store
    digest = hashlib.sha256(store.identity.encode()).hexdigest()[:12]
    return Path(fo.config.default_dataset_dir) / "fiftyone-ssa" / f"{store.name}-{digest}"


def _fill(done: Selected, selection: Selection, label_field: str, media_dir: Path, progress: Progress) -> None:
    fresh: list[fo.Sample] = []
    masks_of = place_in(media_dir / "masks" / str(dataset_id(done.dataset)))
    with fou.ProgressBar(total=selection.images, progress=progress) as bar:
        for chosen, path in bar(with_pictures(selection, place_in(media_dir / "images"))):
            try:
                if isinstance(path, InputError):
                    raise path
                document = detections_document(chosen.masks, masks_of(chosen.part, chosen.image))
            except InputError as error:
                done.errors[str(chosen.image["image_id"])] = str(error)
                continue
            done.images += 1
            done.masks += len(chosen.masks)
            about = {"image_id": chosen.image["image_id"], "shard": chosen.part.shard}
            label = fo.Detections.from_dict(document)
            fresh.append(fo.Sample(filepath=str(path), metadata=image_metadata(path), **about, **{label_field: label}))
            if len(fresh) >= BATCH:
                done.dataset.add_samples(fresh, progress=False)
                fresh = []
    done.dataset.add_samples(fresh, progress=False)


def masks_of_rows(rows: Sequence[Row], size_hw: tuple[int, int]) -> MaskSet:
    """The masks of an image's rows. Raises InputError for a damaged code, or none."""
    for row in rows:
        if row["rle"] is None:
            raise InputError(f"mask {row['mask_id']} has no pixels; remove its row from the corrections")
    return rle.mask_set(size_hw, [row["rle"] for row in rows], source_ids=[row["mask_id"] for row in rows])


def detections_document(rows: Sequence[Row], mask_folder: Path) -> Document:
    """The Detections of an image's rows, mask by mask as they are; `mask_folder` takes what the database cannot hold.

    A mask that a person drew has no digest, as where it was drawn. Raises InputError for a damaged code.
    """
    masks = masks_of_rows(rows, (rows[0]["height"], rows[0]["width"]))
    ids = [row["mask_id"] for row in rows]
    columns = {name: [row.get(column) for row in rows] for name, column in ATTRIBUTES.items()}
    document = masks_document(masks, mask_folder, columns, digests=True)
    known = {mask_id: str(each["_id"]) for mask_id, each in zip(ids, document["detections"], strict=True)}
    for row, detection in zip(rows, document["detections"], strict=True):
        detection["tags"] = row["tags"] or []
        if row.get("parent") in known:
            detection["parent"] = known[row["parent"]]
        if row["mask_id"] < 0:
            del detection["mask_digest"]
    return document | {MASK_IDS: ids}
