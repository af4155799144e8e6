"""What users do with pages: look from the top, click what fits wish and taste, at times buy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocessing.marketplace.catalog import Catalog
from preprocessing.marketplace.lexicon import Lexicon
from preprocessing.marketplace.sessions import Intents
from preprocessing.marketplace.taste import FIT, POPULARITY, appeal
from preprocessing.marketplace.users import Users

_KNOWN = 1.2
_SUBSTITUTE = 0.35
_LOOKS_FALL = 0.12  # how the chance of being looked at falls with the place


class PageActions(NamedTuple):
    """Actions on pages, in order of the pages."""

    page: np.ndarray  # which of the pages
    item: np.ndarray
    action: np.ndarray  # of ACTIONS
    delay: np.ndarray  # milliseconds after the search


ACTIONS = ("click", "collect", "cart", "order")


class Behaviour:
    """Draws the actions on pages."""

    def __init__(
        self, catalog: Catalog, users: Users, habits: tuple[float, float], lexicon: Lexicon, random: np.random.Generator
    ) -> None:
        self._catalog = catalog
        self._users = users
        self._reluctance, self._strays = habits
        self._random = random
        leaves = len(lexicon.leaves)
        self._substitute = np.zeros((leaves, leaves))
        for leaf, near in enumerate(lexicon.neighbours):
            self._substitute[leaf, list(near)] = _SUBSTITUTE
            self._substitute[leaf, leaf] = 1.0

    def on_pages(self, user: np.ndarray, intents: Intents, pages: np.ndarray, recent: np.ndarray) -> PageActions:
        """The actions on `n` pages `[n, PAGE]`, of users `[n]` who would know `recent` `[n, r]` again."""
        there = pages >= 0
        fit = np.where(there, self._fit(intents, pages), 0.0)
        taste = appeal(self._catalog, self._users, user, pages)
        known = (pages[:, :, None] == recent[:, None, :]).any(axis=2)
        popularity = self._catalog.popularity[pages]
        wish = FIT * fit + taste + _KNOWN * known + POPULARITY * popularity - self._reluctance
        looks = 1.0 / (1.0 + _LOOKS_FALL * np.arange(pages.shape[1]))
        clicked = (fit > 0) & (self._random.random(pages.shape) < looks * _sigmoid(wish))
        clicked |= self._strayed(there & (fit == 0), popularity)
        row, place = np.nonzero(clicked)
        keen = np.where(fit > 0, _sigmoid(4.0 * fit + 1.3 * taste - 5.0), 0.0)[row, place]
        return self._follow(row, pages[row, place], keen)

    def _fit(self, intents: Intents, pages: np.ndarray) -> np.ndarray:
        """How far each item is what is wanted, in [0, 1]: `[n, PAGE]`."""
        leaf = self._substitute[intents.leaf[:, None], self._catalog.leaf[pages]]
        minds = (intents.values >= 0)[:, None, :]
        same = ((self._catalog.values[pages] == intents.values[:, None, :]) & minds).sum(axis=2)
        count = minds.sum(axis=2)
        return leaf * np.where(count > 0, 0.45 + 0.55 * same / np.maximum(count, 1), 0.8)

    def _strayed(self, beside: np.ndarray, popularity: np.ndarray) -> np.ndarray:
        """Clicks that say nothing of the query: on something that does not fit, the more popular the likelier."""
        chance = np.where(beside, np.exp(popularity), 0.0)
        chosen = np.argmax(
            np.cumsum(chance, axis=1) > chance.sum(axis=1, keepdims=True) * _column(self._random, beside), 1
        )
        strays = np.zeros(beside.shape, bool)
        strays[np.arange(len(beside)), chosen] = self._random.random(len(beside)) < self._strays
        return strays & beside

    def _follow(self, page: np.ndarray, item: np.ndarray, keen: np.ndarray) -> PageActions:
        """Clicks `[m]`, and what follows each: collecting, a cart, an order."""
        draws = self._random.random((7, len(page)))
        nth = np.arange(len(page)) - np.searchsorted(page, page)  # of its page
        clicked = 3_000 + 25_000 * nth + 20_000 * draws[0]
        carted = clicked + 5_000 + 120_000 * draws[1]
        happens = np.stack([np.ones(len(page), bool), draws[2] < 0.25 * keen, draws[3] < 0.35 * keen, draws[4] < 0.5])
        happens[3] &= happens[2]
        delays = np.stack(
            [clicked, clicked + 2_000 + 60_000 * draws[5], carted, carted + 20_000 + 3_600_000 * draws[6] ** 3]
        )
        which, kind = np.nonzero(happens.T)
        return PageActions(page[which], item[which], kind, delays[kind, which].astype(np.int64))


def _column(random: np.random.Generator, like: np.ndarray) -> np.ndarray:
    return random.random((len(like), 1))


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-value))
