"""What a user does with a page: looks from the top, clicks what fits wish and taste, at times buys."""

from __future__ import annotations

import collections
from typing import NamedTuple

import numpy as np

from preprocessing.marketplace.catalog import Catalog
from preprocessing.marketplace.lexicon import Lexicon
from preprocessing.marketplace.users import Intent, Users

_NOISE_CLICKS = 0.06  # share of searches with a click on something popular that was not looked for
_REMEMBERED = 30  # items a user would know again


class PageAction(NamedTuple):
    """An action on an item, `delay` milliseconds after the search."""

    item: int
    action: str
    delay: int


class Behaviour:
    """Draws the actions on pages."""

    def __init__(self, catalog: Catalog, users: Users, lexicon: Lexicon, random: np.random.Generator) -> None:
        self._catalog = catalog
        self._users = users
        self._random = random
        self._popularity = np.log(catalog.popularity)
        self._top_of = np.array(lexicon.top_of)
        leaves = len(lexicon.leaves)
        self._substitute = np.zeros((leaves, leaves))
        for leaf, near in enumerate(lexicon.neighbours):
            self._substitute[leaf, list(near)] = 0.35
            self._substitute[leaf, leaf] = 1.0
        self._seen: dict[int, collections.deque[int]] = collections.defaultdict(
            lambda: collections.deque(maxlen=_REMEMBERED)
        )

    def on_page(self, user: int, intent: Intent, page: np.ndarray) -> list[PageAction]:
        """The actions on one page, clicks first."""
        fit, taste = self._fit(intent, page), self._taste(user, page)
        wish = 3.2 * fit + taste + 0.3 * self._popularity[page] - 4.7
        looks = 1.0 / (1.0 + 0.12 * np.arange(len(page)))
        draws = self._random.random((2, len(page)))
        clicked = np.flatnonzero(draws[0] < looks * np.where(fit > 0, _sigmoid(wish), 0.004))
        actions = []
        delay = 0
        for place in clicked.tolist():
            delay += int(3_000 + 40_000 * draws[1, place])
            actions += self._on_item(int(page[place]), fit[place], taste[place], delay)
        noise = self._noise(page, fit)
        if noise is not None:
            actions.append(PageAction(noise, "click", delay + 5_000))
        self._seen[user].extend(one.item for one in actions)
        return actions

    def _fit(self, intent: Intent, page: np.ndarray) -> np.ndarray:
        """How far each item is what is wanted, in [0, 1]."""
        leaf = self._substitute[intent.leaf, self._catalog.leaf[page]]
        wanted = np.array(intent.values)
        minds = wanted >= 0
        if not minds.any():
            return leaf * 0.8
        match = (self._catalog.values[page][:, minds] == wanted[minds]).mean(axis=1)
        return leaf * (0.45 + 0.55 * match)

    def _taste(self, user: int, page: np.ndarray) -> np.ndarray:
        """How far each item is the user's kind of thing."""
        brand = self._catalog.brand[page]
        favourites = self._users.brands[user, self._top_of[self._catalog.leaf[page]]]
        liked = (favourites == brand[:, None]).any(axis=1)
        band = np.abs(self._catalog.band[page] - self._users.band[user])
        known = np.isin(page, self._seen[user]) if user in self._seen else np.zeros(len(page), bool)
        return 2.0 * liked + np.array([0.9, 0.0, -1.2])[band] + 1.3 * known

    def _on_item(self, item: int, fit: float, taste: float, delay: int) -> list[PageAction]:
        """A click, and what follows it."""
        actions = [PageAction(item, "click", delay)]
        draws = self._random.random(6)
        keen = float(_sigmoid(np.array(4.0 * fit + 1.3 * taste - 5.0)))
        if draws[0] < 0.25 * keen:
            actions.append(PageAction(item, "collect", delay + int(2_000 + 60_000 * draws[1])))
        if draws[2] < 0.5 * keen:
            carted = delay + int(5_000 + 120_000 * draws[3])
            actions.append(PageAction(item, "cart", carted))
            if draws[4] < 0.6:
                actions.append(PageAction(item, "order", carted + int(20_000 + 3_600_000 * draws[5] ** 3)))
        return actions

    def _noise(self, page: np.ndarray, fit: np.ndarray) -> int | None:
        """A click that says nothing of the query: on the most popular thing shown that was not wanted."""
        beside = np.flatnonzero(fit < 0.5)
        if not len(beside) or self._random.random() >= _NOISE_CLICKS:
            return None
        return int(page[beside[np.argmax(self._popularity[page[beside]])]])


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-value))
