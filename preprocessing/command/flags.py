"""The flags of every command: a mistake in them is one line that names the flag and the nearest one there is."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from preprocessing.command.console import UserError

_CLOSE, _ALMOST_THE_SAME = 0.6, 0.85


class Flags(argparse.ArgumentParser):
    """Reads the flags of a command; with `others`, flags that it does not know are another program's.

    >>> flags = Flags(prog="python -m preprocessing.simulate")
    >>> _ = flags.add_argument("--items")
    >>> flags.parse_args(["--itmes=3"])
    Traceback (most recent call last):
    preprocessing.command.console.UserError: unknown flag --itmes; did you mean '--items'?
    """

    def __init__(self, others: bool = False, **settings: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **settings})
        self._others = others
        self._words: list[str] = []

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The flags, and those of others."""
        self._words = list(sys.argv[1:] if args is None else args)
        given, rest = super().parse_known_args(self._words, namespace)
        if rest and not self._others:
            self._refuse(rest[0])
        return given, rest

    def error(self, message: str) -> NoReturn:
        """Instead of the usage and a message: the message. A flag that is missing may only be misspelt."""
        if "arguments are required" in message and self._subparsers is None:
            for word in _flags_among(self._words):
                if word not in self._option_string_actions and self._known_as(word):
                    self._refuse(word)
        raise UserError(f"{message}; see {self.prog} --help")

    def _refuse(self, word: str) -> NoReturn:
        name = word.split("=")[0]
        kind = "flag" if name.startswith("-") else "word"
        meant = self._known_as(name)
        raise UserError(
            f"unknown {kind} {name}; {f'did you mean {meant[0]!r}?' if meant else f'see {self.prog} --help'}"
        )

    def _known_as(self, name: str) -> list[str]:
        """The nearest flag; where others have flags too, only one that is nearly the same."""
        cutoff = _ALMOST_THE_SAME if self._others else _CLOSE
        return difflib.get_close_matches(name, self._option_string_actions, n=1, cutoff=cutoff)


def _flags_among(words: Iterable[str]) -> list[str]:
    return [word.split("=")[0] for word in words if word.startswith("--") and word != "--"]
