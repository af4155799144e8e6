"""Which items of the pool a request's own log, or that of others with its query, calls relevant."""

from __future__ import annotations

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import HardNegativeMask
from trainer.losses.false_negatives import FalseNegatives

REQUESTS = st.lists(
    st.tuples(st.integers(0, 2), *(st.lists(st.integers(1, 6), max_size=3) for _ in range(3))), min_size=1, max_size=5
)
POOL = st.lists(st.integers(1, 8), max_size=8)


def keyed(requests: list[tuple[int, list[int], list[int], list[int]]]) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    queries, *stages = zip(*requests, strict=True)
    found: dict[str, tf.Tensor | tf.RaggedTensor] = {"query_key": tf.constant(queries, tf.int64)}
    for name, lists in zip(("ordered", "clicked", "shown"), stages, strict=True):
        found[f"{name}_key"] = tf.ragged.constant(lists, tf.int64, ragged_rank=1, inner_shape=())
    return found


@settings(max_examples=25, deadline=None)
@given(REQUESTS, POOL)
def test_places_are_those_that_comparing_all_with_all_finds(
    requests: list[tuple[int, list[int], list[int], list[int]]], pool: list[int]
) -> None:
    expected: dict[HardNegativeMask, set[tuple[int, int]]] = {"request": set(), "shown": set(), "query": set()}
    for row, (query, ordered, clicked, shown) in enumerate(requests):
        alike = {key for other in requests if other[0] == query for key in (*other[1], *other[2])} if query else set()
        for place, key in enumerate(pool):
            expected["request"] |= {(row, place)} if key in (*ordered, *clicked) else set()
            expected["shown"] |= {(row, place)} if key in shown else set()
            expected["query"] |= {(row, place)} if key in alike else set()
    keys, features = tf.constant(pool, tf.int64), keyed(requests)
    for mask, places in expected.items():
        assert {(row, place) for row, place in FalseNegatives([mask]).places(features, keys).numpy()} == places
    together = FalseNegatives(["query", "shown"]).places(features, keys).numpy()
    assert {(row, place) for row, place in together} == expected["query"] | expected["shown"]


@pytest.mark.parametrize(
    ("mask", "columns"),
    [
        ([], set()),
        (["leaf"], set()),
        (["request"], {"ordered_item_id", "clicked_item_id"}),
        (["shown"], {"shown_item_id"}),
        (["query"], {"ordered_item_id", "clicked_item_id", "query"}),
    ],
)
def test_only_what_is_needed_is_read(mask: list[HardNegativeMask], columns: set[str]) -> None:
    assert FalseNegatives(mask).columns == columns
