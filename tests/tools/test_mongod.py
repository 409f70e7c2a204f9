"""The tests' own database: nobody else's, and gone when they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.mongod import Mongod, find_mongod

ROOT = Path(__file__).parents[2]
STARTS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from pathlib import Path
from tools.mongod import Mongod, find_mongod
server = Mongod(Path(sys.argv[1]))
server.start(find_mongod())
print(server.uri, flush=True)
time.sleep(600)
"""


def _is_up(uri: str) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    with MongoClient(uri, serverSelectionTimeoutMS=300) as client:
        try:
            return bool(client.admin.command("ping")["ok"])
        except PyMongoError:
            return False


def _wait_until_down(uri: str) -> None:
    deadline = time.monotonic() + 20
    while _is_up(uri):
        assert time.monotonic() < deadline, "the server outlives its owner"
        time.sleep(0.1)


def test_these_tests_use_a_server_of_their_own(database: str) -> None:
    import fiftyone as fo

    assert fo.config.database_uri == database == os.environ["FIFTYONE_DATABASE_URI"]
    assert f"{fo.core.odm.get_db_conn().client.address[1]}" == database.rpartition(":")[2].strip("/")


@pytest.mark.parametrize("asked", [False, True])
def test_another_server_is_joined_only_when_asked(asked: bool) -> None:
    """The variables that would lead FiftyOne elsewhere, and the one that asks for it."""
    elsewhere = "mongodb://127.0.0.1:1"
    code = "import tests.conftest, os; print(os.environ['FIFTYONE_DATABASE_URI'])"
    environment = {**os.environ, "FIFTYONE_DATABASE_URI": elsewhere, "FIFTYONE_PRIVATE_DATABASE_PORT": "1"}
    environment.pop("SSA_TEST_DATABASE_URI", None)
    if asked:
        environment["SSA_TEST_DATABASE_URI"] = elsewhere
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert (answer.stdout.strip() == elsewhere) == asked


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_dies_with_its_owner(tmp_path: Path, database: str, end: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", STARTS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    uri = owner.stdout.readline().strip()
    assert _is_up(uri)
    owner.send_signal(end)
    owner.wait()
    _wait_until_down(uri)


def test_a_server_that_cannot_start_tells_why(tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(RuntimeError, match="did not start within"):
        Mongod(tmp_path / "data").start(broken, seconds=0.3)


def test_stop_frees_the_port(tmp_path: Path, database: str) -> None:
    program = find_mongod()
    assert program is not None
    server = Mongod(tmp_path)
    server.start(program)
    server.stop()
    assert not _is_up(server.uri)
