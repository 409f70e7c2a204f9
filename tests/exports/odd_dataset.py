"""A dataset of masks that files find hard, and what readers of polygons are told of it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import fiftyone as fo
import numpy as np
from bson import ObjectId
from PIL import Image

from fiftyone_ssa.files.images import image_size_hw
from fiftyone_ssa.labels.database import documents, samples_of
from fiftyone_ssa.labels.documents import SSA_ATTRIBUTES, declare_detections, masks_document
from fiftyone_ssa.labels.stored_masks import mask_set_from_detections
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import MaskSet
from tests.masks.odd_masks import odd_masks

NAMES = ("car", "person", 'a "quoted" & <odd> name', "traffic light")


def odd_dataset(folder: Path, *, names: tuple[str, ...] = NAMES, many: int = 0, odd: bool = True) -> fo.Dataset:
    """Three images: odd masks, the same in a picture that its EXIF turns, and `many` small ones; one has no mask."""
    dataset = fo.Dataset()
    masks = odd_masks()
    for name, orientation in (("sub/plain.png", 1), ("turned.jpg", 6)) if odd else ():
        size_hw = (60, 90)
        random = np.random.default_rng(orientation)
        codes = []
        for mask in masks:
            corner = (random.integers(0, 90 - mask.shape[1] + 1), random.integers(0, 60 - mask.shape[0] + 1))
            codes.append(rle.encode_crop(mask, tuple(map(int, corner)), size_hw))
        _add(dataset, folder / name, size_hw, orientation, codes, names)
    codes = [rle.encode_crop(np.ones((2, 1), bool), (i % 90, 2 * (i // 90)), (90, 90)) for i in range(many)]
    _add(dataset, folder / "sub" / "many.png", (90, 90), 1, codes, names)
    return dataset


def _add(dataset, path, size_hw, orientation, codes, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size_hw[::-1] if orientation == 1 else size_hw, (90, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    masks = rle.mask_set(size_hw, codes) if codes else MaskSet.empty(size_hw)
    count = len(codes)
    columns = {
        "label": [names[index % len(names)] for index in range(count)],
        "class_name": [names[index % len(names)] for index in range(count)],
        "confidence": [0.5 + index % 50 / 100 for index in range(count)],
        "class_proposals": [[names[index % len(names)], names[(index + 1) % len(names)]] for index in range(count)],
        "proposal_scores": [[0.75, 0.25]] * count,
    }
    document = masks_document(masks, folder_of(path), columns, digests=True)
    declare_detections(dataset, "ssa", SSA_ATTRIBUTES)
    sample = fo.Sample(filepath=str(path))
    dataset.add_sample(sample)
    samples_of(dataset).update_one({"_id": ObjectId(sample.id)}, {"$set": {"ssa": document}})


def folder_of(path: Path) -> Path:
    """Where masks would go that are too large for the database."""
    return path.with_suffix(".masks")


def masks_of(dataset: fo.Dataset) -> dict[str, list[tuple[str, bytes, str]]]:
    """File name to label, code and id of each mask, as the database has them."""
    found = {}
    for document in documents(dataset):
        masks = mask_set_from_detections(document["ssa"], image_size_hw(document["filepath"]))
        rows = zip(document["ssa"]["detections"], masks.rles, strict=True)
        found[Path(document["filepath"]).name] = [(row["label"], code, str(row["_id"])) for row, code in rows]
    return found


def ious(size_hw: tuple[int, int], before: list[bytes], after: list[bytes]) -> list[float]:
    """The IoU of each mask with another."""
    found = []
    for one, other in zip(before, after, strict=True):
        a, b = rle.decode(one, size_hw), rle.decode(other, size_hw)
        found.append(1.0 if one == other else float((a & b).sum() / (a | b).sum()))
    return found


def by_class(rows: list[tuple[str, float]]) -> dict[str, list[float]]:
    """Numbers by class."""
    found = defaultdict(list)
    for name, value in rows:
        found[name].append(value)
    return dict(found)
