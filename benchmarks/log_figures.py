"""Marginal figures of a simulated log, and what real logs show; docs/data.md has the sources."""

from __future__ import annotations

import collections
import gzip
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from preprocessing.marketplace.catalog import DAY_MS
from preprocessing.marketplace.world import World

_HEAD, _BEST = 20, 10  # queries, items


class Target(NamedTuple):
    """What a figure of a log should be: by profile the least and the most."""

    says: str
    ranges: dict[str, tuple[float, float]]
    because: str


def _both(least: float, most: float) -> dict[str, tuple[float, float]]:
    return {"marketplace": (least, most), "small-shop": (least, most)}


class Log(NamedTuple):
    """A folder of `preprocessing.simulate`, read."""

    searches: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    acted: dict[str, dict[str, set[str]]]  # by request, then by item
    truth: dict[str, dict[str, Any]]  # by request, of the last days


def read_log(raw: Path) -> Log:
    """Reads it; actions that name no request belong to none."""
    actions = _lines(raw / "actions.jsonl.gz")
    acted: dict[str, dict[str, set[str]]] = collections.defaultdict(lambda: collections.defaultdict(set))
    for one in actions:
        if "request_id" in one:
            acted[one["request_id"]][one["item_id"]].add(one["action"])
    truth = {one["request_id"]: one for one in _lines(raw / "truth" / "searches.jsonl.gz")}
    return Log(_lines(raw / "searches.jsonl.gz"), actions, acted, truth)


TARGETS = {
    "words_a_query": Target("words a query", _both(1, 3), "required; Taobao's average under three"),
    "new_queries": Target(
        "searches of a day whose words no day before had",
        {"marketplace": (0.08, 0.15), "small-shop": (0.05, 0.11)},
        "required 8 %; Google says 15 %",
    ),
    "misspelt_queries": Target("misspelt queries", _both(0.04, 0.15), "5 to 15 % in web search"),
    "clicks_a_search": Target("clicks a search", _both(0.9, 1.1), "required 1.0"),
    "searches_without_click": Target("searches without a click", _both(0.4, 0.6), "48 % of shopping searches"),
    "ten_best_of_a_head_query": Target(
        "clicks of a head query on its ten best items",
        {"marketplace": (0.2, 0.5), "small-shop": (0.4, 0.55)},
        "required 45 % of a small shop",
    ),
    "users_with_one_search": Target(
        "users with one search",
        {"marketplace": (0.0, 0.2), "small-shop": (0.5, 0.8)},
        "required: most of a small shop; RetailRocket's visitors have 2.0 events on average",
    ),
    "searches_a_user_median": Target(
        "searches of a user, median",
        {"marketplace": (6, 40), "small-shop": (1, 1)},
        "OTTO's sessions alone have 6 events",
    ),
    "irrelevant_clicks": Target("clicks on what was not looked for", _both(0.13, 0.17), "required 15 %"),
}


def log_figures(world: World, log: Log) -> dict[str, float]:
    """The figures of `TARGETS`."""
    clicks = [one for one in log.actions if one["action"] == "click"]
    asked = np.array(list(collections.Counter(one["user_id"] for one in log.searches).values()))
    western = [one["query"] for one in log.searches if one["query"].isascii()]
    without = 1 - len(log.acted) / len(log.searches)
    return {
        "words_a_query": float(np.mean([len(query.split()) for query in western])),
        "new_queries": _new_queries(log),
        "misspelt_queries": _misspelt(world, western),
        "clicks_a_search": len(clicks) / len(log.searches),
        "searches_without_click": without,
        "ten_best_of_a_head_query": _ten_best(log),
        "users_with_one_search": float((asked == 1).mean()),
        "searches_a_user_median": float(np.median(asked)),
        "irrelevant_clicks": _irrelevant(world, log),
    }


def _new_queries(log: Log) -> float:
    """Of the searches of the last days, the share whose text no day before had."""
    first: dict[str, int] = {}
    for one in log.searches:
        first.setdefault(one["query"], one["ts"] // DAY_MS)
    late = [one for one in log.searches if one["request_id"] in log.truth]
    return sum(first[one["query"]] == one["ts"] // DAY_MS for one in late) / len(late)


def _misspelt(world: World, queries: list[str]) -> float:
    """The share with a word that neither a noun, nor an attribute, nor a brand has."""
    names = [*world.lexicon.leaf_names, *itertools.chain.from_iterable(world.lexicon.values)]
    known = {word for name in names for term in name.query for word in term.split()} | set(world.catalog.brands.names)
    return float(np.mean([not known.issuperset(query.split()) for query in queries]))


def _ten_best(log: Log) -> float:
    """Mean over the head queries of the share of their clicks on each one's ten most clicked items."""
    by_query: dict[str, list[str]] = collections.defaultdict(list)
    for one in log.searches:
        by_query[one["query"]] += [item for item, _ in log.acted.get(one["request_id"], {}).items()]
    head = collections.Counter(one["query"] for one in log.searches).most_common(_HEAD)
    return float(np.mean([_share_of_best(by_query[query]) for query, _ in head if by_query[query]]))


def _share_of_best(items: Any) -> float:
    counts = collections.Counter(items)
    return sum(count for _, count in counts.most_common(_BEST)) / counts.total()


def _irrelevant(world: World, log: Log) -> float:
    """Of the items clicked in the last days, the share that lies outside of the leaf meant and its substitutes."""
    leaf = dict(zip(world.catalog.item_ids, world.catalog.leaf.tolist(), strict=True))
    number = {name: index for index, name in enumerate(world.lexicon.leaves)}
    beside = [
        leaf[item] != meant and leaf[item] not in world.lexicon.neighbours[meant]
        for request, truth in log.truth.items()
        for meant in [number[truth["leaf"]]]
        for item in log.acted.get(request, ())
    ]
    return float(np.mean(beside))


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as file:
        return [json.loads(line) for line in file]
