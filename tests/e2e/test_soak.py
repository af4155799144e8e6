"""How the soak judges: memory, the books of versions, answers; and the shop that it lives in."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.soak.clients import Tally, wrong_in
from benchmarks.soak.ledger import Entry, Ledger, folder_faults
from benchmarks.soak.memory import judged
from benchmarks.soak.merges import wrong_merge
from benchmarks.soak.placed import Placed
from benchmarks.soak.shop import Shop
from preprocessing.marketplace.catalog import DAY_MS, FIRST_DAY
from serving.retriever.answers import Answer, Hit

LEAF_OF = {"a": "shoes", "b": "shoes", "c": "lamps"}


def test_memory_is_flat_behind_its_warm_up() -> None:
    found = judged([500, 700, 900, *[1000] * 5, 1300, 1000])
    assert (found.mib_a_sample, found.growth, found.flat) == (0.0, 0.0, True)
    assert judged([1000 - n for n in range(12)]).flat


def test_a_constant_amount_a_version_is_a_leak() -> None:
    found = judged([900 + 10.0 * n for n in range(12)])
    assert (found.mib_a_sample, found.flat) == (10.0, False)
    assert found.growth == pytest.approx(70 / 975, abs=1e-4)  # samples 4 to 11, over the median of 940 to 1010


def test_of_a_short_series_nothing_is_said() -> None:
    assert judged([1.0, 2.0, 4.0, 8.0]).flat is None
    assert judged([]).mib == []


def books(fate: str = "published") -> Ledger:
    """Version 1 with two shoes and a lamp, served; version 2 of a fate."""
    ledger = Ledger()
    ledger.enter(Entry(1, "first", 0, "published", frozenset(LEAF_OF)))
    ledger.answered(1, {"a"}, None)
    ledger.answered(1, {"a", "b"}, "shoes")
    ledger.enter(Entry(2, "refresh", 1, fate, frozenset({"a", "c"})))
    return ledger


def test_a_version_is_served_by_what_it_was_made_of() -> None:
    ledger = books()
    ledger.status("x", {2: ("AVAILABLE", ""), 1: ("END", "")})
    ledger.answered(2, {"c"}, None)
    ledger.answered(2, {"a"}, "shoes")
    assert ledger.faults(LEAF_OF) == []
    assert ledger.counts() == {"published": 2, "rejected": 0, "corrupt": 0, "unnamed": 0, "served": 2}


def test_what_does_not_add_up() -> None:
    ledger = books()
    assert ledger.faults(LEAF_OF) == ["version 2 (refresh): no server had it, no client an answer of it"]
    ledger.answered(2, {"a", "b"}, "shoes")
    ledger.status("x", {2: ("END", "broken"), 4: ("AVAILABLE", "")})
    assert ledger.faults(LEAF_OF) == [
        "version 3 was never heard of",
        "version 2 (refresh): x could not load it",
        "version 2 (refresh): answers held ['b'], 1 in all, that it must not have",
        "version 2 (refresh): leaf 'shoes' has 1 items, answers had [2]",
        "version 4 was seen, and nobody made it",
    ]


def test_what_was_turned_down_or_broken_is_not_served() -> None:
    assert books("rejected").faults(LEAF_OF) == []
    broken = books("corrupt")
    assert broken.faults(LEAF_OF) == ["version 2 (refresh): no server reported it"]
    broken.status("x", {2: ("END", "no graph")})
    assert (broken.faults(LEAF_OF), broken.refused_by(2)) == ([], {"x"})
    broken.answered(2, {"a"}, None)
    assert broken.faults(LEAF_OF) == ["version 2 (refresh): it was served"]
    unnamed = books("unnamed")
    unnamed.status("x", {2: ("AVAILABLE", "")})
    assert unnamed.faults(LEAF_OF) == []
    unnamed.answered(2, {"a"}, None)
    assert unnamed.faults(LEAF_OF) == ["version 2 (refresh): it was served"]


def test_what_is_left_in_the_model_folder(tmp_path: Path) -> None:
    fates = {1: "published", 2: "rejected", 3: "published", 4: "corrupt", 5: "published"}
    mine = frozenset({"retrieval"})
    entries = {
        number: Entry(number, "refresh", 0, fate, models=frozenset() if fate == "rejected" else mine)
        for number, fate in fates.items()
    }
    for name in ("rejected-2", "3", "4", "5"):
        (tmp_path / name).mkdir()
    for number in (3, 5):
        (tmp_path / f"manifest-{number}.json").touch()
    placed = Placed(tmp_path, shards=0)
    assert folder_faults(placed, entries, keep=3) == []
    (tmp_path / ".staging-77").mkdir()
    (tmp_path / "manifest-5.json").unlink()
    (tmp_path / "3").rmdir()
    name = tmp_path.name
    assert folder_faults(placed, entries, keep=1) == [
        f".staging-77 is left in {name}",
        f"manifest-3.json is left in {name}",
        f"manifest-5.json is missing in {name}",
    ]


def test_what_is_left_in_the_folders_of_shards(tmp_path: Path) -> None:
    """Version 2 was placed in the query's folder alone, 3 is damaged, 4 has a claim of a command that was killed."""
    names = ("query", "shard-00000-of-00001")
    listed = [{"name": name, "target": "x"} for name in names]
    (tmp_path / "shards.json").write_text(json.dumps({"version": 1, "query": listed[0], "shards": listed[1:]}))
    lying = {"query": {1: "published", 2: "unnamed"}, names[1]: {1: "published", 3: "corrupt"}}
    entries = {}
    for number, fate in ((1, "published"), (2, "unnamed"), (3, "corrupt")):
        where = frozenset(name for name in names if number in lying[name])
        entries[number] = Entry(number, "refresh", 0, fate, models=where)
    for name, fates in lying.items():
        for number, fate in fates.items():
            (tmp_path / name / str(number)).mkdir(parents=True)
            if fate != "corrupt":
                (tmp_path / name / f"manifest-{number}.json").touch()
    (tmp_path / names[1] / ".claim-4").mkdir()
    (tmp_path / names[1] / "manifest-4.json").touch()
    placed = Placed(tmp_path, shards=1)
    assert (placed.latest(), placed.versions(), placed.holders(1)) == (1, [1, 2, 3], frozenset(names))
    assert folder_faults(placed, entries, keep=3) == []
    (tmp_path / names[1] / "manifest-5.json").touch()
    (tmp_path / "strange").touch()
    (tmp_path / "query" / "3").mkdir()
    assert folder_faults(placed, entries, keep=3) == [
        f"strange is left in {tmp_path.name}",
        "manifest-3.json is missing in query",
        "query has versions [1, 2, 3] of [1, 2]",
        f"manifest-5.json is left in {names[1]}",
    ]


def test_no_answer_may_be_short_unordered_or_double() -> None:
    def said(*hits: tuple[str, float], wanted: int | None = 2, **versions: int) -> str | None:
        return wrong_in(Answer([Hit(*hit) for hit in hits], versions=versions or {"a": 1}), wanted)

    assert said(("a", 2.0), ("b", 2.0)) is None
    assert said(("a", 2.0), wanted=None) is None
    assert said(("a", 2.0)) == "1 items"
    assert said(("a", 1.0), ("b", 2.0)) == "not best first"
    assert said(("a", 2.0), ("a", 2.0)) == "an item twice"
    assert said(("a", 2.0), ("b", 2.0), one=3, other=3) is None
    assert said(("a", 2.0), ("b", 2.0), one=3, other=4) == "of several versions"


SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-3, 3).map(float), min_size=1)


@given(SCORES, st.integers(1, 9), st.randoms())
def test_the_best_of_all_shards_are_a_merge_in_whatever_order_ties_are(
    scores: dict[str, float], k: int, chance: random.Random
) -> None:
    shuffled = chance.sample(sorted(scores.items()), len(scores))
    hits = sorted(shuffled, key=lambda hit: -hit[1])[:k]
    assert wrong_merge([(one, score + 1e-6) for one, score in hits], k, scores) is None


@given(SCORES, st.integers(1, 9), st.data())
def test_anything_else_is_none(scores: dict[str, float], k: int, data: st.DataObject) -> None:
    """Without an item, with one of another version, by the vector of another, or without what a shard had better."""
    hits = sorted(scores.items(), key=lambda hit: -hit[1])[:k]
    place = data.draw(st.integers(0, len(hits) - 1))
    assert wrong_merge(hits[:place] + hits[place + 1 :], k, scores)
    assert wrong_merge([*hits[:place], ("z", hits[place][1]), *hits[place + 1 :]], k, scores)
    assert wrong_merge([(one, score + 0.01) for one, score in hits], k, scores)
    assert wrong_merge(hits, k, scores | {"y": hits[-1][1] + 0.5})


def test_latencies_are_kept_by_bucket() -> None:
    tally = Tally()
    for seconds in [0.00005] * 98 + [1.0, 3.0]:
        tally.answered(seconds)
    tally.failed("UNAVAILABLE", "gone")
    assert (tally.requests, tally.percentile_ms(0.5), tally.failures.total()) == (101, 0.1, 1)
    assert 1000 <= tally.percentile_ms(0.99) < 1250
    assert tally.samples == ["UNAVAILABLE: gone"]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """200 items, 12 days of two searches and an action each; a window of 4."""
    ids = [f"P{n}" for n in range(200)]
    fields = {"title": "t", "brand": "b", "shop": "s", "category_leaf": "l", "category_top": "t", "in_stock": True}
    catalog = [{"item_id": one, **fields} for one in ids]
    days = [FIRST_DAY + day * DAY_MS for day in range(12)]
    asked = {"user_id": "u", "query": "q", "results": ids}
    searches = [{"request_id": f"{ts}-{n}", "ts": ts + n * 1000, **asked} for ts in days for n in range(2)]
    actions = [
        {"ts": ts + 500, "user_id": "u", "item_id": ids[n], "action": "click"} for ts in days for n in range(0, 200, 10)
    ]
    for stream, records in (("catalog", catalog), ("searches", searches), ("actions", actions)):
        with gzip.open(tmp_path / f"{stream}.jsonl.gz", "wb") as file:
            file.write(b"".join(orjson.dumps(one) + b"\n" for one in records))
    return Shop(tmp_path, tmp_path / "raw", window=4, seed=3)


def test_days_arrive_with_what_is_there(shop: Shop, tmp_path: Path) -> None:
    came, went = set(), set()
    for day in range(11):
        before, coming, leaving = shop.live, {one["item_id"] for one in shop.coming()}, shop.leaving()
        shop.arrive()
        catalog = [json.loads(line) for line in (tmp_path / "raw" / "catalog.jsonl").read_text().splitlines()]
        known = {one["item_id"] for one in catalog}
        assert shop.live == {one["item_id"] for one in catalog if one["in_stock"]}
        assert coming <= known and not coming & before and not leaving & shop.live
        assert not went & shop.live, "what has left comes never again"
        came, went = came | coming, went | leaving
        files = sorted(path.name for path in (tmp_path / "raw").glob("searches-*"))
        assert files == [f"searches-{n:04d}.jsonl" for n in range(max(0, day - 3), day + 1)]
        for path in (tmp_path / "raw").glob("*-*.jsonl"):
            assert set(re.findall(r"P\d+", path.read_text())) <= known
    assert came and went


def test_questions_come_with_their_users_past(shop: Shop) -> None:
    for _ in range(3):
        shop.arrive()
    first, second = sorted(shop.questions(), key=lambda one: len(one.user.realtime_items))
    assert first.user.realtime_items == [] and len(second.user.realtime_items) == 20
    assert len(first.user.short_items) == 20 and second.user.history_queries == ["q"]
