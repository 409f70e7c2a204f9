"""One writer at a time, and no lock that outlives its holder."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files import lock
from fiftyone_ssa.files.lock import LockFile

HOLD = """
import sys, time
from pathlib import Path
from fiftyone_ssa.files.lock import LockFile
held = LockFile.take(Path(sys.argv[1]))
print(held.token, flush=True)
time.sleep(60)
"""


def test_a_killed_holder_leaves_the_lock_free_and_its_token(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        token = holder.stdout.readline().strip()
        with pytest.raises(InputError, match=f"another run .process {holder.pid} on .* writes to {tmp_path}"):
            LockFile.take(path)
        holder.send_signal(signal.SIGKILL)
    taken = LockFile.take(path)
    assert (taken.left_behind, taken.token) == (True, token)
    taken.give_back()
    assert not path.exists()
    again = LockFile.take(path)
    assert not again.left_behind
    assert again.token != token
    again.give_back()


def test_a_lock_that_is_given_back_while_another_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    first = LockFile.take(path)
    take = os.open

    def late(*arguments: object) -> int:
        descriptor = take(*arguments)  # type: ignore[arg-type]
        first.give_back()  # the file that was just opened is gone before it is locked
        monkeypatch.undo()
        return descriptor

    monkeypatch.setattr(os, "open", late)
    second = LockFile.take(path)
    assert second.is_held()
    assert json.loads(path.read_text())["token"] == second.token
    second.give_back()


@pytest.mark.parametrize("content", [b"", b"half a tok", b"[1]", b'{"token": 5}', b'{"token": "../x"}', b"\xff" * 9000])
def test_a_damaged_lock_file_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    taken = LockFile.take(tmp_path / "lock")
    assert taken.token.isalnum()
    taken.give_back()


def test_a_file_that_is_removed_or_replaced_is_no_longer_held(tmp_path: Path) -> None:
    for replaced in (False, True):
        taken = LockFile.take(tmp_path / "lock")
        (tmp_path / "lock").unlink()
        if replaced:
            (tmp_path / "lock").write_text("{}")
        assert not taken.is_held()
        taken.give_back()
        assert (tmp_path / "lock").exists() == replaced


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", none)
    (tmp_path / "lock").write_text('{"token": "abcd"}')  # of a run that may live
    taken = LockFile.take(tmp_path / "lock")
    assert not taken.left_behind
    assert "without locks" in caplog.text
    taken.give_back()
