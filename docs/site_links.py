"""Hooks of mkdocs: what pages link to outside of docs/ is part of the site, under its name there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")  # beside docs/, written for readers there
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def inside(text: str, folder: Path) -> str:
    """A page's text with links as they lead from the site's own root; `folder` is where the page lies."""

    def led(found: re.Match[str]) -> str:
        path = (folder / found[1]).resolve()
        return f"]({path.relative_to(ROOT / 'docs' if path.is_relative_to(ROOT / 'docs') else ROOT)}"

    return _LINK.sub(led, text)


def linked(text: str, folder: Path) -> set[Path]:
    """The files outside of docs/ that a page links to."""
    paths = {(folder / one).resolve() for one in _LINK.findall(text)}
    return {path for path in paths if path.is_file() and not path.is_relative_to(ROOT / "docs")}


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages beside docs/, and whatever else is linked to."""
    from mkdocs.structure.files import File

    wanted = {ROOT / name for name in PAGES}
    for path in (ROOT / "docs").glob("*.md"):
        wanted |= linked(path.read_text("utf-8"), path.parent)
    for path in sorted(wanted):
        name, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
        files.append(File.generated(config, name, content=inside(text, ROOT) if name in PAGES else text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links of the pages within docs/."""
    return markdown if page.file.src_uri in PAGES else inside(markdown, ROOT / "docs")
