"""The presets as models of FiftyOne's zoo: `dataset.apply_model(model, label_field=...)`.

Unlike in `ssa.annotate`, finished samples are done again, and what people changed is overwritten, as with every zoo
model. A picture that fails costs itself only; `apply_model` itself would drop its batch.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fiftyone as fo
import fiftyone.core.models as fom
import fiftyone.utils.torch as fout
from bson import ObjectId

from fiftyone_ssa.errors import InputError, MissingDependencyError, said_by, shown
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.files.images import read_image
from fiftyone_ssa.files.printable import printable
from fiftyone_ssa.labels.clean import default_folder
from fiftyone_ssa.labels.database import root_dataset, samples_of
from fiftyone_ssa.labels.documents import (
    annotation_document,
    attributes_of,
    declare_detections,
    mask_targets,
)
from fiftyone_ssa.labels.stored_masks import readable_masks
from fiftyone_ssa.models.catalogue import is_cached, path_of, preset_models
from fiftyone_ssa.naming.pipeline import build_pipeline
from fiftyone_ssa.naming.run import Summary, Task, describe, run
from fiftyone_ssa.presets import Preset, load_preset
from fiftyone_ssa.types import Annotation, Inputs, SemanticMap

logger = logging.getLogger(__name__)
MODELS = {
    "ssa-mini": "mini-ssa",
    "ssa-mini-engine": "mini-engine",
    "ssa-ade20k": "ssa-ade20k",
    "ssa-ade20k-b0": "ssa-ade20k-b0",
    "ssa-cityscapes": "ssa-cityscapes",
    "ssa-foggy-driving": "ssa-foggy-driving",
    "ssa-fast": "ssa-fast",
    "ssa-engine": "engine-base",
    "ssa-engine-small": "engine-small",
    "ssa-engine-fast": "engine-fast",
    "ssa-engine-2026": "engine-2026",
}
"""Name in the zoo (`manifest.json`) to preset."""
PROBED = 16
"""Labels that are remembered, to find out which field they went to."""


def zoo_preset(name: str, *, existing_masks: bool = False, settings: Mapping[str, Any] | None = None) -> Preset:
    """The preset behind a zoo model. Raises InputError for a name that is none, or settings that cannot be."""
    base = name.partition("@")[0]
    if base not in MODELS:
        raise InputError(f"there is no zoo model {shown(name)}; choose one of {', '.join(MODELS)}")
    source = "existing" if existing_masks else "sam"
    return load_preset(MODELS[base], {"masks.source": source, **(settings or {})})


def download(name: str, path: str | Path) -> None:
    """Fetch a zoo model's weights into the hub's cache, and write to `path` which they are.

    Raises MissingDependencyError, with what to do, where the hub cannot be reached and they are not there.
    """
    preset = zoo_preset(name)
    models = preset_models(preset)
    for model in models:
        if not is_cached(model):
            _fetch(model)
    content = {"model": name, "preset": preset.name, "weights": [_said(model) for model in models]}
    write_whole(Path(path), (json.dumps(content, indent=1) + "\n").encode())


def _fetch(model: str) -> None:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(model)
    except (OSError, ValueError) as error:  # offline, unknown, no space
        raise MissingDependencyError(
            f"{model} is not here and cannot be fetched ({said_by(error)}); on a machine with "
            f"internet: huggingface-cli download {model}, and copy its folder of ~/.cache/huggingface/hub here"
        ) from error


def _said(model: str) -> str:
    return path.name if (path := path_of(model)) else model


def load(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    existing_masks: bool = False,
    semantic: bool = False,
    settings: Mapping[str, Any] | None = None,
    trust_remote_code: bool = False,
) -> ZooModel:
    """A zoo model, its weights loaded.

    Args:
        name: one of `MODELS`
        device ("auto"): as `build_pipeline` takes it
        dtype ("auto"): likewise
        existing_masks (False): whether masks come from a field, `apply_model(..., masks="field")`, instead of SAM
        semantic (False): whether SSA's class maps are kept, too, as `<label_field>_semantic`, beside
            `<label_field>_detections`
        settings (None): changes to the preset, `{"section.key": value}`
        trust_remote_code (False): whether to run code that comes with a Hugging Face model
    """
    preset = zoo_preset(name, existing_masks=existing_masks, settings=settings)
    if semantic and preset.pipeline != "ssa":
        raise InputError(f"{name} makes no class maps; leave semantic out")
    pipeline = build_pipeline(preset, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    return ZooModel(pipeline, preset, semantic=semantic)


@dataclass(frozen=True, eq=False)
class Item:
    """One sample on its way to the model: its picture, or why there is none."""

    filepath: str
    inputs: Inputs | None = None
    error: str = ""


class ReadSample(fout.GetItem):  # type: ignore[misc]
    """Reads a sample's picture, upright, and its masks; works in a data loader's process."""

    def __init__(self, field_mapping: Mapping[str, str] | None = None, *, with_masks: bool = False) -> None:
        self.with_masks = with_masks
        super().__init__(field_mapping=field_mapping)

    @property
    def required_keys(self) -> list[str]:
        """What is read of a sample."""
        return ["filepath", "masks"] if self.with_masks else ["filepath"]

    def __call__(self, d: Mapping[str, Any]) -> Item:
        """The sample's item; what is wrong with its files is in it."""
        path = str(d["filepath"])
        try:
            image = read_image(path)
            if not self.with_masks:
                return Item(path, Inputs(image))
            if d["masks"] is None:
                raise InputError("this sample has no masks")
            read = readable_masks(d["masks"], (image.shape[0], image.shape[1]))
            return Item(path, Inputs(image, read.masks, bad_masks=read.sentences(path)))
        except Exception as error:  # noqa: BLE001 - as an exception, FiftyOne would drop its whole batch
            return Item(path, error=describe(error))


class ZooModel(fom.SamplesMixin, fom.SupportsGetItem, fom.TorchModelMixin, fom.Model):  # type: ignore[misc]
    """A pipeline as FiftyOne applies models; `errors` has what went wrong, by filepath."""

    def __init__(self, pipeline: Any, preset: Preset, *, semantic: bool = False) -> None:
        super().__init__()
        self._fields: dict[str, str] = {}
        self.config, self.preset = SimpleNamespace(), preset
        self.errors: dict[str, str] = {}
        self._pipeline, self._semantic = pipeline, semantic
        self._written: list[_Written] = []
        self._seen = Summary()

    media_type = "image"
    has_logits = has_embeddings = can_embed_prompts = ragged_batches = preprocess = False
    transforms = None
    has_collate_fn = True

    @staticmethod
    def collate_fn(batch: list[Item]) -> list[Item]:
        """Items as they are: pictures differ in size."""
        return batch

    def build_get_item(self, field_mapping: Mapping[str, str] | None = None) -> ReadSample:
        """What reads samples."""
        mapping = {**self._fields, **(field_mapping or {})}
        return ReadSample(mapping, with_masks=self.preset.masks.source == "existing")

    def __enter__(self) -> ZooModel:
        self.errors, self._written, self._seen = {}, [], Summary()
        return self

    def __exit__(self, *_: object) -> None:
        """Declare the attributes of what was written, so that the App's sidebar has them."""
        for written in self._written:
            written.declare(self.preset)
        self._written = []
        self._seen.tell_bad_masks()

    def predict(self, arg: Any, sample: Any = None) -> Any:
        """Labels of one (H, W, 3) uint8 RGB picture. Raises InputError if it cannot be done."""
        item = arg if isinstance(arg, Item) else Item("the picture", Inputs(arg))
        (found,) = self.predict_all([item], None if sample is None else [sample])
        if found is None:
            raise InputError(self.errors[item.filepath])
        return found

    def predict_all(self, args: Sequence[Any], samples: Sequence[Any] | None = None) -> list[Any]:
        """Labels of each picture, or None where it failed: `apply_model` then leaves the sample as it is."""
        items = [arg if isinstance(arg, Item) else Item(f"picture {i}", Inputs(arg)) for i, arg in enumerate(args)]
        tasks = (Task(str(place), _reader(item)) for place, item in enumerate(items))
        found: list[Any] = []
        for result in run(tasks, self._pipeline, batch_size=max(1, len(items))):
            place = int(result.id)
            if result.annotation is None:
                self.errors[items[place].filepath] = result.error or "unknown error"
                logger.warning("%s", printable(f"{items[place].filepath} is left out: {result.error}"))
                found.append(None)
                continue
            self._seen.add(result)
            found.append(self._labels(result.annotation, None if samples is None else samples[place]))
        return found

    def _labels(self, annotation: Annotation, sample: Any) -> Any:
        folder = Path(fo.config.default_dataset_dir)
        if sample is not None:
            folder = default_folder(root_dataset(sample._dataset))
        document = annotation_document(annotation, folder / "zoo-masks" / uuid.uuid4().hex)
        detections = fo.Detections.from_dict(document)
        segmentation, semantic = None, annotation.semantic
        if self._semantic and semantic is not None:
            segmentation = fo.Segmentation(mask=_values(semantic))
        if sample is not None and len(annotation.masks) and len(self._written) < PROBED:
            ids = frozenset(row["_id"] for row in document["detections"])
            names = semantic.names if segmentation is not None and semantic is not None else ()
            self._written.append(_Written(sample._dataset, sample.id, ids, segmentation and segmentation.id, names))
        return detections if segmentation is None else {"detections": detections, "semantic": segmentation}


def _reader(item: Item) -> Any:
    def read() -> Inputs:
        if item.inputs is None:
            raise InputError(item.error)
        return item.inputs

    return read


def _values(semantic: SemanticMap) -> Any:
    """A map's pixel values: class id + 1, 0 where it is ignored."""
    import numpy as np

    table = np.zeros(semantic.ignore_id + 1, np.uint16)
    table[: len(semantic.names)] = np.arange(1, len(semantic.names) + 1)
    return (table.astype(np.uint8) if len(semantic.names) < 255 else table)[semantic.ids]


@dataclass(frozen=True)
class _Written:
    """A label that was handed to `apply_model`, which tells no model where it puts it."""

    dataset: Any
    sample_id: str
    detection_ids: frozenset[ObjectId]
    segmentation_id: str | None
    names: Sequence[str]

    def declare(self, preset: Preset) -> None:
        """Find the fields that hold it, and declare what they hold."""
        dataset = root_dataset(self.dataset)
        stored = samples_of(dataset).find_one({"_id": ObjectId(self.sample_id)}) or {}
        for field in dataset.get_field_schema(embedded_doc_type=fo.Detections):
            rows = (stored.get(field) or {}).get("detections") or ()
            if any(row.get("_id") in self.detection_ids for row in rows):
                declare_detections(dataset, field, attributes_of(preset))
        for field in dataset.get_field_schema(embedded_doc_type=fo.Segmentation):
            if self.segmentation_id and str((stored.get(field) or {}).get("_id")) == self.segmentation_id:
                dataset.mask_targets[field] = mask_targets(self.names)
                dataset.save()
