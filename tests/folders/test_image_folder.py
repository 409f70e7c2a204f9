"""Which images a folder holds, in which order, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.images import EXTENSIONS, UNDECODED
from fiftyone_ssa.folders.image_folder import ImageFolder


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_natural_order_sub_folders_and_any_case_of_extension(tmp_path: Path) -> None:
    _touch(tmp_path, "img10.JPG", "img2.png", "b/x.TIFF", "a b/ü.webp", "notes.txt", ".hidden.jpg", ".cache/y.jpg")
    assert [image.id for image in ImageFolder(tmp_path)] == ["img2.png", "img10.JPG", "a b/ü.webp", "b/x.TIFF"]


def test_a_single_image_of_any_extension(tmp_path: Path) -> None:
    _touch(tmp_path, "one.picture")
    (image,) = ImageFolder(tmp_path / "one.picture")
    assert (image.id, image.path, image.masks_path) == ("one.picture", tmp_path / "one.picture", tmp_path / "one.json")


def test_images_that_would_overwrite_each_other_are_problems(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "a.png", "b.jpg", "sub/a.jpg")
    problems = {image.id: image.problem for image in ImageFolder(tmp_path)}
    assert problems["a.jpg"] == problems["a.png"]
    assert "2 images called a.* would all be written to a_semantic.json" in problems["a.jpg"]
    assert problems["b.jpg"] == problems["sub/a.jpg"] == ""


def test_a_name_too_long_for_its_result_is_a_problem(tmp_path: Path) -> None:
    _touch(tmp_path, "x" * 250 + ".jpg")
    (image,) = ImageFolder(tmp_path)
    assert "too long" in image.problem


def test_a_folder_without_any_mask_file_is_left_out_where_masks_are_needed(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "a.json", "b.jpg", "gt/a.png", "gt/b.png")
    folder = ImageFolder(tmp_path, needs_masks=True)
    assert [image.id for image in folder] == ["a.jpg", "b.jpg"]
    assert folder.left_out.keys() == {tmp_path / "gt"}
    assert "none of its 2 images has a mask file" in folder.left_out[tmp_path / "gt"]


def test_results_inside_the_folder_are_no_images(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "a_overlay.jpg", "out/a_overlay.jpg", "out/other.jpg")
    assert [image.id for image in ImageFolder(tmp_path, results=tmp_path / "out")] == ["a.jpg", "a_overlay.jpg"]
    assert [image.id for image in ImageFolder(tmp_path, results=tmp_path)] == ["a.jpg", "out/other.jpg"]


def test_links_are_followed_unless_they_lead_to_what_is_found_anyway(tmp_path: Path) -> None:
    _touch(tmp_path, "data/a.jpg", "data/own/c.jpg", "elsewhere/b.jpg", "elsewhere/deep/d.jpg")
    data = tmp_path / "data"
    (data / "b.jpg").symlink_to(tmp_path / "elsewhere/b.jpg")
    (data / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (data / "self.jpg").symlink_to(data / "self.jpg")
    for name, target in {"loop": data, "train": tmp_path / "elsewhere", "up": tmp_path, "val": data / "own"}.items():
        (data / name).symlink_to(target)
    (data / "zz_again").symlink_to(tmp_path / "elsewhere/deep")
    folder = ImageFolder(data)
    names = ["a.jpg", "b.jpg", "gone.jpg", "self.jpg", "own/c.jpg", "train/b.jpg", "train/deep/d.jpg"]
    for _ in range(2):  # it is searched anew each time
        assert [image.id for image in folder] == names
    assert folder.left_out.keys() == {data / "loop", data / "up", data / "val", data / "zz_again"}
    assert "it is a link into" in folder.left_out[data / "val"]
    assert "it is a link to a folder that holds" in folder.left_out[data / "up"]
    assert folder.notes() == ["4 folders left out"]


def test_twins_that_differ_by_case_are_two_images_with_masks_of_their_own(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "A.jpg", "a.json", "A.JSON")
    images = list(ImageFolder(tmp_path, needs_masks=True))
    assert [(image.id, image.masks_path.name, image.problem) for image in images] == [
        ("A.jpg", "A.JSON", ""),
        ("a.jpg", "a.json", ""),
    ]


def test_mask_files_may_end_in_capitals(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "a.JSON", "b.jpg", "b.Json", "c.jpg", "c.json", "d.jpg", "e.jpg", "e.json", "e.JSON")
    names = [image.masks_path.name for image in ImageFolder(tmp_path, needs_masks=True)]
    assert names == ["a.JSON", "b.Json", "c.json", "d.json", "e.json"]
    _touch(tmp_path, "sub/x.webp", "sub/x.JSON")
    assert ImageFolder(tmp_path / "sub", needs_masks=True).check() is None


def test_pictures_without_a_decoder_are_counted(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jpg", "b.heic", "c.HEIC", "sub/d.jxl", "sub/e.txt", ".f.heic", "g.heic/h.png")
    folder = ImageFolder(tmp_path)
    for _ in range(2):
        assert [image.id for image in folder] == ["a.jpg", "g.heic/h.png"]
    (note,) = folder.notes()
    assert note == "2 .heic, 1 .jxl left out (no decoder for such pictures; convert them to JPEG or PNG)"


def test_every_format_that_is_read_is_found(tmp_path: Path) -> None:
    names = [f"a{index}{ending}" for index, ending in enumerate(EXTENSIONS)]
    _touch(tmp_path, *names)
    assert sorted(image.id for image in ImageFolder(tmp_path)) == sorted(names)
    assert not set(EXTENSIONS) & set(UNDECODED)


def test_a_folder_that_cannot_be_listed_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    _touch(tmp_path, "a.jpg", "locked/b.jpg")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")  # root, who runs these tests in CI, may list anything
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    images = {image.id: image.problem for image in ImageFolder(tmp_path)}
    assert images.keys() == {"a.jpg", "locked/"}
    assert "cannot be listed: Permission denied" in images["locked/"]


def test_nothing_there_names_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        ImageFolder(tmp_path / "none").check()
    with pytest.raises(InputError, match="found no file at all"):
        ImageFolder(tmp_path).check()
    _touch(tmp_path, "a.tar", "sub/b.tar", "README")
    with pytest.raises(InputError, match=r"looked for \*\.jpg.* found 2 \.tar, 1 without extension"):
        ImageFolder(tmp_path).check()
    _touch(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=r"no image with a mask file \(<image name>\.json\) beside it"):
        ImageFolder(tmp_path, needs_masks=True).check()
