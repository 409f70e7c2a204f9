"""Datasets of small images with masks."""

import pytest
from PIL import Image


@pytest.fixture
def make(tmp_path):
    """A function that makes a dataset of images with one mask of 30x20 pixels at (24, 4) each."""
    import fiftyone as fo
    import numpy as np

    made = []

    def make(*names, label_field="m", folder="in", **changes):
        dataset = fo.Dataset()
        made.append(dataset)
        for number, name in enumerate(names or ("a.png",)):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                Image.new("RGB", (96, 64), (number, len(made), 99)).save(path)
            one = {"label": "x", "bounding_box": [0.25, 0.0625, 30 / 96, 20 / 64], "mask": np.ones((20, 30), bool)}
            detections = fo.Detections(detections=[fo.Detection(**(one | changes))])
            dataset.add_sample(fo.Sample(filepath=str(path), **{label_field: detections}))
        return dataset

    yield make
    for dataset in made:
        if not dataset.deleted:
            dataset.delete()


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A small dataset of masks with holes, islands, lines and single pixels."""
    from tests.exports.odd_dataset import odd_dataset

    dataset = odd_dataset(tmp_path_factory.mktemp("odd"), many=3)
    yield dataset
    dataset.delete()


@pytest.fixture
def contents():
    """A function that lists every file and link below a folder, with what it holds."""

    def contents(folder):
        return {
            path.relative_to(folder).as_posix(): path.readlink() if path.is_symlink() else path.read_bytes()
            for path in folder.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    return contents
