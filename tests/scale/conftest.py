"""Small shards, and a pipeline that takes no time."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fiftyone_ssa.presets import Preset, load_preset

SIZE_HW = (60, 90)
SEGMENTERS = """
import numpy as np

class Thirds:
    classes = ["sky", "hill", "grass"]

    def __call__(self, images):
        return [np.repeat(np.arange(i.shape[0]) * 3 // i.shape[0], i.shape[1]).reshape(i.shape[:2]) for i in images]
"""


def jpeg(number: int) -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.full((*SIZE_HW, 3), number % 256, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def masks(number: int) -> bytes:
    """SA-1B's JSON for it: the whole picture, and 600 pixels that lie elsewhere in each."""
    pixels = SIZE_HW[0] * SIZE_HW[1]
    runs = [[0, pixels], [60 * (number % 70), 600, pixels - 600 - 60 * (number % 70)]]
    rows = [{"id": 7 - i, "segmentation": {"size": list(SIZE_HW), "counts": counts}} for i, counts in enumerate(runs)]
    return json.dumps({"image": {"image_id": number}, "annotations": rows}).encode()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A tar, compressed as its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = {".gz": "w:gz", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pairs(numbers: Iterable[int]) -> list[tuple[str, bytes]]:
    """SA-1B's members of some images."""
    return [pair for n in numbers for pair in ((f"./sa_{n}.jpg", jpeg(n)), (f"./sa_{n}.json", masks(n)))]


def broken(tars: Path) -> None:
    """A cut tar, and one with a JSON without image, an image without JSON, and a cut JPEG."""
    path = tars / "sa_000000.tar"
    path.write_bytes(path.read_bytes()[:-14000])
    extra = [("x.jpg", jpeg(1)), ("y.json", masks(1)), ("z.jpg", jpeg(1)[:300]), ("z.json", masks(1))]
    write_tar(tars / "sa_000001.tar", [*pairs(range(5, 10)), *extra, ("w.jpg", jpeg(1)), ("w.json", b"{")])


@pytest.fixture
def preset(tmp_path: Path) -> Preset:
    """The existing masks, voted on by a map of three stripes."""
    (tmp_path / "own.py").write_text(SEGMENTERS)
    own = {"masks.source": "existing", "semantic.model": f"{tmp_path}/own.py:Thirds", "semantic.vote": "hard"}
    return load_preset("mini-ssa", own)


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """A folder of three tars with five images each."""
    for tar in range(3):
        write_tar(tmp_path / "data" / f"sa_{tar:06d}.tar", pairs(range(5 * tar, 5 * tar + 5)))
    return tmp_path / "data"


@pytest.fixture
def output(tmp_path: Path) -> tuple[Path, list[dict[str, object]]]:
    """An output folder that questions are put to, and the rows of its masks."""
    pytest.importorskip("duckdb")
    from tests.scale.outputs import make_output

    return make_output(tmp_path)
