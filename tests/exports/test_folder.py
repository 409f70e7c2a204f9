"""What others put into an export's folder stays: it is never replaced, removed or written through."""

import json
import os
import threading

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports import folder as folder_module
from fiftyone_ssa.exports.folder import STAGING, ExportFolder, FolderError, check_folder
from fiftyone_ssa.exports.marker import MARKER

KIND = "test export"


def write(root, **files):
    """An export of files with contents; slashes in names are written as two underscores."""
    with ExportFolder(root, KIND) as folder:
        for name, content in files.items():
            with folder.stage(name.replace("__", "/")) as path:
                path.write_text(content)
        folder.commit({})


def cut_off(root, error=KeyboardInterrupt):
    with ExportFolder(root, KIND) as folder, folder.stage("a") as path:
        path.write_text("half")
        raise error


def below(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_an_export_replaces_its_own_files_and_removes_what_it_no_longer_has(tmp_path):
    root = tmp_path / "new" / "out"
    write(root, a="1", data__x="1", data__sub__y="1")
    write(root, a="2", data__z="2")
    assert below(root) == {MARKER, "a", "data/z"}
    assert (root / "a").read_text() == "2"
    assert not (root / "data" / "sub").exists()


@pytest.mark.parametrize("name", ["labels.json", "data/1.png", ".hidden"])
def test_a_folder_with_anything_in_it_is_refused(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(InputError, match="files that are no test export"):
        ExportFolder(tmp_path, KIND)
    assert below(tmp_path) == {name}


def test_what_a_file_manager_leaves_does_not_count(tmp_path):
    (tmp_path / ".DS_Store").touch()
    write(tmp_path, a="1")
    assert below(tmp_path) == {".DS_Store", MARKER, "a"}


def test_files_that_others_add_stay(tmp_path):
    write(tmp_path, a="1", data__sub__x="1")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "data/sub/mine.png").write_text("mine")
    write(tmp_path, a="2")
    assert below(tmp_path) == {MARKER, "a", "notes.txt", "data/sub/mine.png"}


def changed(path, tmp_path):
    path.write_text("changed by hand")


def linked(path, tmp_path):
    (tmp_path / "picture").write_text("mine")
    path.unlink()
    path.symlink_to(tmp_path / "picture")


def made_a_folder(path, tmp_path):
    path.unlink()
    path.mkdir()
    (path / "mine").write_text("mine")


def reached_by_a_link(path, tmp_path):
    path.parent.rename(tmp_path / "moved")
    path.parent.symlink_to(tmp_path / "moved")


@pytest.mark.parametrize("change", [changed, linked, made_a_folder, reached_by_a_link])
def test_a_file_of_its_own_that_someone_changed_is_not_its_own_any_more(tmp_path, change):
    root = tmp_path / "out"
    write(root, a="1", data__x="1")
    change(root / "data/x", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != MARKER}
    with pytest.raises(InputError, match="choose another folder"):
        write(root, a="2", data__x="2")
    assert {path: path.read_bytes() for path in before} == before
    assert not (root / STAGING).exists()
    write(root, a="2")  # no file of that name is needed now, and the changed one stays
    assert (root / "a").read_text() == "2"
    assert all(path.read_bytes() == content for path, content in before.items() if path.name != "a")


def test_a_second_name_of_its_file_keeps_its_content(tmp_path):
    root = tmp_path / "out"
    write(root, a="1")
    os.link(root / "a", tmp_path / "kept")
    write(root, a="2")
    assert ((root / "a").read_text(), (tmp_path / "kept").read_text()) == ("2", "1")


def test_a_file_that_comes_in_between_stays(tmp_path):
    with ExportFolder(tmp_path, KIND) as folder:
        with folder.stage("a") as path:
            path.write_text("1")
        (tmp_path / "a").write_text("mine")
        with pytest.raises(InputError, match="left as it is"):
            folder.commit({})
    assert below(tmp_path) == {"a"}
    assert (tmp_path / "a").read_text() == "mine"


def test_without_hard_links_files_are_renamed(tmp_path, monkeypatch):
    def no_links(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write(tmp_path, a="1", data__x="1")
    assert below(tmp_path) == {MARKER, "a", "data/x"}


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", json.dumps({"kind": "other"}), json.dumps({"kind": KIND, "files": {"../a": ["x"]}, "about": {}})]
    + [json.dumps({"kind": KIND, "files": files, "about": {}}) for files in ({"/etc/x": ["x"]}, {"a": "x"}, {"": []})],
)
def test_a_marker_of_something_else_is_refused(tmp_path, content):
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(InputError):
        ExportFolder(tmp_path, KIND)


def test_a_folder_left_without_commit_is_as_before(tmp_path):
    root = tmp_path / "a" / "out"
    with pytest.raises(KeyboardInterrupt):
        cut_off(root)
    assert not root.exists()
    write(root, a="1")
    with pytest.raises(KeyboardInterrupt):
        cut_off(root)
    assert (below(root), (root / "a").read_text()) == ({MARKER, "a"}, "1")


def test_one_export_at_a_time(tmp_path):
    with ExportFolder(tmp_path, KIND), pytest.raises(InputError, match="another export is being written"):
        write(tmp_path, a="1")
    write(tmp_path, a="1")


def test_of_many_exports_at_once_each_is_whole_or_refused(tmp_path):
    refused = []

    def export(number):
        try:
            write(tmp_path / "out", **{name: str(number) for name in "abcdef"})
        except InputError as error:
            refused.append(error)

    threads = [threading.Thread(target=export, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) < 8
    assert below(tmp_path / "out") == {MARKER, *"abcdef"}
    assert len({(tmp_path / "out" / name).read_text() for name in "abcdef"}) == 1


def test_what_a_killed_export_left_is_cleared(tmp_path):
    (tmp_path / ".123-abc.ssa-part").write_text("half a marker")
    write(tmp_path, a="1")
    (tmp_path / STAGING / "data").mkdir(parents=True)
    (tmp_path / STAGING / "data/x").write_text("half")
    write(tmp_path, a="2")
    assert below(tmp_path) == {MARKER, "a"}


def test_a_linked_staging_folder_is_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/x").touch()
    write(tmp_path / "out", a="1")
    (tmp_path / "out" / STAGING).symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="is a link"):
        write(tmp_path / "out", a="2")
    assert below(tmp_path / "mine") == {"x"}


def test_an_export_whose_files_are_all_removed_holds_nothing(tmp_path):
    write(tmp_path, a="1")
    assert ExportFolder(tmp_path, KIND).holds
    (tmp_path / "a").unlink()
    assert not ExportFolder(tmp_path, KIND).holds


def test_a_full_disk_is_one_sentence_and_leaves_the_old_export(tmp_path):
    write(tmp_path, a="1")
    with pytest.raises(FolderError, match=f"cannot be written to {tmp_path}: No space left on device; mend that"):
        cut_off(tmp_path, OSError(28, "No space left on device"))
    assert (below(tmp_path), (tmp_path / "a").read_text()) == ({MARKER, "a"}, "1")


def test_a_folder_that_goes_is_one_sentence(tmp_path):
    root = tmp_path / "out"
    with ExportFolder(root, KIND) as folder:
        with folder.stage("a") as path:
            path.write_text("1")
        root.rename(tmp_path / "elsewhere")
        with pytest.raises(FolderError, match="is gone"):
            folder.commit({})
    assert not root.exists()


def test_nothing_is_done_to_a_folder_that_took_its_place(tmp_path):
    root = tmp_path / "out"
    with ExportFolder(root, KIND) as folder:
        with folder.stage("a") as path:
            path.write_text("1")
        root.rename(tmp_path / "elsewhere")
        write(root, b="2")
        with pytest.raises(FolderError, match="is another folder now"), folder.stage("c"):
            pass
        with pytest.raises(FolderError, match="is another folder now"):
            folder.commit({})
    assert below(root) == {MARKER, "b"}


def test_paths_that_are_none(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for value in (None, 5, "", "a\0b", "~nobody-of-this-name/x", "x" * 5000, tmp_path / "file", tmp_path / "circle"):
        with pytest.raises(InputError):
            ExportFolder(check_folder("export_dir", value), KIND)
    with pytest.raises(InputError), ExportFolder(check_folder("export_dir", tmp_path / "file/below"), KIND):
        pass
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert check_folder("export_dir", "a/../b") == tmp_path / "b"
    assert check_folder("export_dir", "~/b") == tmp_path / "home/b"


def test_without_locks_it_still_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "fcntl", None)
    write(tmp_path, a="1")
    assert below(tmp_path) == {MARKER, "a"}
