"""Category ids stay: those that a file, an earlier export or the caller gives, and new names come after them."""

import json

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.exports.categories import assign, read_categories


def test_known_ids_stay_and_new_names_follow():
    assert assign({"b": 7, "a": 2}, {1: "z"}, ["a", "c", "d", "c"]) == {"b": 7, "a": 2, "c": 8, "d": 9}


def test_classes_of_a_map_keep_their_ids_where_none_are_known():
    assert assign({}, {3: "sky", 1: "road", 5: "sky"}, ["tree"]) == {"road": 1, "sky": 3, "tree": 4}
    assert assign({}, {"#ff0000": "sky"}, ["tree"]) == {"tree": 1}


@pytest.mark.parametrize(
    ("content", "extended"),
    [
        ({"sky": 4}, {"sky": 4, "tree": 5}),
        ([{"id": 4, "name": "sky", "supercategory": "above"}],
         [{"id": 4, "name": "sky", "supercategory": "above"}, {"id": 5, "name": "tree"}]),
        ({"categories": [{"id": 4, "name": "sky"}], "images": []},
         {"categories": [{"id": 4, "name": "sky"}], "images": []}),
    ],
)  # fmt: skip
def test_a_file_is_extended_in_its_form(tmp_path, content, extended):
    path = tmp_path / "ids.json"
    path.write_text(json.dumps(content))
    given = read_categories(str(path))
    ids = assign(given.ids, {}, ["tree"])
    assert ids == {"sky": 4, "tree": 5}
    given.check_unchanged()
    given.extend(ids)
    assert json.loads(path.read_text()) == extended


def test_a_file_that_is_missing_is_written_and_read_again(tmp_path):
    path = tmp_path / "new" / "ids.json"
    given = read_categories(path)
    given.extend({"sky": 1, "é": 2})
    assert read_categories(path).ids == {"sky": 1, "é": 2}


def test_a_linked_file_is_written_where_it_lies(tmp_path):
    (tmp_path / "ids.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "ids.json")
    read_categories(tmp_path / "link.json").extend({"sky": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "ids.json").read_text()) == {"sky": 1}


def test_a_file_that_changes_meanwhile_is_told(tmp_path):
    path = tmp_path / "ids.json"
    given = read_categories(path)
    path.write_text('{"sky": 1}')
    with pytest.raises(InputError, match="changed while the export ran"):
        given.check_unchanged()


@pytest.mark.parametrize(
    "content",
    [
        {"sky": 1, "tree": 1}, {"sky": "1"}, {"sky": True}, {"sky": -1}, {"sky": 1.5}, {"sky": None}, {"sky": [1]},
        [{"id": 1}], [{"name": "sky"}], [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}], ["sky"], [1], "sky", 5, None,
        {"categories": [1]}, {"categories": {"a": "b"}},
    ],
)  # fmt: skip
def test_what_is_no_list_of_ids_is_refused(tmp_path, content):
    path = tmp_path / "ids.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError):
        read_categories(path)
    if not isinstance(content, str | None):
        with pytest.raises(InputError):
            read_categories(content)


@pytest.mark.parametrize("text", ["", "{", '{"sky": 1, "sky": 2}', "[" * 2000])
def test_a_damaged_file_is_refused(tmp_path, text):
    path = tmp_path / "ids.json"
    path.write_text(text)
    with pytest.raises(InputError, match="JSON"):
        read_categories(path)
    assert path.read_text() == text


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError):
        read_categories(tmp_path)
