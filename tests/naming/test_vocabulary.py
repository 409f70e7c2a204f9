"""A user's own names, from a text file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.naming.vocabulary import read_vocabulary


def test_names_come_once_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes("\ufeffcat\r\n\n a dog \ncat\nü".encode())
    assert read_vocabulary(tmp_path / "names.txt") == ("cat", "a dog", "ü")


def test_a_text_with_a_line_break_is_the_names_itself() -> None:
    assert read_vocabulary("cat\n a dog \n\ncat") == ("cat", "a dog")
    assert read_vocabulary("cat\n") == ("cat",)
    with pytest.raises(InputError, match="the vocabulary holds no name"):
        read_vocabulary(" \n")


def test_a_vocabulary_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.txt cannot be read: No such file.*names themselves"):
        read_vocabulary(tmp_path / "missing.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match="holds no name"):
        read_vocabulary(tmp_path / "empty.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="has control characters"):
        read_vocabulary("car\nb\0s\n")
    with pytest.raises(InputError, match=r"is one name, 'cat, mug, chair'; give .* one name a line"):
        read_vocabulary("cat, mug, chair\n")
    with pytest.raises(InputError, match="cannot read the vocabulary"):
        read_vocabulary(tmp_path / "binary.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(InputError, match="a pipe, a socket or a device"):
        read_vocabulary(tmp_path / "pipe.txt")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(InputError, match="larger than 10,000,000 bytes"):
        read_vocabulary(tmp_path / "huge.txt")
