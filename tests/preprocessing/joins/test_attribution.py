"""Which request an action answers."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.config import JoinConfig
from preprocessing.joins.attribution import NO_REQUEST, Request, attribute
from preprocessing.logs.records import Action

JOIN = JoinConfig(request_window_s=1000, fallback_window_s=100, clock_skew_s=5)


def request(ts: int, request_id: str, results: tuple[str, ...] = ("a", "b")) -> Request:
    return Request(ts, request_id, f"query {request_id}", results)


def action(ts: int, item_id: str = "a", request_id: str = "", kind: str = "click") -> Action:
    return Action(ts, "u", item_id, kind, request_id, "file")


def answered(requests: list[Request], *actions: Action) -> list[int]:
    return [one.request for one in attribute(requests, actions, JOIN)]


def test_an_action_answers_the_request_it_names() -> None:
    assert answered([request(10_000, "r1"), request(20_000, "r2")], action(30_000, "zzz", "r1")) == [0]


def test_a_named_request_counts_for_its_window_only() -> None:
    assert answered([request(0, "r")], action(1_000_000, "a", "r")) == [0]
    assert answered([request(0, "r")], action(1_000_001, "a", "r")) == [NO_REQUEST]


def test_a_little_clock_skew_is_forgiven_and_takes_effect_at_the_request() -> None:
    (one,) = attribute([request(10_000, "r")], [action(5_000, "a", "r")], JOIN)
    assert (one.request, one.effective_ts, one.ts) == (0, 10_000, 5_000)
    assert answered([request(10_000, "r")], action(4_999, "a", "r")) == [NO_REQUEST]


def test_without_a_request_id_the_newest_page_that_showed_the_item_is_answered() -> None:
    pages = [request(0, "r1", ("a",)), request(10_000, "r2", ("a",)), request(20_000, "r3", ("b",))]
    assert answered(pages, action(30_000, "a")) == [1]
    assert answered(pages, action(20_000, "b")) == [2]
    assert answered(pages, action(120_001, "a")) == [NO_REQUEST]
    assert answered(pages, action(30_000, "zzz")) == [NO_REQUEST]


def test_an_unknown_request_id_falls_back_to_the_page() -> None:
    assert answered([request(0, "r1", ("a",))], action(1_000, "a", "other")) == [0]


class CountedPage(tuple):
    """A page that counts how often somebody goes through it."""

    looks = 0

    def __iter__(self) -> Iterator[str]:
        CountedPage.looks += 1
        return super().__iter__()

    def __contains__(self, item: object) -> bool:
        CountedPage.looks += 1
        return super().__contains__(item)


def test_no_page_is_looked_through_for_each_action() -> None:
    CountedPage.looks = 0
    requests = [request(ts, f"r{ts}", CountedPage((f"i{ts}",))) for ts in range(500)]
    attributed = attribute(requests, [action(1_000, f"i{ts}") for ts in range(500)], JOIN)
    assert sorted(one.request for one in attributed) == list(range(500))
    assert 0 < CountedPage.looks <= 500


times = st.integers(0, 300).map(lambda value: value * 1000)
items = st.sampled_from(["a", "b", "c"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(times, st.sets(items)), max_size=12),
    st.lists(st.tuples(times, items, st.integers(0, 15)), max_size=12),
)
def test_as_looked_up_the_slow_way(pages: list[tuple[int, set[str]]], drawn: list[tuple[int, str, int]]) -> None:
    ordered = sorted(pages, key=lambda page: page[0])
    requests = [request(ts, f"r{place}", tuple(sorted(page))) for place, (ts, page) in enumerate(ordered)]
    for ts, item_id, number in drawn:
        named = [place for place, one in enumerate(requests) if one.request_id == f"r{number}"]
        if named:
            expected = named[0] if -5_000 <= ts - requests[named[0]].ts <= 1_000_000 else NO_REQUEST
        else:
            showed = [place for place, one in enumerate(requests) if item_id in one.results]
            recent = [place for place in showed if ts - 100_000 <= requests[place].ts <= ts]
            expected = max(recent, default=NO_REQUEST)
        assert answered(requests, action(ts, item_id, f"r{number}")) == [expected]
