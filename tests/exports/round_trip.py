"""Datasets of masks that formats find hard, and what a reader finds of them again."""

import fiftyone as fo
import numpy as np
from PIL import Image

from fiftyone_ssa.exports.formats import reader_of
from fiftyone_ssa.labels.documents import masks_document
from fiftyone_ssa.masks import rle

SIZE = (30, 41)
NAMES = ("tree", "bed", "sky", "dog")


def hard_masks(size_hw=SIZE):
    """Masks that do not overlap: a ring in a ring, lines of a pixel, single pixels, two pieces, corners."""
    height, width = size_hw
    ids = np.full(size_hw, -1)
    ids[1:12, 1:14] = 0
    ids[3:10, 3:12] = 1
    ids[5:8, 5:9] = -1
    ids[6, 6] = 2
    ids[14, :] = 3
    ids[np.arange(16, height), np.arange(16, height) - 16] = 4
    ids[16:20, width - 8 :] = 5
    ids[24:27, width - 5 :] = 5
    ids[0, 0] = 6
    ids[height - 1, width - 1] = 7
    ids[16:, 20] = 8
    return [ids == number for number in range(9)]


def add(dataset, path, masks, labels=None, exif=None, columns=None):
    """Add an image of the masks' size as it is seen, to the field `m`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = masks[0].shape
    stored = (height, width) if exif and exif.get(0x0112, 1) > 4 else (width, height)
    picture = Image.fromarray(np.random.default_rng(len(dataset)).integers(0, 255, (*stored[::-1], 3), np.uint8))
    picture.save(path, **({"exif": exif} if exif else {}))
    labels = labels or [NAMES[row % len(NAMES)] for row in range(len(masks))]
    mask_set = rle.mask_set(masks[0].shape, [rle.encode(np.asarray(mask)) for mask in masks])
    scores = [0.5 + row / 1000 for row in range(len(masks))]
    document = masks_document(mask_set, path.parent, {"label": labels, "confidence": scores, **(columns or {})})
    dataset.add_sample(fo.Sample(filepath=str(path), m=fo.Detections.from_dict(document)))


def turned(orientation=6):
    """EXIF that says how a picture is turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def read(folder, name):
    """What a format's reader finds, by the images' file names: each mask's label and code, sorted."""
    found = {}
    for image in reader_of(name)().read(folder):
        assert not image.problem, image.problem
        found[image.path.name] = sorted(zip(image.labels, image.masks.rles, strict=True))
    return found


def expected(*images):
    """The same of what was exported: (file name, masks, labels) each."""
    return {
        name: sorted((label, rle.encode(np.asarray(mask))) for label, mask in zip(labels, masks, strict=True))
        for name, masks, labels in images
    }
