"""Notebooks as pages of the site, with the answers and pictures that are stored in them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any


def notebook_pages(folder: Path) -> dict[str, str | bytes]:
    """Each notebook's page and pictures, by their paths in the site's sources."""
    pages: dict[str, str | bytes] = {}
    for path in sorted(folder.glob("*.ipynb")):
        pictures: dict[str, bytes] = {}
        cells = json.loads(path.read_text())["cells"]
        parts = [_cell(cell, path.stem, pictures) for cell in cells]
        parts.append(f"*The notebook itself: `notebooks/{path.name}` of the repository.*")
        pages[f"notebooks/{path.stem}.md"] = "\n\n".join(parts) + "\n"
        pages |= pictures
    return pages


def _cell(cell: dict[str, Any], stem: str, pictures: dict[str, bytes]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    parts = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        data = output.get("data", {})
        if picture := data.get("image/png") or data.get("image/jpeg"):
            name = f"{stem}-{len(pictures)}.{'png' if 'image/png' in data else 'jpg'}"
            pictures[f"notebooks/{name}"] = base64.b64decode("".join(picture))
            parts.append(f"![What the cell shows]({name})")
        elif text := "".join(output.get("text") or data.get("text/plain") or ""):
            parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)
