"""Who asks, and what: two users of the raw logs with unlike tastes, and the queries that are searched most."""

from __future__ import annotations

import collections
import dataclasses
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from preprocessing.config import HistoryConfig
from preprocessing.data.features import ACTION_IDS, SEQUENCES
from preprocessing.joins.attribution import NO_REQUEST, AttributedAction
from preprocessing.joins.history import History, age_of
from serving.retriever.request import User


class Shopper(NamedTuple):
    """A user and what is known of them."""

    name: str
    likes: str  # the top category of most of their actions
    user: User


class Market(NamedTuple):
    """What the demo needs of the raw logs."""

    titles: dict[str, str]
    queries: list[str]
    shoppers: list[Shopper]


def read_market(raw: Path, queries: int) -> Market:
    """The most frequent queries, and the two busiest users of different favourite categories."""
    catalog = {one["item_id"]: one for one in _records(raw / "catalog.jsonl.gz")}
    searches = list(_records(raw / "searches.jsonl.gz"))
    actions: dict[str, list[AttributedAction]] = collections.defaultdict(list)
    for one in _records(raw / "actions.jsonl.gz"):
        action = AttributedAction(one["ts"], one["item_id"], one["action"], one["ts"], NO_REQUEST, False, "")
        actions[one["user_id"]].append(action)
    asked = collections.Counter(one["query"] for one in searches)
    busiest = sorted(actions, key=lambda user: (-len(actions[user]), user))
    chosen: dict[str, str] = {}  # by favourite category
    for user in busiest:
        tops = collections.Counter(catalog[action.item_id]["category_top"] for action in actions[user])
        chosen.setdefault(tops.most_common(1)[0][0], user)
        if len(chosen) == 2:
            break
    now = max(one["ts"] for one in searches)
    said: dict[str, list[str]] = collections.defaultdict(list)
    for one in searches:
        said[one["user_id"]].append(one["query"])
    shoppers = [Shopper(user, top, _past(actions[user], said[user], now)) for top, user in chosen.items()]
    titles = {item_id: one["title"] for item_id, one in catalog.items()}
    return Market(titles, [query for query, _ in asked.most_common(queries)], shoppers)


def write_users(market: Market, path: Path) -> None:
    """The shoppers for `serving.server --ui-users`."""
    lines = [{"user_id": one.name, **dataclasses.asdict(one.user)} for one in market.shoppers]
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def _past(actions: list[AttributedAction], queries: list[str], now: int) -> User:
    config = HistoryConfig()
    horizons = History(sorted(actions), config).at(now)
    newest = list(dict.fromkeys(reversed(queries)))[: config.queries]
    lists: dict[str, Any] = {f"{name}_items": [one.item_id for one in acted] for name, acted in horizons.items()}
    lists |= {f"{name}_actions": [ACTION_IDS[one.action] for one in horizons[name]] for name in SEQUENCES}
    lists |= {f"{name}_ages": [age_of(one, now) for one in horizons[name]] for name in SEQUENCES}
    return User(history_queries=newest, **lists)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as file:
        for line in file:
            yield orjson.loads(line)
