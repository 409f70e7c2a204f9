"""JSON files in: an object, or one sentence; and values as JSON's own types."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files import json_file
from fiftyone_ssa.files.json_file import MAX_DEPTH, plain, read_json


def _nested(levels: int) -> bytes:
    return b'{"x": ' + b"[" * levels + b"]" * levels + b"}"


def test_an_object_is_read_with_or_without_a_mark(tmp_path: Path) -> None:
    for name, content in {"a": b'{"a": 1}', "bom": b'\xef\xbb\xbf{"a": 1}', "16": '{"a": 1}'.encode("utf-16")}.items():
        (tmp_path / name).write_bytes(content)
        assert read_json(tmp_path / name) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a JSON file"),
        (b'{"annotations": [', "is not a JSON file"),
        (b"\xff\xfe\x00", "is not a JSON file"),
        (b'{"a": "\xff"}', "is not a JSON file"),
        (b"[1]", "must hold a JSON object, got a list"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "is not a JSON file: an object has two values for the key 'b'"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not a JSON file"),
        (b"[" * 100_000, "nested deeper than 100 levels"),
        (_nested(900), "nested deeper than 100 levels"),
        (_nested(MAX_DEPTH), "nested deeper than 100 levels"),
    ],
)
def test_anything_else_is_one_sentence_naming_the_file(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_nested_less_is_read_and_written_back(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_bytes(_nested(MAX_DEPTH - 1))
    content = read_json(tmp_path / "deep.json")
    assert json.loads(json.dumps(plain(content))) == content


def test_what_is_no_file_is_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
            with pytest.raises(InputError, match="a pipe, a socket or a device, not a file"):
                read_json(path)
    for path, says in (
        (tmp_path / "none.json", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "a\0b", "null byte"),
        (tmp_path / ("a" * 300), "File name too long"),
    ):
        with pytest.raises(InputError, match=says):
            read_json(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(100_000_000_000)  # takes no disk
    with pytest.raises(InputError, match=r"is too large: 100,000,000,000 bytes, at most 256,000,000 are read"):
        read_json(tmp_path / "huge.json")
    monkeypatch.setattr(json_file, "MAX_BYTES", 9)
    (tmp_path / "small.json").write_bytes(b'{"a": 12}')
    assert read_json(tmp_path / "small.json") == {"a": 12}


def test_values_become_json() -> None:
    values = {
        1: np.arange(2),
        "nan": [float("nan"), float("inf"), np.float32("nan"), np.float64(0.5)],
        "other": (None, True, Path("a")),
        "big": 10**30,
    }
    assert plain(values) == {"1": [0, 1], "nan": [None, None, None, 0.5], "other": [None, True, "a"], "big": 10**30}
    json.dumps(plain(values), allow_nan=False)
