"""The simulated marketplace: reproducible, well formed, and hard in the ways it claims to be."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from preprocessing.marketplace.engine import PAGE, words_of
from preprocessing.marketplace.lexicon import lexicon
from preprocessing.marketplace.market import DAY_MS, FIRST_DAY
from preprocessing.simulate import main, simulate

DAYS = 8
Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    simulate(folder, items=1500, users=150, days=DAYS, seed=3)
    return folder


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(tmp_path / name, items=300, users=20, days=5, seed=seed)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 6
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
    meant = defaultdict(set)
    for leaf, names in enumerate(lexicon().leaf_names):
        for noun in names.query:
            meant[noun].add(lexicon().top_of[leaf])
    assert {noun for noun in counts if len(meant[noun]) > 1} & {"mouse", "bag", "glasses", "monitor", "case"}


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
        assert {items[item_id]["category_leaf"] for item_id, grade in graded.items() if grade >= 2} <= leaves


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--items", "3"], "--items 3"),
        (["--days", "1"], "--days 1"),
        (["--users", "0"], "--users 0"),
        (["--output", "/proc/nowhere"], "--output /proc/nowhere"),
    ],
)
def test_mistakes_name_the_flag(flags: list[str], named: str, tmp_path: Path) -> None:
    from preprocessing.command.console import UserError

    with pytest.raises(UserError, match=named):
        main(["--output", str(tmp_path), *flags])
    assert not list(tmp_path.iterdir())


def test_a_broken_run_leaves_nothing_that_looks_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("preprocessing.marketplace.truth.Truth.add", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, items=300, users=20, days=5, seed=1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
