"""Every command of a page is one that is typed or one that cannot be, and every config of a page is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.command.experiment import SECTIONS, load_section
from preprocessing.config import PreprocessingConfig
from tests.e2e.pages import PAGES, blocks, name_of, shell_commands
from tests.e2e.typed_pages import CHAINS, NOT_RUN


def typed(page: Path) -> list[str]:
    """The commands of a page, each in one line."""
    found = [one for block in blocks(page) if block.language == "bash" for one in shell_commands(block.text)]
    return [" ".join(one.split()) for one in found]


def test_what_is_not_run_stands_on_a_page_and_every_other_page_is_read() -> None:
    every = {name_of(page): typed(page) for page in PAGES}
    stale = [start for start in NOT_RUN if not any(one.startswith(start) for page in every.values() for one in page)]
    assert stale == []
    read = {name for chain in CHAINS.values() for name in chain}
    others = [one for name, page in every.items() if name not in read for one in page]
    assert [one for one in others if not one.startswith(tuple(NOT_RUN))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_configs_are_configs_and_pictures_hold_no_command(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page)):
        if block.language == "yaml":
            path = tmp_path / f"{number}.yaml"
            path.write_text(block.text)
            assert block.text.split(":")[0] in SECTIONS
            load_section(str(path), "preprocessing", PreprocessingConfig)
        elif block.language == "":
            begins = [
                line for line in block.text.splitlines() if line.startswith(("python ", "make ", "pip ", "curl "))
            ]
            assert begins == [], f"{name_of(page)}: mark the block as bash"
