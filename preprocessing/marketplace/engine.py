"""The shop's search engine: words and popularity, a thin synonym table, a fixed page. Plausible, and improvable."""

from __future__ import annotations

import collections
import re

import numpy as np

from preprocessing.marketplace.catalog import Catalog
from preprocessing.marketplace.lexicon import Lexicon

PAGE = 20
_KEPT = 240  # candidates of a query that compete for the page
_KNOWN_SYNONYMS = 0.6  # share of searchers' nouns that the engine can place in a leaf
_WORD = re.compile(r"[a-z0-9-]+|[\u4e00-\u9fff]")


def words_of(text: str) -> list[str]:
    """Words of a title or query; a Chinese character is one."""
    return _WORD.findall(text.lower())


class Engine:
    """Ranks by matched words, rare ones first, then popularity, and a dose of exploration."""

    def __init__(self, catalog: Catalog, lexicon: Lexicon, random: np.random.Generator) -> None:
        self._catalog = catalog
        self._random = random
        self._popularity = np.log(catalog.popularity)
        postings: dict[str, list[int]] = collections.defaultdict(list)
        for item, title in enumerate(catalog.titles):
            for word in dict.fromkeys(words_of(title)):
                postings[word].append(item)
        self._postings = {word: np.array(items) for word, items in postings.items()}
        self._leaves = self._synonyms(lexicon)
        self._by_leaf = [np.flatnonzero(catalog.leaf == leaf) for leaf in range(len(lexicon.leaves))]
        self._ranked: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._live = np.flatnonzero(catalog.in_stock)
        self._sellable = catalog.in_stock.copy()

    def _synonyms(self, lexicon: Lexicon) -> dict[str, list[int]]:
        """The searchers' nouns that the engine knows, each with the leaves it may mean."""
        known: dict[str, list[int]] = collections.defaultdict(list)
        for leaf, names in enumerate(lexicon.leaf_names):
            for noun in (*names.query, names.chinese):
                if self._random.random() < _KNOWN_SYNONYMS:
                    known[noun].append(leaf)
        return known

    def page(self, query: str, day: int) -> np.ndarray:
        """The items shown, best first."""
        candidates, scores = self._candidates(query)
        on_sale = self._catalog.entry_day[candidates] <= day
        noisy = scores + self._random.gumbel(0, 0.45, len(scores))
        noisy[~on_sale] = -np.inf
        best = np.argsort(-noisy)[:PAGE]
        return candidates[best[np.isfinite(noisy[best])]]

    def _candidates(self, query: str) -> tuple[np.ndarray, np.ndarray]:
        if query not in self._ranked:
            if len(self._ranked) > 20_000:
                self._ranked.clear()
            self._ranked[query] = self._rank(query)
        return self._ranked[query]

    def _rank(self, query: str) -> tuple[np.ndarray, np.ndarray]:
        scores = np.zeros(len(self._catalog.titles))
        for word in words_of(query):
            items = self._postings.get(word)
            if items is not None:
                scores[items] += 1.0 + np.log(len(scores) / len(items)) / 2
        for noun, leaves in self._leaves.items():
            if noun == query or f" {noun} " in f" {query} " or (not noun.isascii() and noun in query):
                for leaf in leaves:
                    scores[self._by_leaf[leaf]] += 2.0
        scores[~self._sellable] = 0
        matched = np.flatnonzero(scores)
        if not len(matched):
            matched = self._live  # nothing matches: what sells
        total = scores[matched] * 1.6 + self._popularity[matched]
        kept = np.argpartition(-total, min(_KEPT, len(total) - 1))[:_KEPT]
        return matched[kept], total[kept]
