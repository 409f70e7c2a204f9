"""The command itself: it says where it listens, finishes what it took when it is told to end, and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from fiftyone_ssa import cli

from .conftest import QUICK, wait_for

SET = [part for key, value in QUICK.items() for part in ("--set", f"{key}={value}")]


def test_sigterm_finishes_what_was_taken_and_ends_well(pictures):
    command = [sys.executable, "-m", "fiftyone_ssa.cli", "serve", "--preset", "mini-ssa", "--port", "0", *SET]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        wait_for(lambda: answers(address), 60)
        with ThreadPoolExecutor(6) as threads:
            asked = [threads.submit(ask, address, picture) for picture in pictures]
            # all six are taken, and most of them not yet done
            wait_for(lambda: int(waiting(address)) >= 5, 60)
            process.send_signal(signal.SIGTERM)
            assert [future.result().status_code for future in asked] == [200] * 6
        assert process.wait(60) == 0, process.stderr.read()
        assert process.stderr.read() == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")


def ask(address, picture):
    return httpx.post(f"{address}/label", files={"image": ("x.jpg", picture)}, timeout=300)


def answers(address):
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def waiting(address):
    return float(re.search(r"^ssa_waiting_requests (.*)$", httpx.get(f"{address}/metrics").text, re.M)[1])


def test_what_is_wrong_is_said_before_models_are_loaded(capsys, monkeypatch):
    monkeypatch.delenv("FIFTYONE_SSA_TOKEN", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, words in (
            (["--host", "0.0.0.0"], "name a token"),
            (["--port", port], f"cannot listen to 127.0.0.1:{port}"),
            (["--port", "99999"], "port must be"),
            (["--queue", "0"], "waiting must be"),
            (["--max-upload", "none"], "--max-upload must be"),
            (["--batch-size", "0"], "batch_size must be"),
            (["--label-studio-url", "x"], "http://localhost:8080"),
            (["--token-file", "/missing"], "/missing"),
        ):
            assert cli.main(["serve", "--preset", "mini-ssa", *arguments]) == 2
            assert words in capsys.readouterr().err
