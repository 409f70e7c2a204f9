"""Runs the notebooks, offline and with a database of their own, and stores them without machine paths:
`python -m tools.notebooks [NOTEBOOK ...]`. A cell that fails, or that leaves a path behind, ends it with 1.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
TIMEOUT_S = 600
PROGRESS = re.compile(r"^.*(elapsed|oldest supported major version of MongoDB).*\n?", re.MULTILINE)
"""Bars, and what FiftyOne says of every database that is not the newest."""


def main() -> int:
    """Execute them one after the other; 1 if one fails."""
    chosen = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    failed = False
    with tempfile.TemporaryDirectory(prefix="fiftyone-ssa-notebooks-") as name:
        home = Path(name)
        prepare(home)
        for path in chosen:
            error = execute(path, home)
            failed |= bool(error)
            print(f"{path.name}: {error or 'ran, and is stored'}")
    return int(failed)


def prepare(home: Path) -> None:
    """What the kernels inherit: a database and folders of their own, no network, no progress bars."""
    from tools.mongod import use_own_database

    use_own_database()
    os.environ.update(
        FIFTYONE_DEFAULT_DATASET_DIR=str(home / "datasets"),
        FIFTYONE_PLUGINS_DIR=str(home / "plugins"),
        FIFTYONE_MODEL_ZOO_DIR=str(home / "models"),
        FIFTYONE_SHOW_PROGRESS_BARS="0",
        FIFTYONE_DO_NOT_TRACK="1",
        FIFTYONE_DATABASE_VALIDATION="0",
        HF_HUB_OFFLINE="1",
        PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        PYTHONWARNINGS="ignore",
    )


def execute(path: Path, home: Path) -> str:
    """Run one in `home` and write it back; what went wrong, if something did."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    place = {"metadata": {"path": str(home)}}
    client = NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", resources=place)
    try:
        client.execute()
    except CellExecutionError as error:
        return str(error)
    clean(notebook, {str(home): "~", str(ROOT): ".", str(Path.home()): "~"})
    if left := paths_in(notebook):
        return f"a path of this machine is left in it: {left[0]}"
    nbformat.write(notebook, path)
    return ""


def clean(notebook: Any, words: dict[str, str]) -> None:
    """Leave out times, progress and who ran it, and put other words for this machine's paths."""
    language = {"name": "python"}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": language,
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _merged([o for output in cell.outputs if (o := _cleaned(output, words))])


def _merged(outputs: list[Any]) -> list[Any]:
    """What was printed in several pieces, as one: how many there are is chance."""
    found: list[Any] = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def _cleaned(output: Any, words: dict[str, str]) -> Any:
    if output.output_type == "stream":
        if output.name == "stderr":
            return None
        output.text = _replaced(PROGRESS.sub("", output.text), words)
        return output if output.text.strip() else None
    output.metadata = {}
    data = output.get("data", {})
    if "text/plain" in data:
        data["text/plain"] = _replaced(data["text/plain"], words)
    data.pop("text/html", None)
    if "image/jpeg" in data:
        data.pop("image/png", None)  # the same, several times as large
    return output


def _replaced(text: str, words: dict[str, str]) -> str:
    for path, word in words.items():
        text = text.replace(path, word)
    return text


def paths_in(notebook: Any) -> list[str]:
    """Absolute paths of a machine, in what cells say."""
    said = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            said.append(str(output.get("text") or output.get("data", {}).get("text/plain") or ""))
    return [path for text in said for path in re.findall(r"/(?:home|root|tmp|work|Users|var)/[^\s'\"]+", text)]


if __name__ == "__main__":
    sys.exit(main())
