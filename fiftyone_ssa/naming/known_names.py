"""What a class filter made of a vocabulary, kept between runs: a large one costs a minute of a CPU, a file nothing."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fiftyone_ssa.errors import InputError
from fiftyone_ssa.files.atomic import write_whole
from fiftyone_ssa.models import ClassFilterSlot
from fiftyone_ssa.models.two_towers import Embeddings, TwoTowers
from fiftyone_ssa.naming.stamp import MISSING, UNKNOWN, model_stamp

FEW = 64
"""Fewer names than this are embedded anew."""
KEPT = 20
"""Files; the longest unused go first."""
logger = logging.getLogger(__name__)


def folder() -> Path:
    """Where the files lie: `fiftyone-ssa/names` in `XDG_CACHE_HOME`, by default `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fiftyone-ssa/names"


def recall_names(class_filter: ClassFilterSlot, model: str, names: Sequence[str], *facts: str) -> None:
    """Let a filter know what it made of `names` in an earlier run, or keep what it makes of them now.

    A file counts for one content of `model`, the same names in their order, versions of torch and transformers, and
    `facts`: whatever else embeddings depend on. A user's own filter is always asked, and where nothing can be written
    nothing is kept.
    """
    if len(names) < FEW or not isinstance(class_filter, TwoTowers):
        return
    content = model_stamp(model)
    if content.endswith((UNKNOWN, MISSING)):
        return
    made_of = (content, *names, *facts, version("torch"), version("transformers"))
    file = folder() / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]}.npy"
    known = _read(file, len(names))
    if known is not None:
        class_filter.recall(names, known)
        return
    buffer = io.BytesIO()
    np.save(buffer, class_filter.texts(names))
    try:
        write_whole(file, buffer.getvalue())
        for old in sorted(file.parent.glob("*.npy"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    except (InputError, OSError) as error:
        logger.debug("the vocabulary's embeddings are not kept: %s", error)


def _read(file: Path, count: int) -> Embeddings | None:
    """The embeddings in a file; None where there is none, or it holds something else."""
    try:
        known = np.load(file, allow_pickle=False)
        os.utime(file)
    except (OSError, ValueError, EOFError):
        return None
    usable = known.ndim == 2 and len(known) == count and known.dtype == np.float32 and np.isfinite(known).all()
    return known if usable else None
