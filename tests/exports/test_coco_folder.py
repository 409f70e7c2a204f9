"""The folder that a COCO export writes to: what is another's stays, and the export's own comes out right."""

import json

import fiftyone as fo
import pytest
from PIL import Image
from pymongo.errors import CursorNotFound

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports import coco as coco_module
from fiftyone_ssa.exports.coco import export_coco
from fiftyone_ssa.exports.marker import MARKER
from fiftyone_ssa.exports.sources import DatasetSource

OWN = {MARKER, "labels.json", "categories.json"}


def labels(folder):
    return json.loads((folder / "labels.json").read_text())


@pytest.mark.parametrize("media", [True, "symlink", False])
@pytest.mark.parametrize("name", ["data/a.png", "labels.json", "categories.json", "notes/read me.txt"])
def test_a_folder_of_others_is_refused(make, tmp_path, contents, media, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputError, match="holds files that are no COCO export"):
        export_coco(make(), tmp_path / "out", label_field="m", export_media=media, overwrite=True)
    assert contents(tmp_path / "out") == {name: b"mine"}


@pytest.mark.parametrize("media", [True, "symlink", False])
def test_images_of_the_dataset_are_never_in_the_folder(make, tmp_path, contents, media):
    first = make("a.png", "sub/b.png")
    export_coco(first, tmp_path / "out", label_field="m")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "linked.png").symlink_to(tmp_path / "out/data/sub/b.png")
    before = contents(tmp_path / "out")
    for path in ("out/data/a.png", "link/data/a.png", "linked.png"):
        again = make(path, folder="")
        with pytest.raises(InputError, match="is an image of the dataset and lies in"):
            export_coco(again, tmp_path / "out", label_field="m", export_media=media, overwrite=True)
    assert contents(tmp_path / "out") == before


def test_only_overwrite_replaces_an_export(make, tmp_path, contents):
    out = tmp_path / "out"
    export_coco(make("a.png", "sub/b.png", "sub/c.png"), out, label_field="m")
    (out / "data/sub/mine.png").write_text("mine")
    before = contents(out)
    other = make("c.png", folder="other", label="y")
    with pytest.raises(InputError, match=r"3 masks of 3 images, from 'm' of .*; pass overwrite=True"):
        export_coco(other, out, label_field="m")
    assert contents(out) == before
    export_coco(other, out, label_field="m", overwrite=True)
    assert set(contents(out)) == OWN | {"data/c.png", "data/sub/mine.png"}
    assert [image["file_name"] for image in labels(out)["images"]] == ["c.png"]
    assert (out / "data/c.png").read_bytes() == (tmp_path / "other/c.png").read_bytes()


@pytest.mark.parametrize(
    ("first", "second"), [("symlink", "copy"), ("copy", "symlink"), ("none", "copy"), (False, True)]
)
def test_links_become_copies_and_back(make, tmp_path, first, second):
    out = tmp_path / "out"
    export_coco(make("sub/a.png", "b.png"), out, label_field="m", export_media=first)
    export_coco(make("sub/a.png", "b.png"), out, label_field="m", export_media=second)
    for name in ("sub/a.png", "b.png"):
        assert (out / "data" / name).is_symlink() == (second == "symlink")
        assert (out / "data" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()


@pytest.mark.parametrize("changes", [{"label": "y"}, {"iscrowd": 1}, {"bounding_box": [0, 0, 30 / 96, 20 / 64]}])
def test_other_masks_are_refused_whatever_becomes_of_the_images(make, tmp_path, contents, changes):
    out = tmp_path / "out"
    export_coco(make(), out, label_field="m", export_media="symlink")
    before = contents(out)
    with pytest.raises(InputError, match="pass overwrite=True"):
        export_coco(make(**changes), out, label_field="m", export_media="copy")
    with pytest.raises(InputError, match="pass overwrite=True"):
        export_coco(make(), out, label_field="m", export_media="none")
    assert contents(out) == before


def test_no_picture_is_written_through_a_link(make, tmp_path):
    """The links of an export lead to the dataset's own images, and someone may put others in their place."""
    out = tmp_path / "out"
    dataset = make()
    source = (tmp_path / "in/a.png").read_bytes()
    export_coco(dataset, out, label_field="m", export_media="symlink")
    export_coco(dataset, out, label_field="m", export_media="copy", overwrite=True)
    assert (tmp_path / "in/a.png").read_bytes() == source
    (tmp_path / "mine.png").write_text("mine")
    (out / "data/a.png").unlink()
    (out / "data/a.png").symlink_to(tmp_path / "mine.png")
    with pytest.raises(InputError, match=r"a\.png is not as the export wrote it"):
        export_coco(dataset, out, label_field="m", overwrite=True)
    assert (tmp_path / "mine.png").read_text() == "mine"


@pytest.mark.parametrize("name", ["labels.json", "categories.json", "data/a.png"])
def test_what_someone_changed_by_hand_is_told_before_the_work(make, tmp_path, contents, monkeypatch, name):
    out = tmp_path / "out"
    export_coco(make(), out, label_field="m")
    (out / name).write_text("corrected")
    before = contents(out)
    monkeypatch.setattr(DatasetSource, "images", lambda *arguments: pytest.fail("it began to work"))
    with pytest.raises(InputError, match=f"{name} is not as the export wrote it"):
        export_coco(make(), out, label_field="m", overwrite=True)
    assert contents(out) == before


def test_an_export_whose_files_were_removed_is_none(make, tmp_path):
    out = tmp_path / "out"
    export_coco(make(), out, label_field="m", export_media=False)
    for path in (out / "labels.json", out / "categories.json"):
        path.unlink()
    assert export_coco(make(label="y"), out, label_field="m").annotations == 1


def test_former_names_of_arguments_work_and_warn(make, tmp_path):
    with pytest.warns(DeprecationWarning, match="out_dir is called export_dir now") as warned:
        export_coco(make(), out_dir=tmp_path / "out", label_field="m", media="none")
    ours = [warning.filename for warning in warned if " is called " in str(warning.message)]
    assert ours == [__file__, __file__]
    assert {path.name for path in (tmp_path / "out").iterdir()} == OWN
    with pytest.raises(InputError, match="former name"):
        export_coco(make(), tmp_path / "a", out_dir=tmp_path / "b", label_field="m")


@pytest.mark.parametrize("value", ["move", "manifest", 1.5, "", "Copy", ["copy"]])
def test_no_other_media(make, tmp_path, value):
    with pytest.raises(InputError, match="export_media must be True"):
        export_coco(make(), tmp_path / "out", label_field="m", export_media=value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_overwrite_is_a_flag(make, tmp_path, value):
    with pytest.raises(InputError, match="overwrite must be True or False"):
        export_coco(make(), tmp_path / "out", label_field="m", overwrite=value)


def test_one_file_several_times_in_a_dataset(make, tmp_path):
    names = ("a.png", "a.png", "a-2.png", "sub\n/x\ny.png", "sub\n/x\ny.png")
    export_coco(make(*names), tmp_path / "out", label_field="m")
    found = [image["file_name"] for image in labels(tmp_path / "out")["images"]]
    assert found == ["a.png", "a-3.png", "a-2.png", "sub\n/x\ny.png", "sub\n/x\ny-2.png"]
    for name in found:
        Image.open(tmp_path / "out/data" / name).verify()
    export_coco(make(*names), tmp_path / "there", label_field="m", export_media=False)
    assert [image["file_name"] for image in labels(tmp_path / "there")["images"]] == list(names)


def test_rel_dir_may_be_reached_by_a_link_or_be_relative(make, tmp_path, monkeypatch):
    dataset = make("a/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    for number, rel_dir in enumerate(("link", tmp_path / "in", "in/../in")):
        export_coco(dataset, f"out{number}", label_field="m", rel_dir=rel_dir)
        assert [image["file_name"] for image in labels(tmp_path / f"out{number}")["images"]] == ["a/b.png"]


def test_names_never_lead_out_of_the_folder(make, tmp_path):
    dataset = make("a/b.png")
    path = str(tmp_path / "in/a/../../in/a/b.png")
    dataset._sample_collection.update_one({}, {"$set": {"filepath": path}})
    export_coco(dataset, tmp_path / "out", label_field="m", rel_dir=tmp_path / "in")
    assert [image["file_name"] for image in labels(tmp_path / "out")["images"]] == ["a/b.png"]
    summary = export_coco(dataset, tmp_path / "none", label_field="m", rel_dir=tmp_path / "in/a/b")
    assert (summary.images, len(summary.errors)) == (0, 1)


def test_samples_and_datasets_deleted_meanwhile(make, tmp_path):
    dataset = make(*(f"{number}.png" for number in range(5)))
    images = DatasetSource.images

    def delete_then_read(source, split_field):
        dataset.delete_samples(dataset.skip(3))
        yield from images(source, split_field)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatasetSource, "images", delete_then_read)
        summary = export_coco(dataset, tmp_path / "out", label_field="m")
    assert (summary.images, summary.deleted) == (3, 2)
    assert "2 samples deleted meanwhile" in str(summary)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatasetSource, "images", lambda *arguments: iter(()))
        patch.setattr(fo, "dataset_exists", lambda name: False)
        with pytest.raises(InputError, match="was deleted while it was exported"):
            export_coco(dataset, tmp_path / "gone", label_field="m")
    assert not (tmp_path / "gone").exists()


def test_a_query_that_the_server_forgets_goes_on(make, tmp_path, monkeypatch):
    dataset = make(*(f"{number}.png" for number in range(5)))
    aggregate = fo.DatasetView._aggregate

    def forget(view, *arguments, **options):
        for number, document in enumerate(aggregate(view, *arguments, **options)):
            if number == 2:
                raise CursorNotFound("cursor id 1 not found")
            yield document

    monkeypatch.setattr(fo.DatasetView, "_aggregate", forget)
    summary = export_coco(dataset, tmp_path / "out", label_field="m")
    assert (summary.images, summary.deleted) == (5, 0)


def test_a_full_disk_stops_the_export_and_a_lost_image_does_not(make, tmp_path, monkeypatch):
    out = tmp_path / "out"
    dataset = make("a.png", "b.png")
    export_coco(dataset, out, label_field="m")
    (tmp_path / "in/a.png").unlink()
    (tmp_path / "in/a.png").symlink_to("a.png")  # to itself
    summary = export_coco(dataset, out, label_field="m", overwrite=True)
    assert (summary.images, list(summary.errors)) == (1, [str(tmp_path / "in/a.png")])
    assert not (out / "data/a.png").exists()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coco_module.CocoFile, "write_image", full)
    with pytest.raises(InputError, match="No space left on device; mend that and start again"):
        export_coco(dataset, out, label_field="m", overwrite=True)
    assert len(labels(out)["images"]) == 1
