"""Files out: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import write_whole


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a_semantic.json"
    write_whole(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(Path, "open", full)
    else:
        monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(InputError, match=r"cannot be written: No space left on device; what is finished is kept"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a_semantic.json", b"old")]
