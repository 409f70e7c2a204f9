"""The pictures of docs/app.md, made by the browser tests: `python tools/app_pictures.py [FOLDER OF SCREENSHOTS]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import PIL.Image

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/app"
WIDTH = 1200
PICTURES = {
    "load": "flow-1-load",
    "name": "forms_annotate",
    "progress": "running-progress",
    "overview": "quickstart",
    "filter": "flow-5-filter",
    "review": "flow-6-review",
    "accept": "flow-7-accept",
    "scores": "flow-8-scores",
    "export": "flow-9-export",
}
"""The name in docs/app, and the screenshot that a browser test leaves."""


def main() -> int:
    """Take the screenshots, or those of a folder, and write them small; one that is not there leaves its picture."""
    if len(sys.argv) > 1:
        return write_all(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "tests/app"]
        code = subprocess.run(command, cwd=ROOT, env=os.environ | {"SSA_SCREENSHOTS": folder}).returncode
        return write_all(Path(folder)) or code


def write_all(folder: Path) -> int:
    """Write those that are there; 1 if one is missing."""
    missing = [name for name in PICTURES.values() if not (folder / f"{name}.png").is_file()]
    for name, screenshot in PICTURES.items():
        if screenshot not in missing:
            write(folder / f"{screenshot}.png", OUT / f"{name}.jpg")
    print(f"written to {OUT}" + (f"; not there: {', '.join(missing)}" if missing else ""))
    return 1 if missing else 0


def write(png: Path, jpg: Path) -> None:
    """One picture, as wide as the page shows it."""
    picture = PIL.Image.open(png).convert("RGB")
    jpg.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((WIDTH, picture.height * WIDTH // picture.width), PIL.Image.Resampling.LANCZOS).save(jpg, quality=80)


if __name__ == "__main__":
    sys.exit(main())
