"""One's own images as a FiftyOne dataset: a plain folder, with masks where they lie beside the images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import fiftyone as fo

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.printable import check_utf8, printable
from fiftyone_ssa.files.regular import regular_size
from fiftyone_ssa.folders.image_folder import ImageFile, ImageFolder
from fiftyone_ssa.labels.database import needs_database
from fiftyone_ssa.labels.loaders import Progress, check_dataset_name, load_sa1b
from fiftyone_ssa.naming.arguments import check_limit, check_path

logger = logging.getLogger(__name__)


@needs_database()
def load_images(
    dataset_dir: str | Path,
    dataset_name: str | None = None,
    *,
    max_samples: int | None = None,
    persistent: bool = False,
    progress: Progress = None,
) -> fo.Dataset:
    """The images of a folder and of those below it; SA-1B style masks beside them (`a.json` of `a.jpg`) are `masks`.

    Args:
        dataset_dir: the folder
        dataset_name (None): of the new dataset; by default FiftyOne makes one up
        max_samples (None): at most so many images
        persistent (False): whether the dataset stays when Python ends
        progress (None): FiftyOne's: True, False, None (its config) or a callback

    Raises InputError if there is no image, or if the name is taken; MissingDependencyError if there is no mongod.
    """
    root, limit = check_path("dataset_dir", dataset_dir), check_limit(max_samples)
    if any(not image.path.is_dir() for image in ImageFolder(root, needs_masks=True)):  # else it cannot be listed
        return load_sa1b(root, dataset_name, max_samples=limit, persistent=persistent, progress=progress)
    folder = ImageFolder(root)
    folder.check()
    check_dataset_name(dataset_name)
    dataset = fo.Dataset(dataset_name, persistent=persistent)
    try:
        dataset.add_images(list(_paths(islice(folder, limit))), progress=progress)
        dataset.compute_metadata(progress=progress)
    except BaseException:
        dataset.delete()
        raise
    return dataset


def _paths(images: Iterable[ImageFile]) -> Iterator[str]:
    """The files that a dataset can hold; closed folders, pipes, and names that are not UTF-8 are warned of."""
    for image in images:
        try:
            check_utf8(image.path, "a dataset")
            if image.path.is_dir():
                raise InputError(image.problem)
            if image.path.exists():
                regular_size(image.path)  # FiftyOne, which opens it for its size, would wait on a pipe for ever
        except InputError as error:
            logger.warning("%s", printable(f"{image.path} is left out: {error}"))
        else:
            yield str(image.path)
