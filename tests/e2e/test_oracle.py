"""Every record recomputed in plain Python from the stated rules; and that no record knows its future."""

from __future__ import annotations

import collections
import math
from typing import Any, NamedTuple

import pytest

from preprocessing.joins.split import Cuts
from tests.e2e import market
from tests.e2e.conftest import Run

Record = dict[str, Any]
DAY = market.DAY
SPLITS = ("train", "validation", "eval")
KIND_IDS = {"click": 1, "collect": 2, "cart": 3, "order": 4}
KINDS = {"long_click": {"click"}, "long_order": {"order"}, "long_collect": {"cart", "collect"}}


class Action(NamedTuple):
    effective: int
    item: str
    action: str
    ts: int
    request: str | None


def unique(records: list[Record], *key: str) -> list[Record]:
    """Each once; of actions that differ in the request id alone the one that has it."""
    ordered = sorted(records, key=lambda one: (one["ts"], not one.get("request_id"), one.get("request_id") or ""))
    return list({tuple(one[name] for name in key): one for one in reversed(ordered)}.values())


class Oracle:
    """The log by user, joined the slow way."""

    def __init__(self, run: Run) -> None:
        self.cuts = Cuts(run.stats["validation_from_ms"], run.stats["eval_from_ms"])
        self.known = {one["item_id"] for one in run.log.catalog}
        self.requests: dict[str, list[Record]] = collections.defaultdict(list)
        for search in unique(run.log.searches, "user_id", "request_id"):
            self.requests[search["user_id"]].append(self._with_all_pages(search, run.log.searches))
        self.actions: dict[str, list[Action]] = collections.defaultdict(list)
        self.unknown: dict[str, list[Action]] = collections.defaultdict(list)  # on items that the catalogue lacks
        for action in unique(run.log.actions, "user_id", "item_id", "action", "ts"):
            kept = self.actions if action["item_id"] in self.known else self.unknown
            kept[action["user_id"]].append(self._attributed(action))

    @staticmethod
    def _with_all_pages(search: Record, log: list[Record]) -> Record:
        same = ("user_id", "request_id", "query")
        pages = [one for one in log if all(one[name] == search[name] for name in same)]
        shown = [item for page in sorted(pages, key=lambda one: one["ts"]) for item in page["results"]]
        return {**search, "results": list(dict.fromkeys(shown))}

    def _attributed(self, action: Record) -> Action:
        mine = self.requests[action["user_id"]]
        named = [one for one in mine if action.get("request_id") and one["request_id"] == action["request_id"]]
        if named:
            late = action["ts"] - named[0]["ts"]
            answered = named[0] if -5_000 <= late <= 86_400_000 else None
        else:
            shown = [
                one
                for one in mine
                if 0 <= action["ts"] - one["ts"] <= 1_800_000 and action["item_id"] in one["results"]
            ]
            answered = max(shown, key=lambda one: (one["ts"], one["request_id"]), default=None)
        effective = max(action["ts"], answered["ts"]) if answered else action["ts"]
        request = answered["request_id"] if answered else None
        return Action(effective, action["item_id"], action["action"], action["ts"], request)

    def stages(self, search: Record) -> dict[str, list[str]]:
        user = search["user_id"]
        acted = self.actions[user] + self.unknown[user]  # an unknown item takes its place, and is left out behind it
        answers = [one for one in acted if one.request == search["request_id"]]
        counted = [one for one in answers if one.effective < self.cuts.end_of(search["ts"])]
        place = {item: number for number, item in enumerate(dict.fromkeys(search["results"]))}
        ordered = {one.item for one in counted if one.action == "order"}
        others = {one.item for one in counted} - ordered
        shown = [item for item in place if item in self.known and item not in {one.item for one in answers}]
        by_place = lambda items: sorted(items, key=lambda item: (place.get(item, len(place)), item))  # noqa: E731
        known = lambda items: [item for item in by_place(items)[:5] if item in self.known]  # noqa: E731
        return {"ordered": known(ordered), "clicked": known(others), "shown": shown[:8]}

    def horizons(self, search: Record) -> dict[str, list[Action]]:
        ts = search["ts"]
        today = ts // DAY * DAY
        spans = {"realtime": (today, ts, 20), "short": (today - 10 * DAY, today, 30)}
        found = {}
        for name in ("realtime", "short", *KINDS):
            since, before, cap = spans.get(name, (today - 30 * DAY, today - 10 * DAY, 30))
            actions = [
                one
                for one in sorted(
                    self.actions[search["user_id"]], key=lambda one: (one.effective, one.item, one.action)
                )
                if since <= one.effective < before and one.action in KINDS.get(name, {one.action})
            ]
            newest: dict[str, Action] = {}
            for one in reversed(actions):
                newest.setdefault(one.item, one)
            found[name] = list(newest.values())[:cap]
        return found

    def previous(self, search: Record) -> list[str]:
        mine = [one for one in self.requests[search["user_id"]] if search["ts"] - 30 * DAY <= one["ts"] < search["ts"]]
        mine.sort(key=lambda one: (one["ts"], one["request_id"]))
        return list(dict.fromkeys(one["query"] for one in reversed(mine)))[:10]


@pytest.fixture(scope="module")
def oracle(finished: Run) -> Oracle:
    return Oracle(finished)


@pytest.fixture(scope="module")
def records(finished: Run) -> dict[str, Record]:
    every = [one for split in SPLITS for one in market.examples(finished.data, split)]
    return {one["request_id"][0].decode(): one for one in every}


def test_every_request_with_an_answer_is_there_with_its_stages(oracle: Oracle, records: dict[str, Record]) -> None:
    expected = {}
    for searches in oracle.requests.values():
        for search in searches:
            stages = oracle.stages(search)
            if stages["ordered"] or stages["clicked"]:
                expected[search["request_id"]] = stages
    assert len(expected) > 200
    found = {
        request_id: {
            stage: [item.decode() for item in record.get(f"{stage}_item_id", [])]
            for stage in ("ordered", "clicked", "shown")
        }
        for request_id, record in records.items()
    }
    assert found == expected


def test_positions_are_those_of_the_page_and_so_are_its_click_rates(
    finished: Run, oracle: Oracle, records: dict[str, Record]
) -> None:
    shown: collections.Counter[int] = collections.Counter()
    clicked: collections.Counter[int] = collections.Counter()
    for user, searches in oracle.requests.items():
        for search in searches:
            place = {item: number for number, item in enumerate(search["results"], 1)}
            if search["request_id"] in records:
                record = records[search["request_id"]]
                for stage in ("ordered", "clicked", "shown"):
                    items = [item.decode() for item in record.get(f"{stage}_item_id", [])]
                    assert record.get(f"{stage}_position", []) == [place.get(item, 0) for item in items]
            if search["ts"] < oracle.cuts.validation:
                acted = [
                    one for one in oracle.actions[user] + oracle.unknown[user] if one.request == search["request_id"]
                ]
                answers = {one.item for one in acted if one.effective < oracle.cuts.validation}
                shown.update(place.values())
                clicked.update(place[item] for item in answers & place.keys())
    assert shown[1] > clicked[1] > 0
    rate = sum(clicked.values()) / sum(shown.values())
    for number, found in enumerate(finished.stats["click_rates"], 1):
        rate = (clicked[number] + 100 * rate) / (shown[number] + 100)
        assert found == pytest.approx(rate, abs=1e-6)


def test_every_history_is_what_came_before(finished: Run, oracle: Oracle, records: dict[str, Record]) -> None:
    first = 1 + 100  # padding and the hash buckets come before the words
    item_of = dict(enumerate(market.vocabulary(finished.data, "item"), start=first))
    filled: collections.Counter[str] = collections.Counter()
    for searches in oracle.requests.values():
        for search in searches:
            if search["request_id"] not in records:
                continue
            record, horizons = records[search["request_id"]], oracle.horizons(search)
            for name, actions in horizons.items():
                assert [item_of[key] for key in record.get(f"{name}_item", [])] == [one.item for one in actions]
                filled[name] += bool(actions)
            for name in ("realtime", "short"):
                kinds = [KIND_IDS[one.action] for one in horizons[name]]
                ages = [max(1, (search["ts"] - one.effective) // 1000) for one in horizons[name]]
                assert (record.get(f"{name}_action", []), record.get(f"{name}_age", [])) == (kinds, ages)
            assert len(record.get("history_word_length", [])) == len(oracle.previous(search))
    assert all(filled[name] > 20 for name in ("realtime", "short", *KINDS))


def test_attributes_are_those_of_the_item(finished: Run, records: dict[str, Record]) -> None:
    fields = {"brand": "brand", "shop": "shop", "leaf": "category_leaf", "top": "category_top"}
    item_of = dict(enumerate(market.vocabulary(finished.data, "item"), start=101))
    catalog = {one["item_id"]: one for one in finished.log.catalog[:200]}
    for name, field in fields.items():
        buckets = 100 if name in ("brand", "shop") else 10
        known = dict(enumerate(market.vocabulary(finished.data, name), start=1 + buckets)) | {0: ""}
        for record in records.values():
            for prefix in ("shown", "clicked", "short", "long_click"):
                items = record.get(f"{prefix}_item", [])
                values = [known[key] for key in record.get(f"{prefix}_{name}", [])]
                assert values == [catalog[item_of[key]][field] for key in items]


def test_no_record_knows_its_future(finished: Run, oracle: Oracle, records: dict[str, Record]) -> None:
    """Straight from the log: an item in a history was acted on before; a label before the next cut."""
    item_of = dict(enumerate(market.vocabulary(finished.data, "item"), start=101))
    for record in records.values():
        ts, user = record["ts"][0], record["user_id"][0].decode()
        earlier = {one.item for one in oracle.actions[user] if one.effective < ts and one.ts < ts}
        for name in ("realtime", "short", *KINDS):
            assert {item_of[key] for key in record.get(f"{name}_item", [])} <= earlier
        end = min((cut for cut in oracle.cuts if ts < cut), default=math.inf)
        labels = record.get("ordered_item_id", []) + record.get("clicked_item_id", [])
        before_cut = {one.item for one in oracle.actions[user] if one.ts < end}
        assert {label.decode() for label in labels} <= before_cut
