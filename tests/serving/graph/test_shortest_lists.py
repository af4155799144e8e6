"""Which list a request is answered from, and when it is read rather than searched around."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from serving.graph.conditions import Conditions
from serving.graph.over_retrieval import OverRetrieval
from serving.graph.shortest_lists import ShortestLists, first_searches, shortest_lists
from serving.index.base import Effort
from tests.serving.graph.small_catalogue import ITEMS, Catalogue, inputs_of


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture(scope="module")
def retrieval(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> OverRetrieval:
    return catalogue.retrieval("brute_force", tmp_path_factory.mktemp("lists"), Effort(10))


def lists_of(retrieval: OverRetrieval, *requests: dict[str, Any]) -> ShortestLists:
    """Of some requests."""
    conditions = Conditions.read(inputs_of(requests), retrieval.items.wanted_words)
    return shortest_lists(retrieval.filter.look_up(conditions), retrieval.filter.lists)


def test_the_shortest_list_is_taken(retrieval: OverRetrieval, catalogue: Catalogue) -> None:
    """Whatever condition it is of; an item's leaf named twice counts once, and what nobody has leaves nothing."""
    by_words = {"required_terms": ["w0 w9"]}
    by_leaves = {"required_terms": ["w0"], "allowed_leaves": ["hats", "coats", "hats"]}
    by_brand = {"allowed_brands": ["nord"], "allowed_leaves": ["shoes", "bags", "hats", "coats"]}
    by_price = {"required_terms": ["w0"], "price_range": (7.0, 7.5)}
    nothing = {"required_terms": ["w0", "unheard"]}
    indexed = list(enumerate(catalogue.items[:ITEMS]))
    expected = [
        [row for row, _ in indexed if "w9" in catalogue.words[row]],
        [row for row, item in indexed if item.leaf in ("hats", "coats")],
        [row for row, item in indexed if item.brand == "nord"],
        [row for row, item in indexed if 7 <= item.price <= 7.5],
        [],
    ]
    found = lists_of(retrieval, by_words, by_leaves, by_brand, by_price, nothing, {})
    assert found.has_list.numpy().tolist() == [True] * 5 + [False]
    for row, rows in enumerate(expected):
        pieces = zip(found.begins[row].numpy(), found.ends[row].numpy(), strict=True)
        held = [retrieval.filter.lists.rows_at(tf.range(*piece)).numpy() for piece in pieces]
        assert sorted(np.concatenate(held)) == rows
        assert found.lengths[row] == len(rows)


def test_a_share_is_that_of_all_conditions_together(retrieval: OverRetrieval, catalogue: Catalogue) -> None:
    found = lists_of(
        retrieval, {"required_terms": ["w0"], "allowed_leaves": ["shoes"]}, {"price_range": (1.0, math.nan)}
    )
    indexed = range(ITEMS)
    words = sum("w0" in catalogue.words[row] for row in indexed) / ITEMS
    leaf = sum(catalogue.items[row].leaf == "shoes" for row in indexed) / ITEMS
    priced = sum(catalogue.items[row].price >= 1 for row in indexed) / ITEMS
    assert found.shares.numpy() == pytest.approx([words * leaf, priced])


def test_a_list_is_read_where_that_is_no_dearer(retrieval: OverRetrieval) -> None:
    """Efforts of 10 and 80 candidates that cost 5 and 50: the cheapest that may be expected to find 2 k, or a list."""
    lengths = np.array([6, 5, 40, 51, 300, 300, 0], np.int64)
    shares = np.array([0.9, 0.9, 0.3, 0.3, 0.01, 1.0, 0.0], np.float32)
    has_list = np.array([True] * 5 + [False, True])
    none = tf.zeros([7, 0], tf.int64)
    found = ShortestLists(none, none, tf.constant(lengths), tf.constant(shares), tf.constant(has_list), none)
    costs = {10: 5.0, 80: 50.0}

    class Costly:
        def cost(self, effort: Effort) -> float:
            return costs[effort.candidates]

    first = first_searches(found, tf.constant([4] * 7), Costly(), [Effort(10), Effort(80)])  # type: ignore[arg-type]
    assert first.numpy().tolist() == [0, 2, 2, 1, 2, 0, 2]
