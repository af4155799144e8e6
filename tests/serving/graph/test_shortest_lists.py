"""Which list a request is answered from, and when it is read rather than searched around."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from serving.graph.conditions import Conditions
from serving.graph.over_retrieval import OverRetrieval
from serving.graph.shortest_lists import LookedUp, ShortestLists, first_searches
from serving.index.base import Effort
from tests.serving.graph.small_catalogue import ITEMS, Catalogue, inputs_of


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture(scope="module")
def retrieval(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> OverRetrieval:
    return catalogue.retrieval("brute_force", tmp_path_factory.mktemp("lists"), Effort(10))


def looked_up(retrieval: OverRetrieval, *requests: dict[str, Any]) -> LookedUp:
    """The conditions of some requests."""
    return retrieval.look_up(Conditions.read(inputs_of(requests), retrieval.items.wanted_words))


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
    found = looked_up(retrieval, by_words, by_leaves, by_brand, by_price, nothing, {}).lists
    assert found.has_list.numpy().tolist() == [True] * 5 + [False]
    for row, rows in enumerate(expected):
        pieces = zip(found.begins[row].numpy(), found.ends[row].numpy(), strict=True)
        held = [retrieval.filter.lists.rows_at(tf.range(*piece)).numpy() for piece in pieces]
        assert sorted(np.concatenate(held)) == rows
        assert found.lengths[row] == len(rows)


def test_what_a_list_answers_is_not_asked_of_its_items(retrieval: OverRetrieval) -> None:
    """All other conditions are."""
    both = {"allowed_leaves": ["hats"], "allowed_brands": ["", "acme"], "required_terms": ["w0"]}
    requests = [
        both | {"price_range": (7.0, 7.5)},
        both | {"price_range": (1.0, 50.0)},
        {"required_terms": ["w9", "w0"], "price_range": (1.0, 50.0)},
        {"allowed_brands": ["nord"], "required_terms": ["w0"]},
    ]
    rest = looked_up(retrieval, *requests).rest
    asked = [rest.leaves, rest.brands, rest.word_numbers]
    left = [tf.math.count_nonzero(one >= 0, axis=1).numpy().tolist() for one in asked]
    assert left == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert rest.priced.numpy().tolist() == [False, True, True, False]


def test_a_share_is_that_of_all_conditions_together(retrieval: OverRetrieval, catalogue: Catalogue) -> None:
    found = looked_up(
        retrieval, {"required_terms": ["w0"], "allowed_leaves": ["shoes"]}, {"price_range": (1.0, math.nan)}
    ).lists
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
    found = ShortestLists(none, none, tf.constant(lengths), tf.constant(shares), tf.constant(has_list))
    costs = {10: 5.0, 80: 50.0}

    class Costly:
        def cost(self, effort: Effort) -> float:
            return costs[effort.candidates]

    first = first_searches(found, tf.constant([4] * 7), Costly(), [Effort(10), Effort(80)])  # type: ignore[arg-type]
    assert first.numpy().tolist() == [0, 2, 2, 1, 2, 0, 2]
