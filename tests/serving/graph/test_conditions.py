"""What meets a request's conditions comes back, best first, whatever it is called with and however it is looked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.index.base import Effort
from tests.serving.graph.small_catalogue import (
    BRANDS,
    DIM,
    FRESH,
    ITEMS,
    LEAVES,
    WORDS,
    Asker,
    Catalogue,
    there,
)

# Kinds of index, and what a search of them is said to cost: so all is widened, or all is read from lists.
WAYS = [
    ("brute_force", None),
    *((kind, cost) for kind in ("brute_force", "portable", "scann") for cost in (0, math.inf)),
]
ALL = Effort(40, leaves=100, reorder=ITEMS)  # every leaf: no index then misses what exact search finds


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture(scope="module", params=WAYS)
def ask(request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """Every kind of index, and every way to an answer."""
    kind, cost = request.param
    retrieval = catalogue.retrieval(kind, tmp_path_factory.mktemp(kind), ALL)
    if cost is not None:
        retrieval.index.cost = lambda effort: cost
    return Asker(retrieval)


def test_more_than_are_looked_for_at_once(ask: Asker, catalogue: Catalogue) -> None:
    """Dozens of requests in one call, of which all, some and none are answered by one search."""
    kinds = [{"k": 100}, {"k": 5}, {"k": 40, "required_terms": ["w3"]}, {"k": 9, "price_range": (5.0, math.nan)}]
    requests = [kinds[row % len(kinds)] for row in range(75)]
    embeddings = np.random.default_rng(1).normal(size=(len(requests), DIM)).astype(np.float32)
    for row, found in enumerate(ask(embeddings, requests)):
        assert [one for one, _ in there(found)] == [
            one for one, _ in catalogue.expected(embeddings[row], requests[row])
        ]


def price() -> st.SearchStrategy[float]:
    return st.just(math.nan) | st.integers(0, 52).map(float)


def request() -> st.SearchStrategy[dict[str, Any]]:
    """One, with any conditions or none."""
    words = st.sampled_from([*WORDS, "acme", "unheard"])
    term = words | st.just("") | st.tuples(words, words).map(" ".join)
    ids = st.integers(0, ITEMS + FRESH - 1).map("item{}".format) | st.sampled_from(["", "nobody"])
    return st.fixed_dictionaries(
        {"k": st.sampled_from([0, 1, 5, 40, 100])},
        optional={
            "required_terms": st.lists(term, max_size=3),
            "allowed_leaves": st.lists(st.sampled_from([*LEAVES, "unheard"]), max_size=4),
            "allowed_brands": st.lists(st.sampled_from([*BRANDS, "unheard"]), max_size=3),
            "excluded_items": st.lists(ids, max_size=6),
            "price_range": st.tuples(price(), price()),
        },
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(request(), min_size=1, max_size=4), seed=st.integers(0, 9))
def test_answers(ask: Asker, catalogue: Catalogue, requests: list[dict[str, Any]], seed: int) -> None:
    """The exact best of all that meet the conditions, of a request alone and in any batch."""
    embeddings = np.random.default_rng(seed).normal(size=(len(requests), DIM)).astype(np.float32)
    for row, found in enumerate(ask(embeddings, requests)):
        expected = catalogue.expected(embeddings[row], requests[row])
        assert [one for one, _ in there(found)] == [one for one, _ in expected]
        assert [score for _, score in there(found)] == pytest.approx([score for _, score in expected], abs=1e-4)
        (alone,) = ask(embeddings[row : row + 1], [requests[row]])
        assert [one for one, _ in alone] == [one for one, _ in found]
