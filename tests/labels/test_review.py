from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import fiftyone as fo
import numpy as np
import PIL.Image
import pytest

from fiftyone_ssa.files.images import save_png
from fiftyone_ssa.labels import documents, review
from fiftyone_ssa.masks import rle
from fiftyone_ssa.types import Annotation, Proposals

SIZE_HW = (60, 90)


def written(folder: Path, *names: str | None, size_hw: tuple[int, int] = SIZE_HW) -> list[documents.Document]:
    """Detections as a run writes them: blobs with the given names."""
    rng = np.random.default_rng(5)
    dense = np.zeros((len(names), *size_hw), bool)
    for mask in dense:
        mask[7:31, 11:47] = rng.random((24, 36)) < 0.6
    masks = rle.mask_set(size_hw, [rle.encode(mask) for mask in dense])
    count = len(names)
    annotation = Annotation(masks, names, np.full(count, 0.5), (Proposals(),) * count)
    found: list[documents.Document] = documents.annotation_document(annotation, folder)["detections"]
    return found


EDITS: dict[str, Callable[[fo.Detection], object]] = {
    "label": lambda d: setattr(d, "label", "sea"),
    "no label": lambda d: setattr(d, "label", None),
    "accepted": lambda d: setattr(d, "review", review.ACCEPTED),
    "rejected": lambda d: setattr(d, "review", review.REJECTED),
    "tag": lambda d: d.tags.append("look again"),
    "a pixel": lambda d: setattr(d, "mask", d.mask ^ (np.arange(d.mask.size) == 5).reshape(d.mask.shape)),
    "box moved": lambda d: setattr(d, "bounding_box", [d.bounding_box[0] + 1 / SIZE_HW[1], *d.bounding_box[1:]]),
    "box resized": lambda d: setattr(d, "bounding_box", [*d.bounding_box[:2], 0.5, 0.5]),
    "box lost": lambda d: setattr(d, "bounding_box", [float("nan")] * 4),
    "mask lost": lambda d: setattr(d, "mask", None),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_a_person_does_is_seen_in_objects_and_documents(
    edit: Callable[[fo.Detection], object], tmp_path: Path
) -> None:
    (document,) = written(tmp_path, "sky")
    detection = fo.Detection.from_dict(copy.deepcopy(document))
    assert not review.is_touched(document)
    assert not review.is_touched(detection)
    edit(detection)
    assert review.is_touched(detection)
    assert review.is_touched(detection.to_dict())


def test_a_mask_that_a_person_drew_is_touched() -> None:
    drawn = fo.Detection(label="sky", bounding_box=[0.1, 0.1, 0.5, 0.5], mask=np.ones((5, 5), bool))
    assert review.is_drawn(drawn)
    assert review.is_touched(drawn)
    assert review.is_touched(fo.Detection(bounding_box=[0.1, 0.1, 0.5, 0.5]))


def test_a_mask_without_a_name_is_not_touched_until_it_gets_one(tmp_path: Path) -> None:
    (document,) = written(tmp_path, None)
    assert "class_name" not in document
    assert not review.is_touched(document)
    assert review.is_touched(document | {"label": "sky"})


def test_only_pixels_count_however_a_mask_is_stored(tmp_path: Path) -> None:
    for size_hw in (SIZE_HW, (61, 97), (1500, 2251)):
        (document,) = written(tmp_path, "sky", size_hw=size_hw)
        digest = document["mask_digest"]
        detection = fo.Detection.from_dict(copy.deepcopy(document))
        mask, (x, y, w, h) = detection.mask, detection.bounding_box
        save_png(mask, tmp_path / "one.png")
        PIL.Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "moved.png")
        padded = np.pad(mask, 2)  # an App that draws a wider box around the same pixels
        height, width = size_hw
        wide = [x - 2 / width, y - 2 / height, w + 4 / width, h + 4 / height]
        for same in (
            fo.Detection(bounding_box=[x, y, w, h], mask=mask.astype(np.uint8) * 255),
            fo.Detection(bounding_box=np.float32([x, y, w, h]).tolist(), mask=np.asfortranarray(mask)),
            fo.Detection(bounding_box=[x, y, w, h], mask_path=str(tmp_path / "one.png")),
            fo.Detection(bounding_box=[x, y, w, h], mask_path=str(tmp_path / "moved.png")),
            fo.Detection(bounding_box=wide, mask=padded),
        ):
            assert review.digest_of(same) == digest
            assert review.digest_of(same.to_dict()) == digest


def test_empty_masks_have_a_digest_that_stays(tmp_path: Path) -> None:
    masks = rle.mask_set(SIZE_HW, [rle.encode(np.zeros(SIZE_HW, bool))])
    annotation = Annotation(masks, (None,), np.full(1, np.nan), (Proposals(),))
    (document,) = documents.annotation_document(annotation, tmp_path)["detections"]
    assert not review.is_touched(document)
    assert review.is_touched(document | {"bounding_box": [0, 0, 0.5, 0.5], "mask": documents.pack(np.eye(9) > 0)})


def test_a_mask_whose_file_is_gone_counts_by_the_rest(tmp_path: Path) -> None:
    (document,) = written(tmp_path, "sky")
    del document["mask"]
    document["mask_path"] = str(tmp_path / "gone.png")
    assert not review.is_touched(document)
    assert review.is_touched(document | {"tags": ["mine"]})
    assert review.is_touched(document | {"mask_path": None, "mask": b"damaged"})


def test_attributes_are_declared_and_filter(tmp_path: Path) -> None:
    dataset = fo.Dataset()
    documents.declare_detections(dataset, "ssa", documents.SSA_ATTRIBUTES)
    first, second = (fo.Detection.from_dict(d) for d in written(tmp_path, "sky", "sea"))
    first.review, first.reviewed_at = review.REJECTED, datetime(2026, 1, 2, tzinfo=UTC)
    dataset.add_sample(fo.Sample(filepath="/nowhere/a.png", ssa=fo.Detections(detections=[first, second])))
    assert dataset.count_values("ssa.detections.review") == {"rejected": 1, None: 1}
    assert dataset.count_values("ssa.detections.class_name") == {"sky": 1, "sea": 1}
    assert dataset.bounds("ssa.detections.reviewed_at")[0].year == 2026
    assert [review.is_touched(d) for d in dataset.first().ssa.detections] == [True, False]
    assert review.is_rejected(dataset.first().ssa.detections[0])
