"""What README.md and docs/ tell to type: commands, flags, configs, make targets and links that exist."""

from __future__ import annotations

import argparse
import functools
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from preprocessing.command.runners import beam_options
from tests.e2e.commands import commands, parser_of
from tests.e2e.market import ROOT
from tests.e2e.pages import PAGES, blocks, name_of, shell_commands

COMMANDS = commands()
_MODULE = re.compile(r"\bpython -m ((?:preprocessing|trainer|serving|benchmarks)[\w.]*)")
_GENERATED = {"results.md"}  # by benchmarks.ablation
_ENDS = {"&&", "||", "|", ";", "&", ">", "2>&1"}


class Line(NamedTuple):
    """A command of a block."""

    page: str
    module: str
    flags: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.module} {' '.join(self.flags)}"[:100]


def _lines() -> list[Line]:
    found = []
    for page in PAGES:
        for line in (one for block in blocks(page) if block.language == "bash" for one in shell_commands(block.text)):
            if _MODULE.search(line):
                words = shlex.split(line[line.index("python -m ") :], comments=True)
                end = next((place for place, word in enumerate(words) if word.rstrip(";") in _ENDS), len(words))
                found.append(Line(name_of(page), words[2], tuple(words[3:end])))
    return found


@functools.cache
def _parser(module: str) -> argparse.ArgumentParser:
    return parser_of(COMMANDS[module])


def _of_kind(parser: argparse.ArgumentParser, flags: tuple[str, ...]) -> argparse.ArgumentParser:
    """Where a command has kinds, the parser of the one that is named."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices[next(flag for flag in flags if flag in action.choices)]
    return parser


@pytest.mark.parametrize("line", _lines(), ids=str)
def test_a_command_exists_and_takes_its_flags(line: Line) -> None:
    assert line.module in COMMANDS, f"python -m {line.module} is no command; known: {', '.join(COMMANDS)}"
    parser = _parser(line.module)
    if "..." in line.flags:
        known = _of_kind(parser, line.flags)._option_string_actions
        assert {flag.split("=")[0] for flag in line.flags if flag.startswith("--")} <= known.keys()
        return
    _, others = parser.parse_known_args(list(line.flags))
    if line.module in ("preprocessing.pipeline", "serving.export"):
        beam_options(others, (), 0)
    else:
        assert not others


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    assert set(_MODULE.findall(text)) - COMMANDS.keys() == set()
    configs = re.findall(r"(?<![\w/])(?:configs|deploy)/[\w./-]+\.\w+", text)
    assert [one for one in configs if not (ROOT / one).exists()] == []
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)", text)) | set(re.findall(r"^make ([\w-]+)", text, re.MULTILINE)) <= targets
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [one for one in links if not (page.parent / one).exists() and Path(one).name not in _GENERATED] == []


def test_all_pages_were_read() -> None:
    assert len(_lines()) >= 10
