"""Every signature of every kind of index, against the exact answer worked out by hand in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.inputs import FILTERS, ITEM_INPUTS, ITEM_LISTS
from tests.serving.conftest import Client
from tests.serving.experiment import query_vector
from tests.serving.market import Shelf, assert_same_answers, shelf, words_of

ALL = 10_000


@pytest.fixture(scope="module")
def items(data: str) -> Shelf:
    return shelf(data)


@pytest.fixture(scope="module")
def vectors(items: Shelf, opened: Callable[[str], Client]) -> np.ndarray:
    """Those of the item tower, as served."""
    return opened("brute_force").model.call("embed_item", items.inputs)["embedding"]


def best(items: Shelf, vectors: np.ndarray, query: np.ndarray, rows: list[int] | None = None) -> list[bytes]:
    """All item ids, best first."""
    rows = list(range(len(items.ids))) if rows is None else rows
    scores = vectors[rows] @ query
    return [items.ids[rows[place]] for place in np.argsort(-scores, kind="stable")]


def row_of(answers: dict[str, np.ndarray], row: int, k: int) -> dict[str, np.ndarray]:
    """What one request of a batch got, as wide as it asked for."""
    return {name: values[row : row + 1, :k] for name, values in answers.items()}


def exact_in_batches(client: Client) -> bool:
    """ScaNN's op adds up hashed scores another way where a batch is of another size, and so reorders other items."""
    return client.manifest["index"]["kind"] != "scann"


def assert_as_alone(client: Client, found: dict[str, np.ndarray], request: dict[str, Any]) -> None:
    """What a request got in a batch, by row `[1, k]`, is what it gets alone."""
    assert_as_in_a_batch(client, found, client.retrieve(request))


def assert_as_in_a_batch(client: Client, found: dict[str, np.ndarray], alone: dict[str, np.ndarray]) -> None:
    assert alone["item_ids"].shape == found["item_ids"].shape
    if exact_in_batches(client):
        assert_same_answers(found, alone)
    assert len(known(found["item_ids"][0])) == len(known(alone["item_ids"][0]))


def known(ids: np.ndarray) -> list[bytes]:
    return [one for one in ids.tolist() if one]


def test_shapes_and_names(client: Client) -> None:
    inputs = {name: set(one.inputs) for name, one in client.model.signatures.items()}
    vector = {"query", "history_queries", *ITEM_LISTS}
    assert inputs["serving_default"] == {"query"}
    assert inputs["retrieve"] == vector | {"k", *FILTERS}
    assert inputs["embed_query"] == vector
    assert inputs["embed_item"] == {*ITEM_INPUTS, "price"}
    assert inputs["search"] == {"embedding", "k"}
    assert inputs["similar"] == {"item_id", "k", *FILTERS}
    width = client.model.signatures["retrieve"].inputs["realtime_items"].tensor_shape.dim[1].size
    assert width == client.widths["realtime_items"]


def test_the_answer_is_the_exact_one(client: Client, items: Shelf, vectors: np.ndarray) -> None:
    requests = [{"query": "shoes", "k": 10}, {"query": "红色 鞋", "realtime_items": items.ids[3:5], "k": 10}]
    queries = client.embed(*requests)
    found = client.retrieve(*requests)
    recalls = []
    for row, query in enumerate(queries):
        exact = best(items, vectors, query)[:10]
        recalls.append(len(set(exact) & set(found["item_ids"][row].tolist())) / 10)
        rows = [items.ids.index(one) for one in known(found["item_ids"][row])]
        assert found["scores"][row] == pytest.approx(vectors[rows] @ query, abs=1e-4)
        assert np.all(np.diff(found["scores"][row]) <= 0)
    assert np.mean(recalls) >= (0.99 if client.manifest["index"]["kind"] == "brute_force" else 0.7)


def test_all_there_is(client: Client, items: Shelf, vectors: np.ndarray) -> None:
    """A k over the catalogue's size: every item, exactly in order, then "" and -inf."""
    query = client.embed({"query": "bag"})
    found = client.search(query, ALL)
    assert found["item_ids"].shape == (1, client.manifest["max_k"])
    ids = found["item_ids"][0]
    assert set(known(ids)) == set(items.ids) and len(known(ids)) == len(items.ids)
    assert known(ids)[:50] == best(items, vectors, query[0])[:50]
    assert np.all(np.isneginf(found["scores"][0][len(items.ids) :]))


def test_required_terms(client: Client, items: Shelf, vectors: np.ndarray) -> None:
    term = sorted(items.words(7))[-1]
    rows = [row for row in range(len(items.ids)) if term in items.words(row)]
    request = {"query": "shoes", "required_terms": [term], "k": len(rows) + 2}
    found = client.retrieve(request)
    assert known(found["item_ids"][0]) == best(items, vectors, client.embed(request)[0], rows)
    title = items.titles[7].decode()
    alone = client.retrieve({"query": "shoes", "required_terms": [title], "k": 5})
    assert items.ids[7] in alone["item_ids"]
    for one in known(alone["item_ids"][0]):
        assert items.words(items.ids.index(one)) >= words_of(items.titles[7])
    nothing = client.retrieve({"query": "shoes", "required_terms": ["zzqx"], "k": 3})
    assert known(nothing["item_ids"][0]) == [] and np.all(np.isneginf(nothing["scores"]))


def test_allowed_leaves(client: Client, items: Shelf, vectors: np.ndarray) -> None:
    leaves = sorted(set(items.leaves))[:2]
    rows = [row for row in range(len(items.ids)) if items.leaves[row] in leaves]
    request = {"query": "shoes", "allowed_leaves": leaves, "k": len(rows) + 1}
    found = client.retrieve(request)
    assert known(found["item_ids"][0]) == best(items, vectors, client.embed(request)[0], rows)
    unknown = client.retrieve({"query": "shoes", "allowed_leaves": ["no such leaf"], "k": 2})
    assert known(unknown["item_ids"][0]) == []


def test_merged_requests_answer_as_alone(client: Client, items: Shelf) -> None:
    """Whatever a server merges: other k, other conditions, padding alone."""
    leaf, word = items.leaves[0], sorted(items.words(9))[0]
    requests = [
        {"query": "shoes", "k": 5},
        {"query": "", "k": 0},
        {"query": "bag", "k": 60, "realtime_items": items.ids[:3], "history_queries": ["red shoes"]},
        {"query": "dress", "k": 7, "allowed_leaves": [leaf]},
        {"query": "x" * 300, "k": 9, "required_terms": [word], "long_order_items": items.ids[5:7]},
        {"query": "unknown", "k": 500, "short_items": ["nobody"]},
        {},
    ]
    merged = client.retrieve(*requests)
    vectors = client.embed(*requests)
    for row, request in enumerate(requests):
        k = request.get("k", 10)
        assert_as_alone(client, row_of(merged, row, k), request)
        assert not any(merged["item_ids"][row, k:])
        assert vectors[row] == pytest.approx(client.embed(request)[0], abs=1e-5)
    ks = [3, 50, 0]
    merged = client.search(vectors[:3], *ks)
    for row, k in enumerate(ks):
        assert_as_in_a_batch(client, row_of(merged, row, k), client.search(vectors[row : row + 1], k))
    queries = np.array([b"shoes", b"", b"bag"], object)
    merged = client.model.call("serving_default", {"query": queries})
    for row in range(3):
        alone = client.model.call("serving_default", {"query": queries[row : row + 1]})
        assert_as_in_a_batch(client, row_of(merged, row, 10), alone)
    some = {name: values[:5] for name, values in items.inputs.items()}
    merged = client.model.call("embed_item", some)["embedding"]
    for row in range(5):
        alone = client.model.call("embed_item", {name: values[row : row + 1] for name, values in some.items()})
        assert merged[row] == pytest.approx(alone["embedding"][0], abs=1e-5)


def test_conditions_of_two_rows_in_one_call(client: Client, items: Shelf) -> None:
    """A term of several words, and a leaf, twice: nobody has fresh items, and none of them is to be looked through."""
    title = {"query": "shoes", "required_terms": [items.titles[7]], "k": 5}
    leaf = {"query": "bag", "allowed_leaves": [items.leaves[3]], "k": 5}
    for requests in ([title, title], [leaf, leaf], [title, leaf, {"query": "bag", "k": 5}]):
        found = client.retrieve(*requests)
        for row, request in enumerate(requests):
            assert_as_alone(client, row_of(found, row, 5), request)
        assert items.ids[7] in found["item_ids"][0] or requests[0] is leaf


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_a_row_of_any_batch_answers_as_alone(client: Client, items: Shelf, drawn: st.DataObject) -> None:
    """Whatever conditions, lengths and k a server merges into one call."""
    row = st.integers(0, len(items.ids) - 1)
    price = st.just(np.nan) | row.map(lambda one: float(items.prices[one]))
    term = row.map(lambda one: items.titles[one]) | row.map(lambda one: min(items.words(one))) | st.just(b"zzqx")
    requests = drawn.draw(
        st.lists(
            st.fixed_dictionaries(
                {"query": st.sampled_from(["shoes", "", "red bag"]), "k": st.sampled_from([0, 1, 7, 40])},
                optional={
                    "required_terms": st.lists(term, max_size=3),
                    "allowed_leaves": st.lists(row.map(lambda one: items.leaves[one]), max_size=4),
                    "allowed_brands": st.lists(row.map(lambda one: items.brands[one]), max_size=3),
                    "excluded_items": st.lists(row.map(lambda one: items.ids[one]), max_size=8),
                    "price_range": st.tuples(price, price),
                    "realtime_items": st.lists(row.map(lambda one: items.ids[one]), max_size=2),
                },
            ),
            min_size=1,
            max_size=4,
        )
    )
    found = client.retrieve(*requests)
    for number, request in enumerate(requests):
        answer = row_of(found, number, request["k"])
        assert_as_alone(client, answer, request)
        wanted = set().union(*(words_of(one) for one in request.get("required_terms", [])))
        for one in known(answer["item_ids"][0]):
            place = items.ids.index(one)
            assert items.words(place) >= wanted
            assert not request.get("allowed_leaves") or items.leaves[place] in request["allowed_leaves"]
            assert not request.get("allowed_brands") or items.brands[place] in request["allowed_brands"]
            assert one not in request.get("excluded_items", [])
            low, high = request.get("price_range", (np.nan, np.nan))
            assert not items.prices[place] < low and not items.prices[place] > high


def test_outputs_state_their_shapes(client: Client) -> None:
    """A server may then know, before it calls, that rows of answers can be told apart."""

    def shape(signature: str, output: str) -> list[int]:
        return [one.size for one in client.model.signatures[signature].outputs[output].tensor_shape.dim]

    for output in ("item_ids", "scores"):
        assert shape("serving_default", output) == [-1, client.manifest["default_k"]]
        assert shape("retrieve", output) == shape("search", output) == [-1, -1]
    dim = client.manifest["dim"]
    assert shape("embed_query", "embedding") == shape("embed_item", "embedding") == [-1, dim]


def test_the_past_is_looked_up(opened: Callable[[str], Client], items: Shelf, job: str) -> None:
    """Item ids alone give the vector that the tower gives for ids with their brand, shop and categories."""
    client = opened("brute_force")
    item = {name: values[11] for name, values in items.inputs.items()}
    nobody = dict.fromkeys(items.inputs, b"") | {"item_id": b"never seen", "price": np.float32(np.nan)}
    for one in (item, nobody):
        found = client.embed(
            {"query": "shoes", "history_queries": ["red"], **{key: [one["item_id"]] for key in ITEM_LISTS}}
        )
        assert found == pytest.approx(query_vector(job, "shoes", "red", one), abs=1e-5)


def test_default_answers_as_retrieve_without_a_past(client: Client) -> None:
    default = client.model.call("serving_default", {"query": np.array([b"shoes"], object)})
    assert_same_answers(default, client.retrieve({"query": "shoes", "k": 10}))


def test_batches_of_one_k(client: Client) -> None:
    """The same for all of a batch, none among them, and none but for one."""
    vectors = client.embed({"query": "shoes"}, {"query": "bag"})
    alone = [client.search(vectors[row : row + 1], 6) for row in range(2)]
    for ks in ([6, 6], [6, 4]):
        merged = client.search(vectors, *ks)
        assert merged["item_ids"].shape == (2, 6)
        for row, k in enumerate(ks):
            assert_as_in_a_batch(client, row_of(merged, row, k), row_of(alone[row], 0, k))
    assert client.search(vectors, -1, -1)["item_ids"].shape == (2, 0)
    mixed = client.search(vectors, -6, 6)
    assert not any(mixed["item_ids"][0])
    assert_as_in_a_batch(client, row_of(mixed, 1, 6), alone[1])


def test_an_empty_batch(client: Client) -> None:
    found = client.search(np.zeros((0, 16)))
    assert found["item_ids"].shape[0] == 0
