"""How a wish becomes a query: in the searcher's words, short or exact, at times mistyped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocessing.marketplace.lexicon import ATTRIBUTES, Lexicon, misspell
from preprocessing.marketplace.sessions import Intents

_TWO_AT_ONCE = 0.08  # share of first queries that say two attributes
_BRAND_SAID = 0.03
_REORDERED = 0.08
_USUAL_WORD = 0.7  # share of searchers who take the first word for a thing


class Query(NamedTuple):
    """A query's text and what of the intent it says."""

    text: str
    leaf: int
    asked: tuple[int, ...]  # attribute values the words ask for, -1 where they do not


class QueryWriter:
    """Writes queries in users' words."""

    def __init__(self, broad: float, lexicon: Lexicon, random: np.random.Generator) -> None:
        self._broad = broad
        self._lexicon = lexicon
        self._random = random

    def write(
        self, intents: Intents, refined: int, brands: list[str], chinese: np.ndarray, careless: np.ndarray
    ) -> list[Query]:
        """A query a session; each refinement says one attribute more.

        Args:
          intents: of `n` sessions.
          refined: how many searches of the session came before.
          brands: `n` brands to name at times.
          chinese: `[n]`, who writes Chinese.
          careless: `[n]`, the share of words each mistypes.
        """
        count = len(intents.leaf)
        draws = self._random.random((count, 20))
        say = refined + (draws[:, 0] >= self._broad) + (draws[:, 0] >= 1 - _TWO_AT_ONCE)
        order = np.where(intents.values >= 0, draws[:, 1:5], np.inf)
        rank = order.argsort(axis=1).argsort(axis=1)
        asked = np.where((rank < say[:, None]) & (intents.values >= 0), intents.values, -1)
        rows = zip(intents.leaf.tolist(), map(tuple, asked.tolist()), strict=True)
        written = []
        for (leaf, values), brand, in_chinese, slips, row in zip(
            rows, brands, chinese.tolist(), careless.tolist(), draws.tolist(), strict=True
        ):
            text = self._chinese(leaf, values) if in_chinese else self._english(leaf, values, brand, slips, row)
            written.append(Query(text, leaf, values))
        return written

    def _chinese(self, leaf: int, asked: tuple[int, ...]) -> str:
        words = [self._lexicon.values[number][value].chinese for number, value in enumerate(asked) if value >= 0]
        return "".join([*words, self._lexicon.leaf_names[leaf].chinese])

    def _english(self, leaf: int, asked: tuple[int, ...], brand: str, careless: float, row: list[float]) -> str:
        names = self._lexicon.leaf_names[leaf].query
        # Searchers agree on a word more than sellers do: the first is said by most.
        words = [names[0] if row[5] < _USUAL_WORD else names[int(row[6] * len(names))]]
        for number in range(len(ATTRIBUTES) - 1, -1, -1):
            if asked[number] >= 0:
                choices = self._lexicon.values[number][asked[number]].query
                words.insert(0, choices[0] if row[7 + number] < _USUAL_WORD else choices[-1])
        if row[11] < _REORDERED:
            words.append(words.pop(0))
        if row[12] < _BRAND_SAID:
            words.insert(0, brand)
        typed = " ".join(words).split()
        slips = [row[13 + place % 7] for place in range(len(typed))]
        return " ".join(
            misspell(word, slip / careless) if slip < careless else word
            for word, slip in zip(typed, slips, strict=True)
        )
