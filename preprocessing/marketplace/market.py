"""Days of the market: sessions in order of time, each a few searches on one intent."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from preprocessing.marketplace.behaviour import Behaviour
from preprocessing.marketplace.catalog import Catalog
from preprocessing.marketplace.engine import Engine
from preprocessing.marketplace.lexicon import Lexicon
from preprocessing.marketplace.queries import Query, write_query
from preprocessing.marketplace.users import Sessions, Users

DAY_MS = 86_400_000
FIRST_DAY = 1_704_067_200_000  # 2024-01-01
_NAMED = 0.85  # share of actions that carry their request id
_MORE_SEARCHES = 0.42  # chance that a search is followed by another in the session


class Day(NamedTuple):
    """One day's records in order of time, and what its queries were after."""

    searches: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    queries: list[Query]


class Market:
    """Runs the market day by day; memory holds one day."""

    def __init__(
        self, catalog: Catalog, users: Users, lexicon: Lexicon, engine: Engine, random: np.random.Generator
    ) -> None:
        leaf_share = np.bincount(catalog.leaf, minlength=len(lexicon.leaves)) + 1.0
        self._catalog = catalog
        self._users = users
        self._lexicon = lexicon
        self._engine = engine
        self._random = random
        self._sessions = Sessions(users, leaf_share, lexicon, random)
        self._behaviour = Behaviour(catalog, users, lexicon, random)
        self._requests = 0
        self._actions = 0
        self._late: list[tuple[int, int, dict[str, Any]]] = []  # actions that fall after midnight

    def days(self, count: int) -> Iterator[Day]:
        """The first `count` days."""
        for day in range(count):
            yield self._day(day, last=day == count - 1)

    def _day(self, day: int, last: bool) -> Day:
        sessions = self._random.poisson(self._users.activity)
        starts = [
            (int(self._moment(draw) * DAY_MS * 0.98), user)
            for user in np.flatnonzero(sessions).tolist()
            for draw in self._random.random(sessions[user]).tolist()
        ]
        today: list[dict[str, Any]] = []
        queries: list[Query] = []
        for start, user in sorted(starts):
            self._session(user, day, FIRST_DAY + day * DAY_MS + start, today, queries)
        midnight = FIRST_DAY + (day + 1) * DAY_MS
        actions = []
        while self._late and (last or self._late[0][0] < midnight):
            actions.append(heapq.heappop(self._late)[2])
        today.sort(key=lambda search: search["ts"])
        return Day(today, actions, queries)

    @staticmethod
    def _moment(draw: float) -> float:
        """A time of day in [0, 1): more in the evening than at night."""
        return 1.0 - (1.0 - draw) ** 0.7

    def _session(self, user: int, day: int, ts: int, searches: list[dict[str, Any]], queries: list[Query]) -> None:
        intent = self._sessions.intent(user, day)
        favourites = self._users.brands[user, self._lexicon.top_of[intent.leaf]]
        brand = self._catalog.brand_names[favourites[0]]
        for refined in range(4):
            draws = self._random.random(28).tolist()
            query = write_query(
                intent,
                refined,
                brand,
                bool(self._users.chinese[user]),
                self._users.careless[user],
                self._lexicon,
                draws,
            )
            queries.append(query)
            page = self._engine.page(query.text, day)
            ordered = self._search(user, ts, query, page, intent, searches)
            if ordered or draws[24] >= _MORE_SEARCHES:
                return
            ts += int(20_000 + 90_000 * draws[25])

    def _search(
        self, user: int, ts: int, query: Query, page: np.ndarray, intent: Any, searches: list[dict[str, Any]]
    ) -> bool:
        """Records a search and the actions on it; whether something was ordered."""
        self._requests += 1
        request_id, user_id = f"R{self._requests:09d}", self._users.user_ids[user]
        results = [self._catalog.item_ids[item] for item in page.tolist()]
        searches.append(
            {"request_id": request_id, "ts": ts, "user_id": user_id, "query": query.text, "results": results}
        )
        actions = self._behaviour.on_page(user, intent, page)
        for action in actions:
            record = {
                "ts": ts + action.delay,
                "user_id": user_id,
                "item_id": self._catalog.item_ids[action.item],
                "action": action.action,
            }
            if self._random.random() < _NAMED:
                record["request_id"] = request_id
            self._actions += 1  # breaks ties of time
            heapq.heappush(self._late, (ts + action.delay, self._actions, record))
        return any(action.action == "order" for action in actions)
