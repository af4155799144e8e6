"""Days of the market: sessions in order of time, each a few searches on one intent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from preprocessing.marketplace.behaviour import ACTIONS, Behaviour, PageActions
from preprocessing.marketplace.catalog import DAY_MS, FIRST_DAY
from preprocessing.marketplace.engine import Engine
from preprocessing.marketplace.queries import Query, QueryWriter
from preprocessing.marketplace.sessions import Intents, Sessions
from preprocessing.marketplace.world import World

_NAMED = 0.85  # share of actions that carry their request id
_SEARCHES = 4  # of a session, at most
_AT_ONCE = 2_048  # searches


class Day(NamedTuple):
    """One day's records in order of time; of each search who asked and what it was after."""

    searches: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    queries: list[tuple[str, int, Query]]  # request id, user, query


class Market:
    """Runs the market day by day; memory holds one day, and what the shop's engine knows of the past."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = random = world.random
        catalog, users, words, profile = world.catalog, world.users, world.lexicon, world.profile
        self._engine = Engine(catalog, len(users.user_ids), words, random)
        self._sessions = Sessions(users, profile.common_values, words, random)
        self._writer = QueryWriter(profile.broad, words, random)
        self._behaviour = Behaviour(catalog, users, (profile.reluctance, profile.strays), words, random)
        self._item_ids = np.array(catalog.item_ids, object)
        self._requests = 0
        self._late: list[tuple[int, int, dict[str, Any]]] = []  # time, number and record of what falls after midnight
        self._actions = 0

    def days(self, count: int) -> Iterator[Day]:
        """The first `count` days."""
        for day in range(count):
            yield self._day(day, last=day == count - 1)
            self._engine.learn()

    def _day(self, day: int, last: bool) -> Day:
        sessions = self._random.poisson(self._world.users.activity)
        user = np.repeat(np.arange(len(sessions)), sessions)
        # More in the evening than at night.
        moment = 1.0 - (1.0 - self._random.random(len(user))) ** 0.7
        order = np.argsort(moment)
        user, ts = user[order], FIRST_DAY + day * DAY_MS + (moment[order] * DAY_MS * 0.98).astype(np.int64)
        today = Day([], [], [])
        for first in range(0, len(user), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            self._run(user[part], ts[part], day, today)
        today.searches.sort(key=lambda search: search["ts"])
        midnight = FIRST_DAY + (day + 1) * DAY_MS
        self._late.sort()
        due = len(self._late) if last else sum(one[0] < midnight for one in self._late)
        today.actions.extend(record for _, _, record in self._late[:due])
        del self._late[:due]
        return today

    def _run(self, user: np.ndarray, ts: np.ndarray, day: int, today: Day) -> None:
        """Sessions that begin together: a search each, and another for those that go on."""
        intents = self._sessions.draw(user, day)
        for refined in range(_SEARCHES):
            if not len(user):
                return
            queries = self._write(user, intents, refined)
            pages = self._engine.pages([query.text for query in queries], user, day)
            done = self._behaviour.on_pages(user, intents, pages, self._engine.recent(user))
            self._record(user, ts, queries, pages, done, today)
            clicks = done.action == ACTIONS.index("click")
            self._engine.note(user[done.page[clicks]], done.item[clicks])
            more = self._random.random(len(user)) < self._world.profile.more_searches
            more[done.page[done.action == ACTIONS.index("order")]] = False
            pause = (20_000 + 90_000 * self._random.random(len(user))).astype(np.int64)
            user, ts, intents = user[more], (ts + pause)[more], Intents(intents.leaf[more], intents.values[more])

    def _write(self, user: np.ndarray, intents: Intents, refined: int) -> list[Query]:
        users, names = self._world.users, self._world.catalog.brands.names
        brands = [names[brand] for brand in users.favourites[user, 0].tolist()]
        return self._writer.write(intents, refined, brands, users.chinese[user], users.careless[user])

    def _record(
        self, user: np.ndarray, ts: np.ndarray, queries: list[Query], pages: np.ndarray, done: PageActions, today: Day
    ) -> None:
        """The records of searches and of the actions on them."""
        user_ids = [self._world.users.user_ids[one] for one in user.tolist()]
        ids = [f"R{self._requests + number:09d}" for number in range(1, len(queries) + 1)]
        self._requests += len(queries)
        shown = self._item_ids[pages].tolist()
        counts = (pages >= 0).sum(axis=1).tolist()
        times = ts.tolist()
        for row, query in enumerate(queries):
            search = {"request_id": ids[row], "ts": times[row], "user_id": user_ids[row], "query": query.text}
            today.searches.append({**search, "results": shown[row][: counts[row]]})
            today.queries.append((ids[row], int(user[row]), query))
        named = (self._random.random(len(done.page)) < _NAMED).tolist()
        acted = zip(*(column.tolist() for column in done), named, strict=True)
        for page, item, action, delay, names_it in acted:
            self._actions += 1  # breaks ties of time
            when = times[page] + delay
            record = {"ts": when, "user_id": user_ids[page], "item_id": self._item_ids[item], "action": ACTIONS[action]}
            if names_it:
                record["request_id"] = ids[page]
            self._late.append((when, self._actions, record))
