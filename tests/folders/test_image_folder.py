"""Which images a folder holds, in which order, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
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


def test_links_to_images_count_and_links_to_folders_are_left_out(tmp_path: Path) -> None:
    _touch(tmp_path, "data/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "data/b.jpg").symlink_to(tmp_path / "elsewhere/b.jpg")
    (tmp_path / "data/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    folder = ImageFolder(tmp_path / "data")
    assert [image.id for image in folder] == ["a.jpg", "b.jpg", "gone.jpg"]
    assert "link to a folder" in folder.left_out[tmp_path / "data/loop"]


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
