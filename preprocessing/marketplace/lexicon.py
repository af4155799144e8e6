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
def lexicon() -> Lexicon:
    """The shipped lexicon."""
    document = yaml.safe_load(resources.files(__package__).joinpath("lexicon.yaml").read_text("utf-8"))
    rows = [(top, leaf, row) for top, leaves in document["tops"].items() for leaf, row in leaves.items()]
    number = {leaf: index for index, (_, leaf, _) in enumerate(rows)}
    tops = tuple(document["tops"])
    return Lexicon(
        tops=tops,
        leaves=tuple(number),
        top_of=tuple(tops.index(top) for top, _, _ in rows),
        leaf_names=tuple(Names(tuple(title), tuple(query), chinese) for _, _, (title, query, chinese, _) in rows),
        neighbours=tuple(frozenset(number[near] for near in row[3]) for _, _, row in rows),
        values=tuple(
            tuple(Names(tuple(title), tuple(query), chinese) for title, query, chinese in values.values())
            for values in (document["attributes"][name] for name in ATTRIBUTES)
        ),
        fillers=tuple(document["fillers"]),
        chinese_fillers=tuple(document["fillers_zh"]),
        projects=tuple(tuple(number[leaf] for leaf in leaves) for leaves in document["projects"].values()),
    )


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
