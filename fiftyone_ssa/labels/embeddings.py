"""What the class filter saw in each mask, kept beside the dataset: one file a sample, which the label itself names.

`<label_field>.embeddings_path` names an `.npy` of rows: a mask's id and its unit vector in float16. As the path is a
part of the label, it is copied, replaced and deleted with it, and `clean` removes files that no label names. The run's
token in the file's name tells which model saw (`labels.runs`): vectors of two models are never compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
import numpy.typing as npt
from bson import ObjectId

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import whole_file
from fiftyone_ssa.labels import runs
from fiftyone_ssa.labels.database import Document, samples_of
from fiftyone_ssa.naming.arguments import check_flag
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.types import Embeddings

PATH = "embeddings_path"
"""The attribute of a Detections label that names its file."""
Rows = npt.NDArray[Any]
"""(N,) rows with an `id` of 12 bytes and a `vector` of d float16."""


def check_keep_embeddings(value: Any, preset: Preset) -> bool:
    """Whether to keep them. Raises InputError unless it is True or False, or if the preset looks at no crops."""
    if check_flag("keep_embeddings", value) and preset.pipeline != "engine":
        raise InputError(
            f"keep_embeddings needs an engine preset, whose CLIP looks at every mask, and {preset.name} is an SSA "
            'preset; name the masks without it, then call fiftyone_ssa.embed(samples, label_field, "engine-base")'
        )
    return bool(value)


def declare(dataset: fo.Dataset, label_field: str) -> None:
    """Declare the attribute, so that clones of the dataset keep it and `clean` looks at it."""
    dataset.add_sample_field(f"{label_field}.{PATH}", fo.StringField)


def are_kept(dataset: fo.Dataset, label_field: str) -> bool:
    """Whether a run has kept embeddings in this label field."""
    return dataset.get_field(f"{label_field}.{PATH}") is not None


def with_file(
    path: Path, label: Document, ids: Sequence[ObjectId], vectors: Embeddings, old: Document | None
) -> Document:
    """A Detections document with the vectors of its masks in a file of its own, written whole or not at all.

    Args:
        path: of the file
        label: the Detections; those of its masks that are not in `ids` keep the vector that they had
        ids: N ids of masks that were looked at
        vectors: (N, d) what was seen; rows of zeros are left out
        old: the Detections that were there before

    Raises InputError if the file cannot be written.
    """
    seen = {identity.binary: vector for identity, vector in zip(ids, vectors, strict=True) if vector.any()}
    masks = [row["_id"].binary for row in label["detections"]]
    if not seen.keys() >= set(masks):
        seen = {**_known(old, path, vectors.shape[1]), **seen}
    found = [identity for identity in masks if identity in seen]
    rows = np.zeros(len(found), [("id", "V12"), ("vector", "<f2", (max(vectors.shape[1], 1),))])
    if found:
        rows["id"] = np.frombuffer(b"".join(found), "V12")
        rows["vector"] = np.stack([seen[identity] for identity in found])
    with whole_file(path) as file:
        np.save(file, rows, allow_pickle=False)
    return {**label, PATH: str(path)}


def read(path: str | Path) -> Rows | None:
    """The rows of a file; None where it is gone or damaged."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.dtype.names == ("id", "vector") else None


def token_of(path: str | Path) -> str:
    """The token of the run that wrote a file."""
    return Path(path).stem.rpartition("-")[2]


def _known(old: Document | None, path: Path, width: int) -> dict[bytes, Any]:
    """The vectors that masks had before, by id, where the same model saw them."""
    before = str((old or {}).get(PATH) or "")
    rows = read(before)
    if rows is None or rows["vector"].shape[1] != width:
        return {}
    models = runs.class_filters([token_of(before), token_of(path)])
    if models.get(token_of(before)) != models.get(token_of(path)):
        return {}
    return dict(zip(rows["id"].tolist(), rows["vector"], strict=True))


def files_of(dataset: fo.Dataset, label_field: str, token: str | None = None) -> dict[ObjectId, str]:
    """Sample to the file with its masks' embeddings: those of the model that saw most images, or that of a run.

    Vectors of two models say nothing of each other, so that only one's are answered.
    """
    where = {f"{label_field}.{PATH}": {"$type": "string"}}
    rows = samples_of(dataset).find(where, {f"{label_field}.{PATH}": 1})
    files = {row["_id"]: str(row[label_field][PATH]) for row in rows}
    models = runs.class_filters({*map(token_of, files.values()), *([token] if token else [])})
    seen_by = {sample: models[token_of(path)][1] for sample, path in files.items() if token_of(path) in models}
    most = Counter(seen_by.values()).most_common(1)
    model = models[token][1] if token else most[0][0] if most else ""
    return {sample: files[sample] for sample, seen in seen_by.items() if seen == model}


def model_of(files: Iterable[str]) -> str:
    """The name of the class filter that saw what is in some files of one model, as a preset has it."""
    models = runs.class_filters({token_of(path) for path in files})
    return min(name for name, _ in models.values())
