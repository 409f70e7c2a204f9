"""Noun phrases read in a process of their own: spaCy holds the interpreter that launches a GPU's kernels otherwise.

`python -m fiftyone_ssa.naming.phrase_worker MODE` answers each line of captions on stdin with one of phrases on stdout.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import weakref
from collections.abc import Sequence

from fiftyone_ssa.models.memo import Memo
from fiftyone_ssa.naming.child import begin, end, imported_from
from fiftyone_ssa.naming.phrases import CAPACITY, Mode, NounPhrases, find_model

logger = logging.getLogger(__name__)


class PhraseWorker:
    """What `NounPhrases` says, from another process, which begins at once and ends with this object or this process.

    Not one of `multiprocessing`'s: those run the user's main script anew, or share what a fork must not (CUDA). Where
    the process is lost, captions are read here from then on, and a warning says so.
    Raises MissingDependencyError if spaCy or its English pipeline is not installed.
    """

    def __init__(self, mode: Mode = "head") -> None:
        find_model()
        self.mode = mode
        self._process = begin(__name__, mode, folders=imported_from(), variables=os.environ)
        self.close = weakref.finalize(self, end, self._process)
        self._here: NounPhrases | None = None
        self._turn = threading.Lock()
        self._memo = Memo(self._read, CAPACITY)

    def __call__(self, captions: Sequence[str]) -> list[tuple[str, ...]]:
        """One tuple of distinct phrases per caption, empty where it has no noun."""
        with self._turn:
            return self._memo(captions)

    def _read(self, captions: list[str]) -> list[tuple[str, ...]]:
        if self._here is None:
            try:
                return self._ask(captions)
            except (OSError, ValueError) as error:
                logger.warning("the process that reads captions is lost (%s); they are read in this one", error)
                self.close()
                self._here = NounPhrases(self.mode)
        return self._here(captions)

    def _ask(self, captions: list[str]) -> list[tuple[str, ...]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(captions).encode() + b"\n")
        self._process.stdin.flush()
        return [tuple(phrases) for phrases in json.loads(self._process.stdout.readline())]


def main(mode: Mode) -> None:
    """Read captions until stdin ends, as it does when whoever asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    sys.modules["torch"] = None  # type: ignore[assignment]  # spaCy would import it, and does without
    phrases = NounPhrases(mode)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(phrases(json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])  # type: ignore[arg-type]
