"""The demo's two users: of unlike taste, with a past, and marked where what they are shown is right for them."""

from __future__ import annotations

import collections
import types
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from serving.demo import __main__ as demo
from serving.demo.shoppers import Market, read_market


@pytest.fixture(scope="module")
def market(market: Path) -> Market:
    return read_market(market / "raw")


def test_two_busy_users_with_a_past_and_the_queries_that_are_searched_most(market: Market) -> None:
    assert len(market.queries) == 5 and len(market.shoppers) == 2
    for shopper in market.shoppers:
        assert " and " in shopper.likes
        assert shopper.user.history_queries and shopper.user.short_items
        assert set(shopper.right) <= set(market.queries)
    one, other = (set().union(*shopper.right.values()) for shopper in market.shoppers)
    assert len(one & other) < len(one | other) / 2


def test_what_is_right_for_a_shopper_bears_a_tick_and_is_counted(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneIsRight:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> OneIsRight:
            return self

        def __exit__(self, *_: object) -> None: ...

        def retrieve(self, query: str, k: int, user: Any = None) -> Any:
            right = [one for shopper in market.shoppers if shopper.user is user for one in sorted(shopper.right[query])]
            wrong = [item for item in market.titles if not any(item in one.right[query] for one in market.shoppers)]
            return types.SimpleNamespace(
                hits=[types.SimpleNamespace(item_id=one) for one in (right[:1] + wrong)[:k]],
            )

    monkeypatch.setattr(demo, "Retriever", OneIsRight)
    console = Console(record=True, width=250)
    demo.ask("nowhere", market, console, tmp_path / "log")
    said = console.export_text()
    counts = collections.Counter(bool(shopper.right[query]) for shopper in market.shoppers for query in market.queries)
    assert said.count("✓ ") == counts[True] > 0
    assert f"Of 30 products {counts[True]} are right for whom they are shown to" in said
