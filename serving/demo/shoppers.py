"""Who asks, and what: two busy users of unlike taste, by the market's truth, and the queries that are searched most."""

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

_LIKED = 2  # brands that are named


class Shopper(NamedTuple):
    """A user and what is known of them."""

    name: str
    likes: str  # the brands of most of their actions
    user: User
    right: dict[str, set[str]]  # by query, the items that are relevant and to their taste


class Market(NamedTuple):
    """What the demo needs of the raw logs and of the market's truth."""

    titles: dict[str, str]
    queries: list[str]
    shoppers: list[Shopper]


def read_market(raw: Path) -> Market:
    """The queries and users of `truth/shoppers.jsonl.gz`, and the users' pasts."""
    catalog = {one["item_id"]: one for one in _records(raw / "catalog.jsonl.gz")}
    right: dict[str, dict[str, set[str]]] = collections.defaultdict(lambda: collections.defaultdict(set))
    for one in _records(raw / "truth" / "shoppers.jsonl.gz"):
        right[one["user_id"]][one["query"]].add(one["item_id"])
    actions: dict[str, list[AttributedAction]] = {user: [] for user in right}
    for one in _records(raw / "actions.jsonl.gz"):
        if one["user_id"] in right:
            action = AttributedAction(one["ts"], one["item_id"], one["action"], one["ts"], NO_REQUEST, False, "")
            actions[one["user_id"]].append(action)
    said: dict[str, list[str]] = {user: [] for user in right}
    now = 0
    for one in _records(raw / "searches.jsonl.gz"):
        now = max(now, one["ts"])
        if one["user_id"] in right:
            said[one["user_id"]].append(one["query"])
    shoppers = [
        Shopper(user, _likes(actions[user], catalog), _past(actions[user], said[user], now), suits)
        for user, suits in right.items()
    ]
    titles = {item_id: one["title"] for item_id, one in catalog.items()}
    return Market(titles, list(dict.fromkeys(query for suits in right.values() for query in suits)), shoppers)


def _likes(actions: list[AttributedAction], catalog: dict[str, Any]) -> str:
    brands = collections.Counter(catalog[action.item_id]["brand"] for action in actions)
    return " and ".join(brand for brand, _ in brands.most_common(_LIKED))


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
