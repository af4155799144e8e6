"""The shop's search engine: words, popularity, and what this user and similar users did. Plausible, and improvable."""

from __future__ import annotations

import collections
import re

import numpy as np

from preprocessing.marketplace.catalog import Catalog
from preprocessing.marketplace.co_visits import CoVisits
from preprocessing.marketplace.lexicon import Lexicon

PAGE = 20
_KEPT = 400  # candidates of a query that compete for the page
_KNOWN_SYNONYMS = 0.6  # share of searchers' nouns that the engine can place in a leaf
_WORDS, _POPULARITY, _BRANDS, _CO_VISITS = 1.6, 0.5, 0.7, 0.7  # weights of the channels
_EXPLORED = 1.6  # how far chance moves a candidate
_BEST_SELLERS = 90
_ADVERTISED = (4, 9, 14)  # places of a page that hold best sellers, whatever was asked
_WORD = re.compile(r"[a-z0-9-]+|[\u4e00-\u9fff]")


def words_of(text: str) -> list[str]:
    """Words of a title or query; a Chinese character is one."""
    return _WORD.findall(text.lower())


class Engine:
    """Ranks by what matches, sells and suits, and learns from every day."""

    def __init__(self, catalog: Catalog, users: int, lexicon: Lexicon, random: np.random.Generator) -> None:
        self._catalog = catalog
        self._random = random
        self._popularity = catalog.popularity.astype(np.float32)
        postings: dict[str, list[int]] = collections.defaultdict(list)
        for item, title in enumerate(catalog.titles):
            for word in dict.fromkeys(words_of(title)):
                postings[word].append(item)
        self._postings = {word: np.array(items) for word, items in postings.items()}
        self._leaves = self._synonyms(lexicon)
        self._by_leaf = [np.flatnonzero(catalog.leaf == leaf) for leaf in range(len(lexicon.leaves))]
        self._ranked: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}
        self._brands = np.zeros((users, len(catalog.brands.names)), np.float32)  # actions of each user on each brand
        self._co_visits = CoVisits(users, len(catalog.titles))
        live = np.flatnonzero(catalog.in_stock)
        self._live = live[np.argsort(-self._popularity[live])]

    def _synonyms(self, lexicon: Lexicon) -> dict[str, list[int]]:
        """The searchers' nouns that the engine knows, each with the leaves it may mean."""
        known: dict[str, list[int]] = collections.defaultdict(list)
        for leaf, names in enumerate(lexicon.leaf_names):
            for noun in (*names.query, names.chinese):
                if self._random.random() < _KNOWN_SYNONYMS:
                    known[noun].append(leaf)
        return known

    def pages(self, queries: list[str], user: np.ndarray, day: int) -> np.ndarray:
        """The items shown for `n` queries, best first: `[n, PAGE]`, -1 where there are no more."""
        found = [self._candidates(query) for query in queries]
        items, scores = np.stack([one for one, _ in found]), np.stack([score for _, score in found])
        total = scores + _BRANDS * np.log1p(self._brands[user[:, None], self._catalog.brand[items]])
        total += _CO_VISITS * self._co_visits.scores(user, items)
        total += _EXPLORED * self._random.random(items.shape, np.float32)
        total[(self._catalog.entry_day[items] > day) | (items < 0)] = -np.inf
        best = np.argpartition(-total, PAGE - 1, axis=1)[:, :PAGE]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(total, best, 1), axis=1), 1)
        there = np.isfinite(np.take_along_axis(total, best, 1))
        return self._advertise(np.where(there, np.take_along_axis(items, best, 1), -1), day)

    def _advertise(self, pages: np.ndarray, day: int) -> np.ndarray:
        """Best sellers of the whole shop at some places, each page its own, unless they are on the page already."""
        on_sale = self._live[self._catalog.entry_day[self._live] <= day][:_BEST_SELLERS]
        chance = np.exp(self._popularity[on_sale])
        for number, place in enumerate(_ADVERTISED):
            mine = slice(number, None, len(_ADVERTISED))
            shown = self._random.choice(on_sale[mine], len(pages), p=chance[mine] / chance[mine].sum())
            fits = (pages != shown[:, None]).all(axis=1) & (pages[:, place] >= 0)
            pages[fits, place] = shown[fits]
        return pages

    def note(self, user: np.ndarray, items: np.ndarray) -> None:
        """Actions that the next pages know of."""
        for one, item in zip(user.tolist(), items.tolist(), strict=True):
            self._co_visits.note(one, item)
        np.add.at(self._brands, (user, self._catalog.brand[items]), 1)

    def learn(self) -> None:
        """What similar users did, once a day."""
        self._co_visits.learn()

    def recent(self, user: np.ndarray) -> np.ndarray:
        """`[n, recent]`: what users did last, -1 where there is no more."""
        return self._co_visits.recent[user]

    def _candidates(self, query: str) -> tuple[np.ndarray, np.ndarray]:
        words = tuple(word for word in words_of(query) if word in self._postings)
        leaves = tuple(
            leaf
            for noun, meant in self._leaves.items()
            if f" {noun} " in f" {query} " or (not noun.isascii() and noun in query)
            for leaf in meant
        )
        if (words, leaves) not in self._ranked:
            if len(self._ranked) > 20_000:
                self._ranked.clear()
            self._ranked[words, leaves] = self._rank(words, leaves)
        return self._ranked[words, leaves]

    def _rank(self, words: tuple[str, ...], leaves: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The candidates of words and leaves, padded with -1, and their scores without the user."""
        count = len(self._popularity)
        lists = [self._postings[word] for word in words] + [self._by_leaf[leaf] for leaf in leaves]
        worth = [1.0 + np.log(count / len(items)) / 2 for items in lists[: len(words)]] + [2.0] * len(leaves)
        scores = np.zeros(count, np.float32)
        for items, weight in zip(lists, worth, strict=True):
            scores[items] += weight
        matched = np.flatnonzero((scores > 0) & self._catalog.in_stock)
        if not len(matched):
            matched = self._live[:_KEPT]  # nothing matches: what sells
        total = _WORDS * scores[matched] + _POPULARITY * self._popularity[matched]
        if len(matched) > _KEPT:
            kept = np.argpartition(-total, _KEPT - 1)[:_KEPT]
            matched, total = matched[kept], total[kept]
        missing = _KEPT - len(matched)
        return (
            np.pad(matched, (0, missing), constant_values=-1).astype(np.int32),
            np.pad(total, (0, missing)).astype(np.float32),
        )
