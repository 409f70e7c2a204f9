"""What mkdocs calls while it builds the site: pages that are made from the code, and files from outside docs/."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from tools.site.api_page import api_page  # noqa: E402
from tools.site.command_page import command_page  # noqa: E402
from tools.site.notebook_page import notebook_pages  # noqa: E402
from tools.site.presets_page import presets_page  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

FROM_ROOT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
EXAMPLES = "reference/examples.md"
REMOTE = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?((?:https?:)?//[^"' >]+)"""
    r"""|<link(?![^>]*rel=["']?canonical)[^>]*\shref=["']?((?:https?:)?//[^"' >]+)"""
)
STEERING = re.compile(r"^<!-- (?:not run|run with|given|saved as|fails): .*? -->\n", re.MULTILINE | re.DOTALL)
"""Comments for tests/test_docs_code.py, which no reader of the site needs."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie in no file of docs/."""
    from mkdocs.structure.files import File

    pages: dict[str, str | bytes] = {
        "reference/api.md": api_page(),
        "reference/command.md": command_page(),
        "reference/presets.md": presets_page(),
        EXAMPLES: _examples(),
        **{page: (ROOT / name).read_text() for page, name in FROM_ROOT.items()},
        **notebook_pages(ROOT / "notebooks"),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they work on GitHub, turned to where the site has their pages."""
    markdown = STEERING.sub("", markdown)
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)?docs/", f"]({up}", markdown)
    markdown = re.sub(r"\]\(\.\./examples(/[\w.]*)?\)", f"]({up}{EXAMPLES})", markdown)
    markdown = re.sub(r"\]\(\.\./notebooks/([\w-]+)\.ipynb\)", rf"]({up}notebooks/\1.md)", markdown)
    for name, source in FROM_ROOT.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(source)}", f"]({up}{name}", markdown)
    return markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that would fetch something when it is read."""
    from mkdocs.exceptions import PluginError

    for page in Path(config.site_dir).rglob("*.html"):
        if fetched := REMOTE.findall(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page} fetches {fetched[0]} when it is opened; the site must do without a network")


def _examples() -> str:
    """The files of examples/, as they stand."""
    parts = ["# Examples\n\nFiles of the folder `examples/` of the repository.\n"]
    for path in sorted((ROOT / "examples").glob("*.*")):
        language = {".py": "python", ".toml": "toml"}.get(path.suffix, "text")
        parts.append(f"## {path.name}\n\n```{language}\n{path.read_text().strip()}\n```\n")
    return "\n".join(parts)
