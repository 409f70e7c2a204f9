"""The same rows from and to S3, some of whose requests fail; what a full disk or a store that is gone costs."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.presets import Preset
from fiftyone_ssa.scale import s3, store
from fiftyone_ssa.scale.counting import stats
from fiftyone_ssa.scale.manifest import TABLES, read_manifest
from fiftyone_ssa.scale.running import annotate_shards
from fiftyone_ssa.scale.s3 import S3
from fiftyone_ssa.scale.store import Store
from tests.scale.conftest import broken

ERROR = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate, and then try again.</Message></Error>"


class Server:
    """Moto's S3, a share of whose requests fail."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self.share, self.failed, self._chance = 0.0, 0, random.Random(0)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self._chance.random() >= self.share:
            return self._app(request, start)  # type: ignore[no-any-return]
        self.failed += 1
        start(self._chance.choice(("503 Slow Down", "500 Internal Server Error")), [])
        return [ERROR]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("moto.server", reason="needs moto (pip install 'moto[server]')")
    with pytest.MonkeyPatch.context() as patch:
        server = Server()
        names = {
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b",
            "DEFAULT_REGION": "us-east-1",
            "ENDPOINT_URL": server.url,
        }
        for name, value in names.items():
            patch.setenv(f"AWS_{name}", value)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setattr(s3, "FIRST_WAIT_S", 0.001)
        S3.clear_instance_cache()
        import boto3

        boto3.client("s3", endpoint_url=server.url).create_bucket(Bucket="bucket")
        yield server
        server.close()
        S3.clear_instance_cache()


@pytest.fixture
def failing(server: Server) -> Iterator[Server]:
    server.share, server.failed = 0.05, 0
    yield server
    server.share = 0.0


def rows(out: str | Path, table: str) -> list[dict[str, Any]]:
    folder, found = Store(out), []
    for entry in read_manifest(folder).values():
        with folder.open(f"{table}/{entry.part}") as file:
            found += pq.read_table(file).to_pylist()
    return found


def test_the_same_rows_though_requests_fail(failing: Server, tars: Path, tmp_path: Path, preset: Preset) -> None:
    broken(tars)
    for tar in tars.glob("*.tar"):
        S3().put_file(tar, f"bucket/data/{tar.name}")
    run = {"device": "cpu", "progress": False}
    here = annotate_shards(tars, tmp_path / "out", preset, **run)
    there = annotate_shards("s3://bucket/data", "s3://bucket/out", preset, **run)
    assert (there.images, there.masks, there.failed) == (here.images, here.masks, here.failed)
    pattern = annotate_shards("s3://bucket/data/sa_*.tar", "s3://bucket/more/out", preset, **run)
    assert pattern.images == here.images
    for table in ("masks", "images"):
        assert rows("s3://bucket/out", table) == rows("s3://bucket/more/out", table) == rows(tmp_path / "out", table)
    again = annotate_shards("s3://bucket/data", "s3://bucket/out", preset, **run)
    assert (again.shards, again.skipped) == (0, 3)
    assert len(S3().ls("bucket/out/masks")) == 3
    asked, wanted = (stats(out) for out in ("s3://bucket/out", tmp_path / "out"))
    assert replace(asked, out="", failures={}) == replace(wanted, out="", failures={})
    assert list(asked.failures.values()) == list(wanted.failures.values())
    assert failing.failed > 10


def test_files_in_buckets(failing: Server, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content := random.Random(0).randbytes(100_000))
    fs = S3()
    for name in ("bucket/files/x", "s3://bucket/files/deep/y"):
        fs.put_file(tmp_path / "x", name)
    for _ in range(20):
        assert fs.cat_file("bucket/files/x", 10, 14) == content[10:14]
    assert fs.cat_file("bucket/files/x") == content
    with fs.open("bucket/files/x") as file:
        file.seek(70_000)
        assert file.read() == content[70_000:]
    assert fs.ls("bucket/files", detail=False) == ["bucket/files/deep", "bucket/files/x"]
    assert fs.glob("bucket/files/*/*") == ["bucket/files/deep/y"]
    assert (fs.info("bucket/files/x")["size"], fs.exists("bucket/files/z")) == (100_000, False)
    fs.rm_file("bucket/files/x")
    for gone in (fs.info, fs.cat_file, fs.open, fs.ls):
        with pytest.raises(FileNotFoundError):
            gone("bucket/files/x")


def test_a_store_that_is_gone_ends_the_run_and_the_next_one_does_the_rest(
    server: Server, tars: Path, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: str) -> None:
        server.share = 1.0

    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    monkeypatch.setattr(store, "ATTEMPTS", 1)
    try:
        with pytest.raises(InputError, match=r"does not answer|cannot be written"):
            annotate_shards(tars, "s3://bucket/gone", preset, device="cpu", progress=False, say=gone)
        with pytest.raises(InputError, match="s3://bucket/data cannot be listed"):
            annotate_shards("s3://bucket/data", "memory://x", preset, device="cpu", progress=False)
    finally:
        server.share = 0.0
    assert annotate_shards(tars, "s3://bucket/gone", preset, device="cpu", progress=False).images == 15


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk (root on Linux)")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_the_run_and_the_next_one_does_the_rest(small_disk: Path, tars: Path, preset: Preset) -> None:
    out = small_disk / "out"
    filler = small_disk / "filler"
    done = set[str]()
    told, ended = list[str](), False
    for kilobytes in (196, 190, 180, 160, 130, 100, 60, 0):
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(1024 * max(0, kilobytes - _used(out))))
        try:
            annotate_shards(tars, out, preset, device="cpu", progress=False)
            ended = True
        except InputError as error:
            told.append(str(error))
        entries = read_manifest(Store(out))
        assert done <= (done := {entry.part for entry in entries.values()})
        for entry in entries.values():
            assert all(pq.read_table(out / table / entry.part) is not None for table in TABLES)
    assert ended
    assert told
    assert all("start again" in text or "cannot take results" in text for text in told)
    assert len(rows(out, "masks")) == 30
    assert len(list((out / "masks").iterdir())) == 3


def _used(folder: Path) -> int:
    """Kilobytes, in pages."""
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    return sum(4 * -(-path.stat().st_size // 4096) for path in files)
