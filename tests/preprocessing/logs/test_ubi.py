"""User Behavior Insights documents, made up and real."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from preprocessing.config_input import UbiConfig
from preprocessing.logs import ubi
from preprocessing.logs.records import Action, Excluded, Impression, Rejected, Search, TimeBounds

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
BOUNDS = TimeBounds.between("2000-01-01", "2100-01-01")
CONFIG = UbiConfig()
PARSE = ubi.UbiParser(CONFIG.item_id, CONFIG.position, CONFIG.actions, BOUNDS)
EVENT = {
    "action_name": "click",
    "client_id": "c",
    "query_id": "q",
    "timestamp": "2024-12-10T00:50:30.466Z",
    "event_attributes": {"object": {"object_id": "i"}, "position": {"ordinal": 2}},
}


def parse(**change: object) -> Search | Action | Impression:
    return PARSE({**EVENT, **change}, "f")


def test_a_search_hit_is_the_document_that_it_holds() -> None:
    assert ubi.load(json.dumps({"_index": "ubi_events", "_source": EVENT}).encode()) == EVENT
    assert ubi.load(json.dumps({**EVENT, "_source": "app"}).encode()) == {**EVENT, "_source": "app"}


def test_events_by_their_meaning() -> None:
    ts = 1_733_791_830_466
    assert parse() == Action(ts, "c", "i", "click", "q", "f")
    assert parse(action_name="add_to_cart").action == "cart"  # type: ignore[union-attr]
    assert parse(action_name="purchase").action == "order"  # type: ignore[union-attr]
    assert parse(action_name="impression") == Impression(ts, "c", "q", "i", 2, "f")


def test_a_query_with_what_it_answered() -> None:
    document = {"client_id": "c", "query_id": "q", "user_query": "tv", "timestamp": 1_717_527_762_025}
    assert PARSE(document, "f") == Search(1_717_527_762_025, "q", "c", "tv", (), "f")
    assert PARSE({**document, "query_response_object_ids": ["2", "1"]}, "f").results == ("2", "1")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["page_exit", "", None, ["click"]])
def test_other_events_are_left_out(name: object) -> None:
    with pytest.raises(Excluded, match="other event"):
        parse(action_name=name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"timestamp": None}, "missing ts"),
        ({"client_id": None}, "missing user_id"),
        ({"event_attributes": None}, "missing item_id"),
        ({"action_name": "impression", "query_id": None}, "missing request_id"),
        ({"action_name": "impression", "event_attributes": {"object": {"object_id": "i"}}}, "missing position"),
        ({"action_name": "impression", "timestamp": 3}, "ts out of bounds"),
    ],
)
def test_what_cannot_be_used(change: dict[str, object], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        parse(**change)


def test_lines_of_every_dialect() -> None:
    assert ubi.load(b'{"a": 1}') == {"a": 1}
    assert ubi.load(b'ubi_events\t{"a": 1}') == {"a": 1}
    with pytest.raises(Excluded, match="bulk header"):
        ubi.load(b'{"index": {"_index": "ubi_events"}}')
    for line in (b"{", b"words", b"\xff\xfe"):
        with pytest.raises(Rejected, match="unparsable"):
            ubi.load(line)
    with pytest.raises(Rejected, match="not an object"):
        ubi.load(b"[1]")


@pytest.mark.parametrize(
    ("name", "item_id", "least"),
    [
        ("ubi/ubi_queries_events.ndjson", CONFIG.item_id, {Search: 400, Action: 500, Impression: 1999}),
        ("chorus/ubi_log.tsv.gz", "event_attributes.object.internal_id", {Search: 4130, Action: 5504}),
    ],
)
def test_real_logs(name: str, item_id: str, least: dict[type, int]) -> None:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    reader = ubi.UbiParser(item_id, CONFIG.position, CONFIG.actions, BOUNDS)
    kinds: Counter[type] = Counter()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            try:
                kinds[type(reader(ubi.load(line), "f"))] += 1
            except Excluded:
                kinds[Excluded] += 1
    assert all(kinds[kind] >= count for kind, count in least.items()), json.dumps({str(k): v for k, v in kinds.items()})
