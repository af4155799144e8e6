"""The market's words and how its things relate, from `lexicon.yaml`."""

from __future__ import annotations

import functools
from importlib import resources
from typing import NamedTuple

import yaml

ATTRIBUTES = ("colour", "material", "size", "use")


class Names(NamedTuple):
    """What one thing is called: by sellers, by searchers, in Chinese."""

    title: tuple[str, ...]
    query: tuple[str, ...]
    chinese: str


class Lexicon(NamedTuple):
    """Everything that has a name; leaves and attribute values are numbered in the order of the file."""

    tops: tuple[str, ...]
    leaves: tuple[str, ...]
    top_of: tuple[int, ...]
    leaf_names: tuple[Names, ...]
    neighbours: tuple[frozenset[int], ...]
    values: tuple[tuple[Names, ...], ...]  # by attribute, then by value
    fillers: tuple[str, ...]
    chinese_fillers: tuple[str, ...]
    projects: tuple[tuple[int, ...], ...]


@functools.cache
def lexicon(leaves: int | None = None) -> Lexicon:
    """The shipped lexicon, cut to the first `leaves` leaves and what is left of their tops, neighbours and projects."""
    document = yaml.safe_load(resources.files(__package__).joinpath("lexicon.yaml").read_text("utf-8"))
    rows = {leaf: (top, row) for top, shelf in document["tops"].items() for leaf, row in shelf.items()}
    sold = list(dict.fromkeys([*document["first"], *rows]))[:leaves]
    number = {leaf: index for index, leaf in enumerate(sold)}
    tops = tuple(dict.fromkeys(rows[leaf][0] for leaf in sold))
    projects = [[number[leaf] for leaf in wanted if leaf in number] for wanted in document["projects"].values()]
    return Lexicon(
        tops=tops,
        leaves=tuple(sold),
        top_of=tuple(tops.index(rows[leaf][0]) for leaf in sold),
        leaf_names=tuple(_names(rows[leaf][1]) for leaf in sold),
        neighbours=tuple(frozenset(number[near] for near in rows[leaf][1][3] if near in number) for leaf in sold),
        values=tuple(tuple(_names(value) for value in document["attributes"][name].values()) for name in ATTRIBUTES),
        fillers=tuple(document["fillers"]),
        chinese_fillers=tuple(document["fillers_zh"]),
        projects=tuple(tuple(wanted) for wanted in projects if len(wanted) > 1),
    )


def _names(row: list) -> Names:
    return Names(tuple(row[0]), tuple(row[1]), row[2])


def misspell(word: str, draw: float) -> str:
    """The word with one letter lost or two swapped; `draw` in [0, 1) decides which. Short words stay.

    >>> misspell("leather", 0.1)
    'lether'
    """
    if len(word) < 4 or not word.isascii():
        return word
    place = 1 + int(draw * 2 * (len(word) - 2)) % (len(word) - 2)
    if draw < 0.5:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
