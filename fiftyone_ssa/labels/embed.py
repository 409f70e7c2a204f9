"""Embeddings for masks that are named already: the class filter looks at each, and nothing else of them changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiftyone.core.utils as fou
from bson import ObjectId

from fiftyone_ssa.errors import InputError, counted
from fiftyone_ssa.labels import embeddings, runs
from fiftyone_ssa.labels.brain import offer
from fiftyone_ssa.labels.clean import default_folder, remove_leftovers
from fiftyone_ssa.labels.database import is_generated, needs_database, refresh, reload_samples, root_dataset, samples_of
from fiftyone_ssa.labels.fields import Fields, check_label_field
from fiftyone_ssa.labels.lease import SCHEMA, Lease, hold
from fiftyone_ssa.labels.shown import check_masks, masks_of
from fiftyone_ssa.labels.source import Source
from fiftyone_ssa.naming.arguments import check_batch_size, check_device, check_dtype
from fiftyone_ssa.naming.run import Summary, run
from fiftyone_ssa.naming.stamp import Settings, model_stamp
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Result


@dataclass
class Embedded:
    """What `embed` did; `str()` is a sentence."""

    images: int = 0
    masks: int = 0
    skipped: int = 0
    """Images whose masks all had embeddings of this model."""
    errors: dict[str, str] = field(default_factory=dict)
    """File path to reason."""

    def __str__(self) -> str:
        parts = [f"looked at {counted(self.masks, 'mask')} in {counted(self.images, 'image')}"]
        if self.skipped:
            parts.append(f"{counted(self.skipped, 'image')} with theirs already")
        if self.errors:
            parts.append(f"{len(self.errors)} FAILED")
        return ", ".join(parts)


@needs_database()
def embed(
    samples: Any,
    label_field: str = "ssa",
    preset: str | Path | Preset = "engine-base",
    *,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 4,
    progress: bool | Callable[[Any], None] | None = None,
) -> Embedded:
    """Keep embeddings of masks that are there, whoever made and named them, as `annotate(keep_embeddings=True)` does.

    Args:
        samples: a dataset or view of images
        label_field ("ssa"): the Detections field whose masks are looked at, all of an image's
        preset ("engine-base"): an engine preset, whose class filter (CLIP) looks
        overrides (None): changes to the preset, `{"section.key": value}`
        device ("auto"): auto, cpu, cuda, cuda:N or mps
        dtype ("auto"): auto, float32, bfloat16 or float16
        batch_size (4): images at a time
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Returns the counts. Images whose masks all have embeddings of the same model are skipped. Raises InputError for a
    bad argument, if the model cannot be loaded, or while another run writes the field.
    """
    device, dtype, batch_size = check_device(device), check_dtype(dtype), check_batch_size(batch_size)
    check_masks(samples, label_field)
    if is_generated(samples):
        raise InputError("embed takes whole images, got a view of patches; pass the view before it")
    chosen = load_preset(preset, {**(overrides or {}), "masks.source": "existing"})
    embeddings.check_keep_embeddings(True, chosen)
    fields, dataset = check_label_field(label_field), root_dataset(samples)
    with hold(dataset, label_field) as lease:
        refresh(dataset)
        remove_leftovers(label_field, runs.killed(dataset, label_field))
        from fiftyone_ssa.naming.looking import Looker  # loads torch

        looker = Looker(chosen, device=device, dtype=dtype)
        folder = runs.last_folder(dataset, label_field) or default_folder(dataset)
        model = chosen.open_vocabulary.class_filter
        settings = Settings({"open_vocabulary.class_filter": model_stamp(model), "embed": True})
        token = runs.begin(dataset, label_field, chosen.name, settings, folder, False, model)
        with hold(dataset, SCHEMA, wait_seconds=30):
            embeddings.declare(dataset, label_field)
        writer = _Writer(dataset, fields, lease, folder, token)
        paths = dict(zip(*samples.exists(label_field).values(["id", "filepath"]), strict=True))
        unseen = writer.unseen()
        todo = {sample: path for sample, path in paths.items() if sample in unseen}
        writer.done.skipped = len(paths) - len(todo)
        source = Source(dataset, True, label_field, None, {})
        seen = Summary()
        with fou.ProgressBar(total=len(todo), progress=progress) as bar:
            for result in bar(run(source.tasks(todo), looker, batch_size=batch_size)):
                writer.write(result, todo[result.id], source)
                seen.add(result)
        seen.tell_bad_masks()
        runs.finish([token])
        offer(dataset, label_field)
    return writer.done


class _Writer:
    """Writes the files of samples and names them in their labels."""

    def __init__(self, dataset: Any, fields: Fields, lease: Lease, folder: Path, token: str) -> None:
        self.dataset, self.fields, self.lease, self.token = dataset, fields, lease, token
        self.folder = folder / fields.embeddings_folder
        self.done = Embedded()

    def unseen(self) -> set[str]:
        """The ids of samples with a mask that has no embedding of this run's model."""
        label, found = self.fields.label, set()
        files = embeddings.files_of(self.dataset, label, self.token)
        for row in masks_of(self.dataset, label, {"id": "$$this._id", "area": "$$this.area"}):
            rows = embeddings.read(files.get(row["sample"], ""))
            seen = set(rows["id"].tolist()) if rows is not None else set()
            masks = {i.binary for i, area in zip(row["id"], row["area"], strict=True) if area != 0}
            if not masks <= seen:
                found.add(str(row["sample"]))
        return found

    def write(self, result: Result, path: str, source: Source) -> None:
        """Store one image's embeddings, or say why there are none."""
        self.lease.check()
        taken = source.taken.pop(result.id, None)
        if result.annotation is None or result.annotation.embeddings is None or taken is None:
            self.done.errors[path] = result.error or "unknown error"
            return
        label = {"detections": [{"_id": identity} for identity in taken.mask_ids]}
        file = self.folder / f"{result.id}-{self.token}.npy"
        embeddings.with_file(file, label, taken.mask_ids, result.annotation.embeddings, None)
        where = {"_id": ObjectId(result.id), f"{self.fields.label}.detections": {"$exists": True}}
        update = {"$set": {f"{self.fields.label}.{embeddings.PATH}": str(file)}}
        if samples_of(self.dataset).update_one(where, update).matched_count:
            reload_samples(self.dataset, [result.id])
            self.done.images += 1
            self.done.masks += len(taken.mask_ids)
        else:
            file.unlink()  # deleted meanwhile
