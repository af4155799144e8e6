"""The commands of this repository: every module whose docstring begins with `python -m` and its own name."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
from typing import Any, NoReturn
from unittest import mock

from tests.e2e.market import ROOT

_PACKAGES = ("preprocessing", "trainer", "serving", "benchmarks")
CHILDREN = (
    "trainer.cloud.vertex_trial",
    "trainer.tuning.child_process",
)  # what other commands start; they have the flags of trainer.task


class _Found(Exception):
    """The parser, on its way out of a command."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def commands() -> dict[str, str]:
    """By what stands behind `python -m`, the module that has its `main(argv)`."""
    found = {}
    for package in _PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            if said.startswith("python -m "):
                name = said.removeprefix("python -m ").split(":")[0].split()[0]
                found[name] = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return found


def parser_of(module: str) -> argparse.ArgumentParser:
    """What a command reads its flags with, taken from the command itself at the moment it reads them."""

    def caught(self: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise _Found(self)

    main = importlib.import_module(module).main
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", caught),
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", caught),
    ):
        try:
            main([]) if inspect.signature(main).parameters else main()
        except _Found as found:
            return found.parser
    raise AssertionError(f"{module}.main reads no flags")
