"""The code blocks of README and docs, as tests/test_docs_code.py runs them: `python -m tools.doc_blocks` lists those
that are not run, with why.

A comment on a line of its own before a block steers it:

    <!-- not run: why -->                a reason is required
    <!-- run with: NAME=OTHER, A=B -->   words that are replaced first, models that need a hub, say
    <!-- given: PYTHON -->               what runs before it, unseen by readers
    <!-- saved as: NAME -->              a file that later blocks use
    <!-- fails: 2 -->                    what a command ends with, if not with 0
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUN = ("python", "console", "toml", "json")
"""Languages whose blocks are run; `text`, `bibtex` and the like are for reading."""
_COMMENT = re.compile(r"<!-- (not run|run with|given|saved as|fails): (.*?) ?-->", re.DOTALL)
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*)[^\n]*$")


@dataclass(frozen=True)
class Block:
    """One code block of a page."""

    page: Path
    line: int
    """Of its first line of code, from 1."""
    language: str
    code: str
    not_run: str = ""
    run_with: tuple[tuple[str, str], ...] = ()
    given: str = ""
    saved_as: str = ""
    fails: int = 0

    @property
    def place(self) -> str:
        """As an editor opens it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def to_run(self) -> str:
        """The code with its words replaced."""
        code = self.code
        for word, other in self.run_with:
            if word not in code:
                raise ValueError(f"{self.place}: `run with` names {word!r}, which the block does not hold")
            code = code.replace(word, other)
        return code


def pages() -> list[Path]:
    """Every page with code that people may copy."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("skills/*/*.md")]
    return sorted(found)


def blocks(page: Path) -> list[Block]:
    """The blocks of a page whose language is one of RUN, in their order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, steering, at = [], "", 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            open_comment = "<!--" in steering and "-->" not in steering.rpartition("<!--")[2]
            if open_comment or lines[at].startswith("<!-- "):
                steering += lines[at] + "\n"
            elif lines[at].strip():
                steering = ""
            at += 1
            continue
        end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == fence["ticks"])
        if fence["language"] in RUN:
            code = "\n".join(line.removeprefix(fence["indent"]) for line in lines[at + 1 : end])
            found.append(_block(page, at + 2, fence["language"], code, steering))
        steering, at = "", end + 1
    return found


def _block(page: Path, line: int, language: str, code: str, steering: str) -> Block:
    said = {key: value.strip() for key, value in _COMMENT.findall(steering)}
    pairs = (pair.partition("=") for pair in said.get("run with", "").split(",") if pair)
    return Block(
        page,
        line,
        language,
        code,
        not_run=said.get("not run", ""),
        run_with=tuple((word.strip(), other.strip()) for word, _, other in pairs),
        given=said.get("given", ""),
        saved_as=said.get("saved as", ""),
        fails=int(said.get("fails", 0)),
    )


def main() -> None:
    """List what is not run."""
    every = [block for page in pages() for block in blocks(page)]
    left_out = [block for block in every if block.not_run]
    for block in left_out:
        print(f"{block.place}: {block.not_run}")
    print(f"{len(every) - len(left_out)} blocks are run, {len(left_out)} are not")


if __name__ == "__main__":
    main()
