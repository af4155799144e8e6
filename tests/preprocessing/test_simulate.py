"""The simulated marketplace: reproducible, well formed, and hard in the ways it claims to be."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.marketplace.catalog import DAY_MS, FIRST_DAY, ITEMS_A_LEAF, leaves_of
from preprocessing.marketplace.engine import PAGE, words_of
from preprocessing.marketplace.lexicon import lexicon
from preprocessing.marketplace.profiles import PROFILES
from preprocessing.marketplace.taste import appeal
from preprocessing.marketplace.world import World, make_world
from preprocessing.simulate import main, simulate

DAYS = 8
SIZE: dict[str, Any] = {"items": 1500, "users": 250, "days": DAYS, "seed": 3}
Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    simulate(folder, **SIZE)
    return folder


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(**SIZE, profile="marketplace")


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(tmp_path / name, items=300, users=20, days=5, seed=seed)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 9
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    searches = "searches.jsonl.gz"
    assert (tmp_path / "a" / searches).read_bytes() != (tmp_path / "c" / searches).read_bytes()


def test_searches_show_items_that_are_on_sale_once_each_in_order_of_time(market: Path) -> None:
    on_sale = {item["item_id"] for item in read(market / "catalog.jsonl.gz") if item["in_stock"]}
    searches = read(market / "searches.jsonl.gz")
    assert len({search["request_id"] for search in searches}) == len(searches) > 200
    for search in searches:
        assert set(search) == {"request_id", "ts", "user_id", "query", "results"}
        assert search["query"].strip()
        assert len(search["results"]) == len(set(search["results"])) <= PAGE
        assert on_sale.issuperset(search["results"])
    times = [search["ts"] for search in searches]
    assert times == sorted(times)
    assert times[0] >= FIRST_DAY
    assert times[-1] < FIRST_DAY + DAYS * DAY_MS


def test_actions_follow_the_search_that_showed_the_item(market: Path) -> None:
    searches = {search["request_id"]: search for search in read(market / "searches.jsonl.gz")}
    actions = read(market / "actions.jsonl.gz")
    assert [action["ts"] for action in actions] == sorted(action["ts"] for action in actions)
    named = [action for action in actions if "request_id" in action]
    assert 0.75 < len(named) / len(actions) < 0.95
    for action in named:
        search = searches[action["request_id"]]
        assert action["user_id"] == search["user_id"]
        assert action["item_id"] in search["results"]
        assert action["ts"] > search["ts"]
    kinds = Counter(action["action"] for action in actions)
    assert kinds["click"] > kinds["cart"] > kinds["order"] > 0
    assert kinds["collect"] > 0


def test_most_searches_get_a_click_and_the_top_of_the_page_gets_most(market: Path) -> None:
    searches = {search["request_id"]: search for search in read(market / "searches.jsonl.gz")}
    clicks = [one for one in read(market / "actions.jsonl.gz") if one["action"] == "click" and "request_id" in one]
    clicked = {click["request_id"] for click in clicks}
    assert 0.25 < len(clicked) / len(searches) < 0.8
    places = Counter(searches[click["request_id"]]["results"].index(click["item_id"]) for click in clicks)
    assert sum(places[place] for place in range(5)) > 1.5 * sum(places[place] for place in range(15, 20))


def test_searchers_and_sellers_use_different_words(market: Path) -> None:
    titles = {item["item_id"]: set(words_of(item["title"])) for item in read(market / "catalog.jsonl.gz")}
    searches = {search["request_id"]: search for search in read(market / "searches.jsonl.gz")}
    bought = [one for one in read(market / "actions.jsonl.gz") if one["action"] != "click" and "request_id" in one]
    gaps = [not set(words_of(searches[one["request_id"]]["query"])) <= titles[one["item_id"]] for one in bought]
    assert 0.2 < sum(gaps) / len(gaps) < 0.95


def test_head_queries_are_ambiguous_and_the_tail_is_long(market: Path) -> None:
    counts = Counter(search["query"] for search in read(market / "searches.jsonl.gz"))
    ranked = [count for _, count in counts.most_common()]
    assert sum(ranked[: len(ranked) // 10]) > 0.2 * sum(ranked)
    assert sum(count == 1 for count in ranked) > 0.3 * len(ranked)
    words = lexicon(leaves_of(SIZE["items"]))
    meant = defaultdict(set)
    for leaf, names in enumerate(words.leaf_names):
        for noun in names.query:
            meant[noun].add(words.top_of[leaf])
    assert {noun for noun in counts if len(meant[noun]) > 1} >= {"mouse", "bag"}


@pytest.mark.parametrize("items", [20_000, 30_000, 200_000])
def test_every_leaf_is_deep(items: int) -> None:
    leaves = leaves_of(items)
    assert 16 <= leaves <= items // ITEMS_A_LEAF
    assert len(lexicon(leaves).leaves) == min(leaves, len(lexicon().leaves))


def test_items_of_a_market_lie_at_least_a_thousand_a_leaf() -> None:
    catalog = make_world(20_000, 10, 5, 1, "marketplace").catalog
    assert min(Counter(catalog.leaf.tolist()).values()) >= ITEMS_A_LEAF


def test_a_smaller_lexicon_has_only_what_it_sells() -> None:
    words = lexicon(16)
    assert len(words.leaves) == len(words.leaf_names) == len(words.top_of) == 16
    assert set(words.top_of) == set(range(len(words.tops)))
    assert all(near < 16 for near in set().union(*words.neighbours))
    assert all(len(leaves) > 1 and max(leaves) < 16 for leaves in words.projects)


def test_truth_grades_known_items_and_prefers_the_wanted_leaf(market: Path) -> None:
    items = {item["item_id"]: item for item in read(market / "catalog.jsonl.gz")}
    queries = {one["query"]: one for one in read(market / "truth" / "queries.jsonl")}
    assert {one["segment"] for one in queries.values()} == {"head", "torso", "tail"}
    grades = defaultdict(dict)
    for judgment in read(market / "truth" / "judgments.jsonl.gz"):
        assert judgment["grade"] in (1, 2, 3)
        assert judgment["item_id"] in items
        grades[judgment["query"]][judgment["item_id"]] = judgment["grade"]
    assert set(grades) <= set(queries)
    for query, graded in grades.items():
        leaves = {intent["leaf"] for intent in queries[query]["intents"]}
        assert {items[item_id]["category_leaf"] for item_id in graded} <= leaves


def test_what_is_right_for_a_user_is_relevant_and_to_the_users_taste(market: Path, world: World) -> None:
    relevant = defaultdict(set)
    for judgment in read(market / "truth" / "judgments.jsonl.gz"):
        if judgment["grade"] >= 2:
            relevant[judgment["query"]].add(judgment["item_id"])
    item = {item_id: row for row, item_id in enumerate(world.catalog.item_ids)}
    user = {user_id: row for row, user_id in enumerate(world.users.user_ids)}
    personal = defaultdict(dict)
    for judgment in read(market / "truth" / "personal.jsonl.gz"):
        personal[judgment["query"], judgment["user_id"]][judgment["item_id"]] = judgment["grade"]
    asked = {(one["query"], one["user_id"]) for one in read(market / "searches.jsonl.gz")}
    assert set(personal) <= asked
    for (query, who), grades in personal.items():
        assert relevant[query].issuperset(grades)
        taste = {
            one: appeal(world.catalog, world.users, np.array([user[who]]), np.array([[item[one]]]))[0, 0]
            for one in relevant[query]
        }
        others = [taste[one] for one in relevant[query] - set(grades)]
        assert max(others, default=-np.inf) <= min(taste[one] for one in grades)
    shared = [query for query, count in Counter(query for query, _ in personal).items() if count > 1]
    pairs = [[set(grades) for (text, _), grades in personal.items() if text == query][:2] for query in shared]
    assert np.mean([len(one & other) / len(one | other) for one, other in pairs]) < 0.6


def test_two_shoppers_rightly_get_different_products_for_the_same_words(market: Path) -> None:
    right = defaultdict(set)
    for judgment in read(market / "truth" / "shoppers.jsonl.gz"):
        right[judgment["query"], judgment["user_id"]].add(judgment["item_id"])
    users = {user for _, user in right}
    counts = Counter(one["query"] for one in read(market / "searches.jsonl.gz"))
    assert len(users) == 2 and len(right) == 10
    assert min(counts[query] for query, _ in right) > np.mean(list(counts.values()))
    for query in {query for query, _ in right}:
        one, other = (right[query, user] for user in sorted(users))
        assert len(one & other) < 0.4 * len(one | other)


def test_truth_says_what_each_late_search_was_after(market: Path) -> None:
    late = [one for one in read(market / "searches.jsonl.gz") if one["ts"] >= FIRST_DAY + (DAYS - 3) * DAY_MS]
    truth = {one["request_id"]: one for one in read(market / "truth" / "searches.jsonl.gz")}
    assert {one["request_id"] for one in late} == set(truth)
    leaves = {item["category_leaf"] for item in read(market / "catalog.jsonl.gz")}
    assert all(
        one["leaf"] in leaves and set(one["asked"]) <= {"colour", "material", "size", "use"} for one in truth.values()
    )


def test_the_same_words_bring_users_different_pages(market: Path) -> None:
    searches = read(market / "searches.jsonl.gz")
    query = Counter(one["query"] for one in searches).most_common(1)[0][0]
    pages = [set(one["results"]) for one in searches if one["query"] == query]
    pairs = [len(one & other) / len(one | other) for one, other in itertools.pairwise(pages)]
    assert np.mean(pairs) < 0.7


def test_new_items_come_every_day_and_some_are_clicked_for_the_first_time_in_the_last_days(market: Path) -> None:
    entered = {one["item_id"]: (one["updated_at"] - FIRST_DAY) // DAY_MS for one in read(market / "catalog.jsonl.gz")}
    assert set(range(1, DAYS)) <= set(entered.values())
    for search in read(market / "searches.jsonl.gz"):
        day = (search["ts"] - FIRST_DAY) // DAY_MS
        assert all(entered[item] <= day for item in search["results"])
    clicked = [(one["item_id"], (one["ts"] - FIRST_DAY) // DAY_MS) for one in read(market / "actions.jsonl.gz")]
    before = {item for item, day in clicked if day < DAYS - 2}
    assert {item for item, day in clicked if day >= DAYS - 2} - before


def test_demand_moves_with_the_days(tmp_path: Path) -> None:
    simulate(tmp_path, items=300, users=400, days=20, seed=2)
    leaf = {one["item_id"]: one["category_leaf"] for one in read(tmp_path / "catalog.jsonl.gz")}
    shares = []
    for first in (0, 14):
        clicks = Counter(
            leaf[one["item_id"]]
            for one in read(tmp_path / "actions.jsonl.gz")
            if first <= (one["ts"] - FIRST_DAY) // DAY_MS < first + 6
        )
        shares.append({name: count / clicks.total() for name, count in clicks.items()})
    swings = [abs(np.log(shares[0][name] / shares[1][name])) for name in set(shares[0]) & set(shares[1])]
    assert np.mean(swings) > 0.4


def test_in_a_small_shop_most_users_search_once(tmp_path: Path) -> None:
    simulate(tmp_path, items=400, users=4_000, days=10, seed=4, profile="small-shop")
    asked = Counter(one["user_id"] for one in read(tmp_path / "searches.jsonl.gz"))
    assert sum(count == 1 for count in asked.values()) > 0.5 * len(asked)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_smallest_market_of_each_kind_runs(profile: str, tmp_path: Path) -> None:
    users = {"marketplace": 10, "small-shop": 400}[profile]
    counts = simulate(tmp_path, items=200, users=users, days=5, seed=1, profile=profile)
    assert counts.items == len(read(tmp_path / "catalog.jsonl.gz")) == 200


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--items", "3"], "--items 3"),
        (["--days", "1"], "--days 1"),
        (["--users", "0"], "--users 0"),
        (
            ["--profile", "small-shop", "--items", "200", "--users", "10", "--days", "5", "--seed", "1"],
            "--users 10: nobody",
        ),
        (["--output", "/proc/nowhere"], "--output /proc/nowhere"),
    ],
)
def test_mistakes_name_the_flag(flags: list[str], named: str, tmp_path: Path) -> None:
    from preprocessing.command.console import UserError

    with pytest.raises(UserError, match=named):
        main(["--output", str(tmp_path), *flags])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_broken_run_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("preprocessing.marketplace.truth.Truth.add", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, items=300, users=20, days=5, seed=1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
