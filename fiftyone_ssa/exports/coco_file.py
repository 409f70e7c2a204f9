"""A COCO file written as it comes, so that its size does not matter to the memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


class CocoFile:
    """Annotations go to the file itself, images to a nameless one beside it, until `finish`; a context manager."""

    def __init__(self, path: Path) -> None:
        """Write to `path`, in whose folder there is space."""
        self.path = path
        self._digest = hashlib.sha256()
        self._closing = contextlib.ExitStack()
        self._started = {"annotations": False, "images": False}

    def __enter__(self) -> CocoFile:
        self._annotations = self._closing.enter_context(self.path.open("w", encoding="utf-8"))
        self._images = self._closing.enter_context(
            tempfile.TemporaryFile("w+", encoding="utf-8", dir=self.path.parent, prefix="images-")
        )
        self._annotations.write('{"annotations": [')
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.close()

    def write_image(self, image: Mapping[str, Any]) -> None:
        """Add one image."""
        self._item(self._images, "images", image)

    def write_annotation(self, annotation: Mapping[str, Any]) -> None:
        """Add one annotation."""
        self._item(self._annotations, "annotations", annotation)

    def finish(self, info: Mapping[str, Any], categories: Sequence[Mapping[str, Any]]) -> str:
        """Complete the file, and return a digest of its images, annotations and categories."""
        self._images.seek(0)
        self._annotations.write('],\n"images": [')
        shutil.copyfileobj(self._images, self._annotations)
        rest = json.dumps({"info": info, "licenses": [], "categories": categories}, ensure_ascii=False, allow_nan=False)
        self._annotations.write("],\n" + rest[1:])
        self._annotations.flush()
        os.fsync(self._annotations.fileno())
        self._digest.update(json.dumps(categories).encode())
        return self._digest.hexdigest()

    def _item(self, file: IO[str], kind: str, item: Mapping[str, Any]) -> None:
        text = json.dumps(item, ensure_ascii=False, allow_nan=False)
        file.write((",\n" if self._started[kind] else "\n") + text)
        self._digest.update(f"{kind} {text}\n".encode())
        self._started[kind] = True
