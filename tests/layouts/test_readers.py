from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.layouts import ade20k, cityscapes, foggy_driving, sa1b


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_sa1b_pairs_in_nested_folders_and_any_case(tmp_path: Path) -> None:
    touch(tmp_path, "sa_000001/sa_2.jpg", "sa_000001/sa_2.json", "sa_000000/SA_1.JPG", "sa_000000/SA_1.JSON")
    touch(
        tmp_path, "sa_000000/sa_9.jpg", "sa_000000/readme.txt", "previews/a.jpg", ".cache/sa_3.jpg", ".cache/sa_3.json"
    )
    found = list(sa1b.images(tmp_path))
    assert [(image.id, image.masks_path) for image in found] == [
        ("sa_000000/SA_1", tmp_path / "sa_000000/SA_1.JSON"),
        ("sa_000000/sa_9", None),
        ("sa_000001/sa_2", tmp_path / "sa_000001/sa_2.json"),
    ]


def test_sa1b_wrong_layout(tmp_path: Path) -> None:
    touch(tmp_path, "sa_000000.tar", "sa_000001.tar", "docs/a.jpg")
    with pytest.raises(InputError, match=r"looked for images .*found 2 .tar, 1 .jpg, .*docs.* must be unpacked first"):
        list(sa1b.images(tmp_path))
    with pytest.raises(InputError, match="is not a folder"):
        next(sa1b.images(tmp_path / "nowhere"))


@pytest.mark.parametrize("parent", ["", "ADEChallengeData2016/"])
def test_ade20k(tmp_path: Path, parent: str) -> None:
    touch(tmp_path, *(f"{parent}images/training/{n}.jpg" for n in ("ADE_train_2", "ADE_train_1")))
    touch(tmp_path, f"{parent}images/validation/ADE_val_1.JPG", f"{parent}annotations/validation/ADE_val_1.PNG")
    touch(tmp_path, f"{parent}annotations/training/ADE_train_2.png", f"{parent}images/validation/index.txt")
    found = list(ade20k.images(tmp_path))
    assert [image.id for image in found] == ["training/ADE_train_1", "training/ADE_train_2", "validation/ADE_val_1"]
    assert [image.truth_path and image.truth_path.name for image in found] == [None, "ADE_train_2.png", "ADE_val_1.PNG"]
    assert list(ade20k.splits(tmp_path)) == ["training", "validation"]
    assert [image.id for image in ade20k.images(tmp_path, "validation")] == ["validation/ADE_val_1"]
    with pytest.raises(InputError, match="has no part 'val'; it has training, validation"):
        next(ade20k.images(tmp_path, "val"))


def test_ade20k_wrong_layout(tmp_path: Path) -> None:
    touch(tmp_path, "images/training/a.txt", "annotations/training/b.txt")
    with pytest.raises(
        InputError, match=r"looked for images/<split>/\*.jpg and .*found 2 .txt, .* annotations, images"
    ):
        list(ade20k.images(tmp_path))
    with pytest.raises(InputError, match="found no file, and the folders: none"):
        list(ade20k.images(touch(tmp_path / "empty", "images/.keep").joinpath("images")))


def test_cityscapes_prefers_fine_and_train_ids(tmp_path: Path) -> None:
    stem = "aachen_000000_000019"
    touch(tmp_path, f"leftImg8bit/train/aachen/{stem}_leftImg8bit.png", "leftImg8bit/test/berlin/b_leftImg8bit.png")
    touch(
        tmp_path, f"gtFine/train/aachen/{stem}_gtFine_color.png", f"gtCoarse/train/aachen/{stem}_gtCoarse_labelIds.png"
    )
    truths = []
    for added in (
        "gtCoarse/train/aachen/{}_gtCoarse_labelTrainIds.png",
        "gtFine/train/aachen/{}_gtFine_labelIds.PNG",
        "gtFine/train/aachen/{}_gtFine_labelTrainIds.png",
    ):
        test, train = cityscapes.images(tmp_path)
        truths.append(train.truth_path.name.removeprefix(stem))
        touch(tmp_path, added.format(stem))
    truths.append(next(cityscapes.images(tmp_path, "train")).truth_path.name.removeprefix(stem))
    assert truths == [
        "_gtCoarse_labelIds.png",
        "_gtCoarse_labelTrainIds.png",
        "_gtFine_labelIds.PNG",
        "_gtFine_labelTrainIds.png",
    ]
    assert (test.id, test.truth_path) == ("test/berlin/b", None)
    assert list(cityscapes.splits(tmp_path)) == ["test", "train"]


def test_cityscapes_packages_unpacked_side_by_side(tmp_path: Path) -> None:
    touch(tmp_path, "leftImg8bit_trainvaltest/leftImg8bit/val/ulm/u_leftImg8bit.png")
    touch(tmp_path, "gtFine_trainvaltest/gtFine/val/ulm/u_gtFine_labelIds.png")
    (image,) = foggy_driving.images(tmp_path)
    assert image.truth_path == tmp_path / "gtFine_trainvaltest/gtFine/val/ulm/u_gtFine_labelIds.png"


def test_cityscapes_wrong_layout(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png")
    with pytest.raises(InputError, match=r"looked for leftImg8bit/<split>/<city>/\*_leftImg8bit.png .*found 1 .png"):
        list(cityscapes.images(tmp_path))


def test_cityscapes_truth_of_either_kind(tmp_path: Path) -> None:
    label_ids, train_ids = tmp_path / "a_gtFine_labelIds.png", tmp_path / "a_gtFine_labelTrainIds.png"
    PIL.Image.fromarray(np.array([[0, 7, 33], [26, 30, 1]], np.uint8)).save(label_ids)
    PIL.Image.fromarray(np.array([[255, 0, 18], [13, 255, 255]], np.uint8)).save(train_ids)
    for path in (label_ids, train_ids):
        semantic = cityscapes.truth(path)
        assert semantic.ids.tolist() == [[255, 0, 18], [13, 255, 255]]
        assert semantic.names[13] == "car"
    PIL.Image.fromarray(np.full((2, 2), 40, np.uint8)).save(train_ids)
    with pytest.raises(InputError, match=r"_labelTrainIds.png: ground truth value 40"):
        cityscapes.truth(train_ids)
    train_ids.write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a picture of a known format"):
        cityscapes.truth(train_ids)
    PIL.Image.fromarray(np.array([[0, 13, 255]], np.uint8)).save(label_ids)
    with pytest.raises(InputError, match=r"_labelIds.png hold trainIds; name them \*_labelTrainIds.png"):
        cityscapes.truth(label_ids)
    PIL.Image.fromarray(np.array([[7, 13, 26]], np.uint8)).save(train_ids)
    with pytest.raises(InputError, match=r"_labelTrainIds.png hold label ids"):
        cityscapes.truth(train_ids)
    with pytest.raises(InputError, match="must end in"):
        cityscapes.truth(tmp_path / "a.png")


def test_readers_need_no_fiftyone() -> None:
    code = (
        "import sys; import fiftyone_ssa.layouts.sa1b, fiftyone_ssa.layouts.ade20k, "
        "fiftyone_ssa.layouts.foggy_driving; assert not {'fiftyone', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_twins_by_case_keep_their_own_files(tmp_path: Path) -> None:
    touch(tmp_path, *(f"ade/images/v/{name}.jpg" for name in ("a", "A", "b", "C")))
    touch(tmp_path, *(f"ade/annotations/v/{name}" for name in ("a.png", "A.PNG", "B.png")))
    truths = {image.id: image.truth_path and image.truth_path.name for image in ade20k.images(tmp_path / "ade")}
    assert truths == {"v/a": "a.png", "v/A": "A.PNG", "v/b": "B.png", "v/C": None}
    touch(tmp_path, "sa/a.jpg", "sa/A.jpg", "sa/a.json", "sa/B.JPG", "sa/b.JSON")
    masks = {image.id: image.masks_path and image.masks_path.name for image in sa1b.images(tmp_path / "sa")}
    assert masks == {"a": "a.json", "A": None, "B": "b.JSON"}
    touch(tmp_path, *(f"city/leftImg8bit/v/u/{name}_leftImg8bit.png" for name in ("x", "X", "y")))
    touch(tmp_path, *(f"city/gtFine/v/u/{name}_gtFine_labelIds.png" for name in ("x", "X", "Y")))
    found = {image.id: image.truth_path.name[0] for image in cityscapes.images(tmp_path / "city") if image.truth_path}
    assert found == {"v/u/x": "x", "v/u/X": "X", "v/u/y": "Y"}


def test_linked_parts_are_entered_once(tmp_path: Path) -> None:
    touch(tmp_path, "disk/v/a.jpg", "ade/images/t/b.jpg", "ade/annotations/v/a.png")
    (tmp_path / "ade/images/v").symlink_to(tmp_path / "disk/v")
    (tmp_path / "disk/v/again").symlink_to(tmp_path / "ade/images")
    assert [image.id for image in ade20k.images(tmp_path / "ade")] == ["t/b", "v/a"]
