"""README.md, its neighbours and docs/ as their reader meets them: the blocks, and the commands of those in bash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.e2e.market import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HERE = re.compile(r"<<'?(\w+)'?")


def name_of(page: Path) -> str:
    """How a page is called below the repository's root."""
    return str(page.relative_to(ROOT))


class Block(NamedTuple):
    """What stands between two fences: commands in "bash", a program in "python", a config in "yaml", else a picture."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """In their order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text("utf-8"))]


def shell_commands(text: str) -> Iterator[str]:
    """One by one, each with its continued lines and the text that it is fed.

    >>> list(shell_commands("# first\\nls \\\\\\n  -l\\ncat <<END\\na\\nEND\\n"))
    ['ls -l', 'cat <<END\\na\\nEND']
    """
    lines = iter(re.sub(r"\\\n\s*", "", text).splitlines())
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        fed = _HERE.search(line)
        command = [line]
        while fed and command[-1] != fed.group(1):
            command.append(next(lines))
        yield "\n".join(command)
