"""Events of Google Analytics 4's export: made up one by one, and the shipped sample as a whole."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.config import JoinConfig
from preprocessing.config_input import Ga4Config, InputConfig
from preprocessing.joins.user_log import UserEvents
from preprocessing.logs.ga4 import Ga4Parser
from preprocessing.logs.parse import document_loader, parser
from preprocessing.logs.records import Action, Excluded, Rejected, Search, TimeBounds
from preprocessing.logs.sources import records_in

SAMPLES = Path(__file__).resolve().parents[3] / "examples" / "logs"
BOUNDS = TimeBounds.between("2000-01-01", "2100-01-01")
MICROSECONDS, MILLISECONDS = 1_717_232_400_123_456, 1_717_232_400_123
PAGE = "https://shop.example/find?q=red+shoes&page=2"


def event(name: str, items: list[dict[str, Any]] | None = None, **change: Any) -> dict[str, Any]:
    parameters = change.pop("parameters", {"page_location": PAGE, "ga_session_id": 5})
    return {
        "event_name": name,
        "event_timestamp": MICROSECONDS,
        "user_pseudo_id": "1.2",
        "event_params": [
            {"key": key, "value": {"string_value" if isinstance(value, str) else "int_value": value}}
            for key, value in parameters.items()
        ],
        "items": items or [],
        **change,
    }


def read(document: dict[str, Any], ignored: list[str] | None = None, **settings: Any) -> list[Search | Action]:
    return Ga4Parser(Ga4Config(**settings), BOUNDS)(document, "f", [] if ignored is None else ignored)


def test_a_search_knows_its_words_by_a_parameter_or_by_the_address() -> None:
    (search,) = read(event("view_search_results", parameters={"search_term": " red   shoes "}))
    assert (search.ts, search.user_id, search.query, search.results) == (MILLISECONDS, "1.2", "red shoes", ())  # type: ignore[union-attr]
    (search,) = read(event("view_search_results"))
    assert search.query == "red shoes"  # type: ignore[union-attr]
    (search,) = read(
        event(
            "view_search_results",
            parameters={"page_location": "https://s/?wort=Schuhe"},
        ),
        search_parameters=("wort",),
    )
    assert search.query == "Schuhe"  # type: ignore[union-attr]


def test_a_list_shows_what_was_searched_in_the_order_of_its_places() -> None:
    items = [{"item_id": f"i{place}", "item_list_index": str(place)} for place in (2, 10, 1)]
    (shown,) = read(event("view_item_list", items))
    (search,) = read(event("view_search_results"))
    assert shown.results == ("i1", "i2", "i10")  # type: ignore[union-attr]
    assert shown.request_id == search.request_id
    (as_they_come,) = read(event("view_item_list", [*items, {"item_id": "i3", "item_list_index": "(not set)"}]))
    assert as_they_come.results == ("i2", "i10", "i1", "i3")  # type: ignore[union-attr]


def test_what_lists_show_becomes_one_page_of_their_search() -> None:
    first, second = ([{"item_id": f"i{number}"} for number in numbers] for numbers in ((1, 2), (2, 3)))
    user = UserEvents(100)
    for place, (name, items) in enumerate(
        (("view_search_results", []), ("view_item_list", first), ("view_item_list", second))
    ):
        for record in read(event(name, items, event_timestamp=MICROSECONDS + place * 1_000_000)):
            user.add(record)
    (click,) = read(event("select_item", [{"item_id": "i3"}], event_timestamp=MICROSECONDS + 60_000_000))
    user.add(click)
    log = user.log("1.2", JoinConfig())
    ((request),) = log.requests
    assert request.results == ("i1", "i2", "i3")
    assert [(action.item_id, action.request, action.named) for action in log.actions] == [("i3", 0, True)]


def test_a_list_of_the_page_that_shows_something_else_is_left_out_where_the_lists_are_named() -> None:
    recommended = event("view_item_list", [{"item_id": "i", "item_list_name": "you may like"}])
    assert read(recommended)
    with pytest.raises(Excluded, match="list without a search"):
        read(recommended, lists=("results",))
    assert read(event("view_item_list", [{"item_id": "i", "item_list_id": "results"}]), lists=("results",))
    with pytest.raises(Excluded, match="list without a search"):
        read(event("view_item_list", [{"item_id": "i"}], parameters={"page_location": "https://shop.example/"}))


def test_an_event_of_several_items_is_an_action_on_each() -> None:
    ignored: list[str] = []
    items = [{"item_id": "a"}, {"item_id": "(not set)"}, {"item_id": 7}, {"item_id": "a"}]
    bought = read(event("purchase", items, parameters={"page_location": "https://shop.example/thanks"}), ignored)
    assert bought == [Action(MILLISECONDS, "1.2", name, "order", "", "f") for name in ("a", "7")]
    assert ignored == ["item_id"]
    assert [one.action for one in read(event("view_item", items), actions={"view_item": "click"})] == ["click", "click"]  # type: ignore[union-attr]


def test_a_search_is_told_from_another_by_user_session_and_words_or_by_its_own_id() -> None:
    changes = {
        "same": {"event_timestamp": MICROSECONDS + 1},
        "user": {"user_pseudo_id": "other"},
        "words": {"parameters": {"search_term": "boots", "ga_session_id": 5}},
        "session": {"parameters": {"search_term": "red shoes", "ga_session_id": 6}},
        "no session": {"parameters": {"search_term": "red shoes"}},
        "another day": {"parameters": {"search_term": "red shoes"}, "event_timestamp": MICROSECONDS + 86_400_000_000},
    }
    ids = {name: read(event("view_search_results", **change))[0].request_id for name, change in changes.items()}
    assert len(set(ids.values())) == len(changes)
    assert ids["same"] == read(event("view_search_results"))[0].request_id
    own = {"search_term": "boots", "search_id": "mine"}
    assert read(event("view_search_results", parameters=own))[0].request_id == "mine"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (event("page_view"), "other event"),
        (event("select_item", [{"item_id": "a"}], event_name=None), "other event"),
        (event("select_item", [{"item_id": "a"}], event_name=["purchase"]), "other event"),
        (event("select_item", [{"item_id": "a"}], user_pseudo_id=None), "no user"),
        (event("view_search_results", parameters={}), "empty query"),
    ],
)
def test_what_is_left_out_by_rule(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(Excluded, match=reason):
        read(document)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (event("select_item"), "missing item_id"),
        (event("select_item", [{"item_id": "(not set)"}]), "missing item_id"),
        (event("select_item", [{"item_id": ["a"]}]), "bad item_id"),
        (event("select_item", [{"item_id": "a"}], user_pseudo_id={}), "bad user_pseudo_id"),
        (event("select_item", [{"item_id": "a"}], event_timestamp="soon"), "bad ts"),
        (event("select_item", [{"item_id": "a"}], event_timestamp=3), "ts out of bounds"),
        (event("view_search_results", event_timestamp=None, parameters={"search_term": "x"}), "missing ts"),
    ],
)
def test_what_cannot_be_used(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        read(document)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["(not set)", "http://[x?q=1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "value", "item_id", "string_value"]), inner)
    ),
    max_leaves=8,
)


@given(
    name=st.sampled_from(["view_search_results", "view_item_list", "select_item", "purchase"]),
    change=st.dictionaries(
        st.sampled_from(["event_timestamp", "event_params", "items", "user_pseudo_id", "event_name"]), ANYTHING
    ),
    page=ANYTHING,
)
def test_no_event_raises_anything_else(name: str, change: dict[str, Any], page: Any) -> None:
    parameters = [
        {"key": "page_location", "value": {"string_value": page}},
        {"key": "search_id", "value": {"int_value": page}},
    ]
    document = {**event(name, [{"item_id": "a"}]), "event_params": parameters, **change}
    with contextlib.suppress(Excluded, Rejected):
        assert read(document)


def of_sample(ending: str) -> list[Search | Action]:
    config = InputConfig(format="ga4")
    load, parse = document_loader("ga4", config), parser("ga4", config)
    found: list[Any] = []
    for raw in records_in("ga4", str(SAMPLES / f"events.{ending}")):
        try:
            found += parse(load(raw), "f", 0, [])  # type: ignore[operator]
        except Excluded:
            continue
    return found


def test_the_sample_holds_the_shops_searches_and_actions() -> None:
    found = of_sample("jsonl.gz")
    config = InputConfig()
    streams = {
        name: [
            parser(name, config)(document_loader(name, config)(raw), "f", 0, [])
            for raw in records_in(name, str(SAMPLES / f"{name}.jsonl.gz"))
        ]
        for name in ("searches", "actions")
    }
    requests: dict[str, list[Search]] = {}
    for search in (one for one in found if isinstance(one, Search)):
        requests.setdefault(search.request_id, []).append(search)
    shown = Counter((own.user_id, own.query, own.results) for own in streams["searches"])
    assert Counter((parts[0].user_id, parts[0].query, parts[-1].results) for parts in requests.values()) == shown
    actions = Counter((own.ts, own.user_id, own.item_id, own.action) for own in streams["actions"])
    assert Counter(one[:4] for one in found if isinstance(one, Action)) == actions
    named = [one.request_id for one in found if isinstance(one, Action) and one.action == "click"]
    assert named and set(named) <= requests.keys()


def test_the_sample_says_the_same_in_each_format() -> None:
    for one, other in itertools.pairwise(("jsonl.gz", "parquet", "avro")):
        assert of_sample(one) == of_sample(other)
