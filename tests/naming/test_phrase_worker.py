"""The process that reads captions: it says what `NounPhrases` says, and is gone when it should be."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fiftyone_ssa.naming import phrase_worker
from fiftyone_ssa.naming.phrase_worker import PhraseWorker
from fiftyone_ssa.naming.phrases import NounPhrases

CAPTIONS = ["a red car and the dogs on a chair", "", 'naïve café 猫\n"quoted"', "the back of a chair", "it is"]


@pytest.fixture(scope="module")
def worker() -> Iterator[PhraseWorker]:
    worker = PhraseWorker("head")
    yield worker
    worker.close()


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_says_what_noun_phrases_says(worker: PhraseWorker) -> None:
    plain = NounPhrases("head")
    assert worker(CAPTIONS) == plain(CAPTIONS)
    assert worker([*CAPTIONS[::-1], "two cats"]) == plain([*CAPTIONS[::-1], "two cats"])
    assert worker([]) == []


def test_it_imports_from_the_folder_that_this_process_began_in(monkeypatch: pytest.MonkeyPatch) -> None:
    folders, begun = [], phrase_worker.begin

    def begin(*arguments, **options):
        folders.append(options["folders"])
        return begun(*arguments, **options)

    monkeypatch.setattr(phrase_worker, "begin", begin)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    PhraseWorker("raw").close()
    assert folders[0][0] == str(Path.cwd())


def test_it_ends_with_its_object() -> None:
    worker = PhraseWorker("raw")
    pid = worker._process.pid
    assert _is_there(pid)
    del worker
    gc.collect()
    assert not _is_there(pid)


def test_captions_are_read_here_where_the_process_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    worker = PhraseWorker("head")
    worker._process.send_signal(signal.SIGKILL)
    worker._process.wait()
    assert worker(CAPTIONS) == NounPhrases("head")(CAPTIONS)
    assert "is lost" in caplog.text


def test_it_ends_with_a_process_that_is_killed_and_needs_no_main_guard(tmp_path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent("""
        from fiftyone_ssa.naming.phrase_worker import PhraseWorker
        worker = PhraseWorker("head")
        print(worker(["two dogs"]), worker._process.pid, flush=True)
        import time; time.sleep(60)
        """)
    )
    asking = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    *phrases, pid = asking.stdout.readline().split()
    assert "".join(phrases) == "[('dog',)]"
    asking.kill()
    asking.wait()
    asking.stdout.close()
    until = time.monotonic() + 20
    while _is_there(int(pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_there(int(pid))


def test_the_working_folder_stands_in_for_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("json", "subprocess", "numpy", "spacy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [folder for folder in sys.path if folder])
    worker = PhraseWorker("head")
    assert worker(["a red car"]) == NounPhrases("head")(["a red car"])
    assert caplog.text == ""  # the process was not lost
    worker.close()
