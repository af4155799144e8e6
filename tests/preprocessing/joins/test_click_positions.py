"""What is counted of pages: their lengths, and the positions of what was clicked."""

from __future__ import annotations

from preprocessing.data.stats import click_rates
from preprocessing.joins.attribution import AttributedAction, Request
from preprocessing.joins.click_positions import count_positions
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import UserLog

CUTS = Cuts(validation=100, eval=200)


def act(ts: int, item_id: str, request: int, action: str = "click") -> AttributedAction:
    return AttributedAction(ts, item_id, action, ts, request, True, "file")


def test_training_pages_are_counted_answered_or_not_and_each_item_once() -> None:
    requests = [
        Request(0, "r0", "q", ("a", "b", "c")),
        Request(10, "r1", "q", ("a", "b")),
        Request(20, "r2", "q", ()),
        Request(150, "r3", "q", ("a", "b")),  # for validation
    ]
    actions = [
        act(1, "b", 0),
        act(2, "b", 0, "order"),
        act(3, "never shown", 0),
        act(120, "c", 0),  # behind the cut: it labels nothing
        act(151, "a", 3),
    ]
    assert count_positions(UserLog("u", requests, actions), CUTS) == {
        ("position", "pages", "3"): 1,
        ("position", "pages", "2"): 1,
        ("position", "clicked", "2"): 1,
    }


def test_a_long_page_is_as_deep_as_the_deepest_position() -> None:
    long = tuple(str(number) for number in range(300))
    log = UserLog("u", [Request(0, "r", "q", long)], [act(1, "99", 0), act(1, "100", 0)])
    assert count_positions(log, CUTS) == {("position", "pages", "100"): 1, ("position", "clicked", "100"): 1}


def test_a_position_that_few_pages_have_is_like_the_one_before() -> None:
    rates = click_rates({2: 10_000, 3: 1}, {1: 3_000, 2: 1_000})
    assert abs(rates[0] - 0.3) < 0.003
    assert abs(rates[1] - 0.1) < 0.003
    assert abs(rates[2] - rates[1]) < 0.002
    assert click_rates({}, {}) == []
