"""SA-1B, ADE20K, Cityscapes and Foggy Driving as FiftyOne datasets: types for `from_dir`, and one loader for each.

Ground truth is held as our predictions are: value = class id + 1, 0 = ignored. ADE20K's own files are like that and
are used where they lie; those of Cityscapes and Foggy Driving, where 0 is road, are written anew to `masks_dir`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import fiftyone as fo
import fiftyone.core.utils as fou
import fiftyone.utils.data as foud
from fiftyone import ViewField as F

from fiftyone_ssa.errors import InputError, counted, shown
from fiftyone_ssa.files.images import UNDECODED, undecoded_note
from fiftyone_ssa.files.json_file import read_json
from fiftyone_ssa.files.printable import check_utf8, is_utf8, printable
from fiftyone_ssa.folders.sa1b_json import readable_masks
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.documents import (
    MASK_ATTRIBUTES,
    declare_detections,
    mask_targets,
    masks_document,
    segmentation_document,
)
from fiftyone_ssa.labels.metadata import image_metadata
from fiftyone_ssa.layouts import ade20k, cityscapes, foggy_driving, sa1b
from fiftyone_ssa.layouts.layout import LabelledImage, walk
from fiftyone_ssa.layouts.sa1b import MaskedImage
from fiftyone_ssa.naming.arguments import renamed

logger = logging.getLogger(__name__)
Progress = bool | Callable[[Any], None] | None


class _Importer(foud.LabeledImageDatasetImporter):  # type: ignore[misc]
    """Streams a data set's images with their labels; an image whose labels are damaged comes without, and a warning."""

    names: ClassVar[Sequence[str]] = ()
    """Class names in id order; none for masks without names."""

    def __init__(
        self,
        dataset_dir: str | Path | None = None,
        split: str | None = None,
        masks_dir: str | Path | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        max_samples: int | None = None,
    ) -> None:
        """`split` is one part of the data set, None all of it; `masks_dir` takes what has to be written anew."""
        if dataset_dir is None:
            raise InputError("dataset_dir is missing; name the folder that holds the data set")
        super().__init__(dataset_dir=str(dataset_dir), shuffle=shuffle, seed=seed, max_samples=max_samples)
        self.root, self.split = Path(self.dataset_dir), split
        digest = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]
        default = Path(fo.config.default_dataset_dir) / "fiftyone-ssa" / f"{self.root.name}-{digest}"
        self.masks_dir = Path(masks_dir).expanduser().resolve() if masks_dir is not None else default

    def setup(self) -> None:
        """Start over."""
        self._images = iter(self._preprocess_list(self._named()))
        self.missing = self.damaged = 0

    def __len__(self) -> int:
        count = sum(is_utf8(image.image_path) for image in self.images())
        return count if self.max_samples is None else min(count, self.max_samples)

    def __next__(self) -> tuple[str, fo.ImageMetadata | None, fo.Label | None]:
        image = next(self._images)
        metadata = label = None
        try:
            metadata = image_metadata(image.image_path)
            label = self.label(image, (metadata.height, metadata.width))
            self.missing += label is None
        except InputError as error:
            self.damaged += 1
            logger.warning("%s", printable(f"{image.image_path} is loaded without labels: {error}"))
        return str(image.image_path), metadata, label

    def _named(self) -> Iterator[Any]:
        """The records whose images a dataset can hold; others are warned of."""
        for image in self.images():
            try:
                check_utf8(image.image_path, "a dataset")
            except InputError as error:
                logger.warning("%s", printable(f"{image.image_path} is left out: {error}"))
            else:
                yield image

    def images(self) -> Iterator[Any]:
        """The data set's records, in order."""
        raise NotImplementedError

    def label(self, image: Any, size_hw: tuple[int, int]) -> fo.Label | None:
        """The label of one record, or None where it has none. Raises InputError if it is damaged."""
        raise NotImplementedError

    @property
    def has_image_metadata(self) -> bool:
        """Width and height are read from every image's header."""
        return True

    @property
    def has_dataset_info(self) -> bool:
        """Class names, where there are some."""
        return bool(self.names)

    def get_dataset_info(self) -> dict[str, Any]:
        """The class names as the dataset's default mask targets."""
        return {"default_mask_targets": mask_targets(self.names)}


class SA1BImporter(_Importer):
    """SA-1B: every image with its masks."""

    label_cls = fo.Detections

    def images(self) -> Iterator[MaskedImage]:
        """See `datasets.sa1b.images`."""
        if self.split is not None:
            raise InputError("SA-1B has no parts; leave split out and name the folder of the images that you want")
        return sa1b.images(self.root)

    def label(self, image: MaskedImage, size_hw: tuple[int, int]) -> fo.Detections | None:
        """The masks, as `labels.masks_document` holds them."""
        if image.masks_path is None:
            return None
        masks, bad = readable_masks(read_json(image.masks_path), str(image.masks_path), size_hw)
        if bad:
            told = f"{image.image_path} is loaded without {counted(len(bad), 'mask')}, the first of {bad[0]}"
            logger.warning("%s", printable(told))
        return fo.Detections.from_dict(masks_document(masks, self.masks_dir / image.id))


class ADE20KImporter(_Importer):
    """ADE20K (SceneParse150), its ground truth used where it lies."""

    label_cls = fo.Segmentation
    names = ade20k.NAMES

    def images(self) -> Iterator[LabelledImage]:
        """See `datasets.ade20k.images`."""
        return ade20k.images(self.root, self.split)

    def label(self, image: LabelledImage, size_hw: tuple[int, int]) -> fo.Segmentation | None:
        """The annotation file: value i + 1 is class i, 0 is other."""
        return fo.Segmentation(mask_path=str(image.truth_path)) if image.truth_path is not None else None


class CityscapesImporter(_Importer):
    """Cityscapes with its 19 evaluated classes."""

    label_cls = fo.Segmentation
    names = cityscapes.NAMES

    def images(self) -> Iterator[LabelledImage]:
        """See `datasets.cityscapes.images`."""
        return cityscapes.images(self.root, self.split)

    def label(self, image: LabelledImage, size_hw: tuple[int, int]) -> fo.Segmentation | None:
        """The ground truth written anew as class ids + 1."""
        if image.truth_path is None:
            return None
        path = self.masks_dir / f"{image.id}.png"
        return fo.Segmentation.from_dict(segmentation_document(cityscapes.truth(image.truth_path), path))


class FoggyDrivingImporter(CityscapesImporter):
    """Foggy Driving with the 19 classes of Cityscapes."""

    names = foggy_driving.NAMES


class SA1BDataset(fo.types.LabeledImageDataset):  # type: ignore[misc]
    """`fo.Dataset.from_dir(dataset_dir=..., dataset_type=SA1BDataset, label_field="masks")`."""

    def get_dataset_importer_cls(self) -> type[_Importer]:
        """The importer."""
        return SA1BImporter


class ADE20KDataset(fo.types.LabeledImageDataset):  # type: ignore[misc]
    """`fo.Dataset.from_dir(dataset_dir=..., dataset_type=ADE20KDataset, split="validation")`."""

    def get_dataset_importer_cls(self) -> type[_Importer]:
        """The importer."""
        return ADE20KImporter


class CityscapesDataset(fo.types.LabeledImageDataset):  # type: ignore[misc]
    """`fo.Dataset.from_dir(dataset_dir=..., dataset_type=CityscapesDataset, split="val")`."""

    def get_dataset_importer_cls(self) -> type[_Importer]:
        """The importer."""
        return CityscapesImporter


class FoggyDrivingDataset(fo.types.LabeledImageDataset):  # type: ignore[misc]
    """`fo.Dataset.from_dir(dataset_dir=..., dataset_type=FoggyDrivingDataset)`."""

    def get_dataset_importer_cls(self) -> type[_Importer]:
        """The importer."""
        return FoggyDrivingImporter


def load_sa1b(
    dataset_dir: str | Path | None = None,
    dataset_name: str | None = None,
    *,
    label_field: str = "masks",
    masks_dir: str | Path | None = None,
    max_samples: int | None = None,
    persistent: bool = False,
    progress: Progress = None,
    path: str | Path | None = None,
    name: str | None = None,
) -> fo.Dataset:
    """SA-1B as it unpacks, each image's masks in `label_field`, without names.

    Args:
        dataset_dir: the folder that holds `sa_<id>.jpg` beside `sa_<id>.json`, at any depth
        dataset_name (None): of the new dataset; by default FiftyOne makes one up
        label_field ("masks"): the field to fill
        masks_dir (None): the folder of masks that are too large for the database, by default one below FiftyOne's
            default dataset folder
        max_samples (None): at most so many images
        persistent (False): whether the dataset stays when Python ends
        progress (None): FiftyOne's: True, False, None (its config) or a callback
        path (None): the former name of `dataset_dir`
        name (None): the former name of `dataset_name`

    Raises InputError for another layout, or if the name is taken; MissingDependencyError if there is no mongod.
    """
    dataset_dir = renamed("path", path, "dataset_dir", dataset_dir)
    dataset_name = renamed("name", name, "dataset_name", dataset_name)
    importer = SA1BImporter(dataset_dir, masks_dir=masks_dir, max_samples=max_samples)
    return _load(importer, {}, dataset_name, label_field, persistent, progress)


def load_ade20k(
    dataset_dir: str | Path | None = None,
    dataset_name: str | None = None,
    *,
    split: str | None = None,
    label_field: str = "ground_truth",
    max_samples: int | None = None,
    persistent: bool = False,
    progress: Progress = None,
    path: str | Path | None = None,
    name: str | None = None,
) -> fo.Dataset:
    """ADE20K (ADEChallengeData2016) with its ground truth of 150 classes, used where it lies.

    Args:
        dataset_dir: the folder `ADEChallengeData2016`, or the one that holds it
        dataset_name (None): of the new dataset; by default FiftyOne makes one up
        split (None): one part of it, as "train" or "validation"; by default all, each with its tag
        label_field ("ground_truth"): the field to fill
        max_samples (None): at most so many images
        persistent (False): whether the dataset stays when Python ends
        progress (None): FiftyOne's: True, False, None (its config) or a callback
        path (None): the former name of `dataset_dir`
        name (None): the former name of `dataset_name`

    Raises InputError for another layout, or if the name is taken; MissingDependencyError if there is no mongod.
    """
    dataset_dir = renamed("path", path, "dataset_dir", dataset_dir)
    dataset_name = renamed("name", name, "dataset_name", dataset_name)
    importer = ADE20KImporter(dataset_dir, split, max_samples=max_samples)
    return _load(importer, ade20k.splits(importer.root), dataset_name, label_field, persistent, progress)


def load_cityscapes(
    dataset_dir: str | Path | None = None,
    dataset_name: str | None = None,
    *,
    split: str | None = None,
    label_field: str = "ground_truth",
    masks_dir: str | Path | None = None,
    max_samples: int | None = None,
    persistent: bool = False,
    progress: Progress = None,
    path: str | Path | None = None,
    name: str | None = None,
) -> fo.Dataset:
    """Cityscapes with its ground truth of 19 classes, from trainIds or a fresh download's label ids.

    Args:
        dataset_dir: the folder that holds `leftImg8bit` and `gtFine`
        dataset_name (None): of the new dataset; by default FiftyOne makes one up
        split (None): one part of it, as "train", "val" or "test"; by default all, each with its tag
        label_field ("ground_truth"): the field to fill
        masks_dir (None): the folder in which ground truth is written anew, as class ids + 1, by default one below
            FiftyOne's default dataset folder
        max_samples (None): at most so many images
        persistent (False): whether the dataset stays when Python ends
        progress (None): FiftyOne's: True, False, None (its config) or a callback
        path (None): the former name of `dataset_dir`
        name (None): the former name of `dataset_name`

    Raises InputError for another layout, or if the name is taken; MissingDependencyError if there is no mongod.
    """
    dataset_dir = renamed("path", path, "dataset_dir", dataset_dir)
    dataset_name = renamed("name", name, "dataset_name", dataset_name)
    importer = CityscapesImporter(dataset_dir, split, masks_dir, max_samples=max_samples)
    return _load(importer, cityscapes.splits(importer.root), dataset_name, label_field, persistent, progress)


def load_foggy_driving(
    dataset_dir: str | Path | None = None,
    dataset_name: str | None = None,
    *,
    split: str | None = None,
    label_field: str = "ground_truth",
    masks_dir: str | Path | None = None,
    max_samples: int | None = None,
    persistent: bool = False,
    progress: Progress = None,
    path: str | Path | None = None,
    name: str | None = None,
) -> fo.Dataset:
    """Foggy Driving with Cityscapes' classes, fine ground truth before coarse.

    Args:
        dataset_dir: the folder that holds `leftImg8bit`, `gtFine` and `gtCoarse`
        dataset_name (None): of the new dataset; by default FiftyOne makes one up
        split (None): one part of it, as "train", "val" or "test"; by default all, each with its tag
        label_field ("ground_truth"): the field to fill
        masks_dir (None): the folder in which ground truth is written anew, as class ids + 1, by default one below
            FiftyOne's default dataset folder
        max_samples (None): at most so many images
        persistent (False): whether the dataset stays when Python ends
        progress (None): FiftyOne's: True, False, None (its config) or a callback
        path (None): the former name of `dataset_dir`
        name (None): the former name of `dataset_name`

    Raises InputError for another layout, or if the name is taken; MissingDependencyError if there is no mongod.
    """
    dataset_dir = renamed("path", path, "dataset_dir", dataset_dir)
    dataset_name = renamed("name", name, "dataset_name", dataset_name)
    importer = FoggyDrivingImporter(dataset_dir, split, masks_dir, max_samples=max_samples)
    return _load(importer, foggy_driving.splits(importer.root), dataset_name, label_field, persistent, progress)


def check_dataset_name(name: Any) -> None:
    """Raise InputError unless a new dataset can have this name; None is for FiftyOne to make one up."""
    if name is None:
        return
    if not isinstance(name, str):
        raise InputError(f"a dataset's name must be text, got {shown(name)}")
    try:
        fou.to_slug(name)
    except ValueError as error:
        raise InputError(
            f"a dataset's name must hold Latin letters or digits, and not more than 1000; got {shown(name)}"
        ) from error
    if fo.dataset_exists(name):
        raise InputError(f"there is a dataset {name!r} already; choose another name, or fo.load_dataset it")


@needs_database()
def _load(
    importer: _Importer,
    splits: Mapping[str, Path],
    name: str | None,
    label_field: str,
    persistent: bool,
    progress: Progress,
) -> fo.Dataset:
    """A new dataset with what an importer finds, each part tagged with its name; nothing stays if that fails."""
    next(importer.images())
    check_dataset_name(name)
    dataset = fo.Dataset(name, persistent=persistent)
    try:
        if importer.label_cls is fo.Detections:
            declare_detections(dataset, label_field, MASK_ATTRIBUTES)
        else:
            dataset.add_sample_field(label_field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
            dataset.mask_targets[label_field] = mask_targets(importer.names)
            dataset.save()
        dataset.add_importer(importer, label_field=label_field, add_info=False, progress=progress)
        for split, folder in splits.items():
            dataset.match(F("filepath").starts_with(f"{folder}{os.sep}")).tag_samples(split)
        for note in _notes(importer, dataset):
            logger.warning(note)
    except BaseException:
        dataset.delete()
        raise
    return dataset


def _notes(importer: _Importer, dataset: fo.Dataset) -> list[str]:
    """What came without labels, and what was left out, as closing sentences."""
    kinds = Counter(path.suffix.lower() for _, files in walk(importer.root) for path in files.ending(*UNDECODED))
    notes = [undecoded_note(kinds)] if kinds else []
    if without := importer.missing + importer.damaged:
        notes.append(
            f"{counted(dataset.count(), 'image')} loaded, {without} of them without labels: "
            f"{importer.missing} have no label file, {importer.damaged} an unreadable one"
        )
    return notes
