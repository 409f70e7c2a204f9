"""WordNet, where the user has it: Princeton's files, as Debian's `wordnet-base` or NLTK's downloader put them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

PLACES = (
    "/usr/share/wordnet",
    "/usr/local/share/wordnet",
    "/usr/local/WordNet-3.0/dict",
    "/opt/homebrew/share/wordnet",
)


def find_wordnet() -> Path | None:
    """The folder that holds `index.noun`: WNSEARCHDIR, WNHOME, where packages put it, or NLTK's; None without one."""
    return next((folder for folder in _folders() if (folder / "index.noun").is_file()), None)


def first_senses(names: Iterable[str], folder: Path) -> dict[str, str]:
    """Each name that WordNet knows as a noun with the number of its most frequent sense: equal ones are synonyms.

    Args:
        names: in lower case, words separated by spaces
        folder: the one that holds `index.noun`

    A file that is damaged or gone tells nothing.
    """
    wanted = {name.replace(" ", "_"): name for name in names}
    found = {}
    try:
        with (folder / "index.noun").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                lemma, _, rest = line.partition(" ")
                if lemma in wanted:
                    # part of speech, senses, pointers and their symbols, senses, tagged senses, then the senses
                    parts = rest.split()
                    found[wanted[lemma]] = parts[5 + int(parts[2])]
    except (OSError, ValueError, IndexError):
        return {}
    return found


def _folders() -> Iterator[Path]:
    if given := os.environ.get("WNSEARCHDIR"):
        yield Path(given)
    if given := os.environ.get("WNHOME"):
        yield Path(given) / "dict"
    yield from map(Path, PLACES)
    for root in filter(
        None, (*os.environ.get("NLTK_DATA", "").split(os.pathsep), "~/nltk_data", "/usr/share/nltk_data")
    ):
        yield Path(root).expanduser() / "corpora/wordnet"
