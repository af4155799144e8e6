"""A shop whose logs come a day at a time: items enter its catalogue, run out of stock and go for good."""

from __future__ import annotations

import collections
import gzip
import itertools
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from preprocessing.config import HistoryConfig
from preprocessing.joins.attribution import NO_REQUEST, AttributedAction
from preprocessing.joins.history import History, previous_queries
from preprocessing.marketplace.catalog import DAY_MS, FIRST_DAY
from serving.retriever.request import User

_COMING, _LEAVING, _SOLD_OUT = 0.15, 0.15, 0.02  # shares of the catalogue; the last is drawn anew each day
_NEVER = 1 << 30
_QUESTIONS = 400
Record = dict[str, Any]


class Question(NamedTuple):
    """What a user asked on a day, with what was known of them."""

    query: str
    user: User


class Shop:
    """Simulated logs, dealt out; what happens to an item after a day is not in that day's files.

    Args:
        simulated: the folder of `preprocessing.simulate`.
        raw: where a day's logs arrive.
        window: days of log that lie there, the newest.
        seed: of which items come, go and run out.
    """

    def __init__(self, simulated: Path, raw: Path, window: int, seed: int) -> None:
        self._raw, self._window, self._chance = raw, window, random.Random(seed)
        self._items = {one["item_id"]: one for one in _read(simulated / "catalog.jsonl.gz")}
        self._searches = _by_day(_read(simulated / "searches.jsonl.gz"))
        self._actions = _by_day(_read(simulated / "actions.jsonl.gz"))
        self._said: dict[str, list[tuple[int, str]]] = collections.defaultdict(list)
        for one in itertools.chain.from_iterable(self._searches.values()):
            self._said[one["user_id"]].append((one["ts"], one["query"]))
        self._acted: dict[str, list[AttributedAction]] = collections.defaultdict(list)
        for one in itertools.chain.from_iterable(self._actions.values()):
            action = AttributedAction(one["ts"], one["item_id"], one["action"], one["ts"], NO_REQUEST, False, "")
            self._acted[one["user_id"]].append(action)
        self.days = max(self._searches) + 1
        self._since = dict.fromkeys(self._items, 0)
        self._until = dict.fromkeys(self._items, _NEVER)
        for item_id in self._items:
            fate = self._chance.random()
            if fate < _COMING:
                self._since[item_id] = self._chance.randrange(window, self.days)
            elif fate < _COMING + _LEAVING:
                self._until[item_id] = self._chance.randrange(window, self.days)
        self.leaf = {item_id: one["category_leaf"] for item_id, one in self._items.items()}
        self.day = -1
        self.live: frozenset[str] = frozenset()  # what may be found, by today's catalogue
        raw.mkdir(parents=True)

    def arrive(self) -> int:
        """The next day's logs and catalogue lie in the raw folder; what is older than the window is gone from it."""
        self.day += 1
        for stream, records in (("searches", self._shown(self.day)), ("actions", self._done(self.day))):
            _write(self._raw / f"{stream}-{self.day:04d}.jsonl", records)
            (self._raw / f"{stream}-{self.day - self._window:04d}.jsonl").unlink(missing_ok=True)
        catalog = [self._described(item_id) for item_id, since in self._since.items() if since <= self.day]
        self.live = frozenset(one["item_id"] for one in catalog if one["in_stock"])
        _write(self._raw / "catalog.jsonl", catalog)
        return self.day

    def coming(self) -> list[Record]:
        """The catalogue records of tomorrow's new items."""
        return [self._items[one] | {"in_stock": True} for one, since in self._since.items() if since == self.day + 1]

    def leaving(self) -> set[str]:
        """What is for sale today and never again."""
        return {item_id for item_id, until in self._until.items() if until == self.day + 1}

    def questions(self) -> list[Question]:
        """Searches of the day, each with its user's past at that moment."""
        asked, config = self._searches[self.day], HistoryConfig()
        since = FIRST_DAY + (self.day - config.long_days) * DAY_MS
        found = []
        for one in self._chance.sample(asked, min(_QUESTIONS, len(asked))):
            past = History(self._acted[one["user_id"]], config).at(one["ts"])
            said = self._said[one["user_id"]]
            times, queries = [ts for ts, _ in said], [query for _, query in said]
            before = previous_queries(times, queries, one["ts"], since, config.queries)
            lists: dict[str, Any] = {f"{name}_items": [one.item_id for one in acted] for name, acted in past.items()}
            found.append(Question(one["query"], User(history_queries=before, **lists)))
        return found

    def _there(self, item_id: str, day: int) -> bool:
        return self._since[item_id] <= day < self._until[item_id]

    def _described(self, item_id: str) -> Record:
        one = self._items[item_id]
        there = self._there(item_id, self.day) and self._chance.random() >= _SOLD_OUT
        return one | {"in_stock": one["in_stock"] and there}

    def _shown(self, day: int) -> Iterator[Record]:
        for one in self._searches[day]:
            results = [item_id for item_id in one["results"] if self._there(item_id, day)]
            if results:
                yield one | {"results": results}

    def _done(self, day: int) -> Iterator[Record]:
        return (one for one in self._actions[day] if self._there(one["item_id"], day))


def _by_day(records: Iterable[Record]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = collections.defaultdict(list)
    for one in records:
        found[(one["ts"] - FIRST_DAY) // DAY_MS].append(one)
    return found


def _read(path: Path) -> Iterator[Record]:
    with gzip.open(path) as file:
        yield from map(orjson.loads, file)


def _write(path: Path, records: Iterable[Record]) -> None:
    """Appears whole: the pipeline may look at any time."""
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in records))
    os.replace(aside, path)
