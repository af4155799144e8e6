"""More like an item: the best by its own vector, without itself, whatever kind of index and whatever was changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.config import ServingConfig
from serving.export import export
from serving.graph.similar_items import SimilarItems
from serving.index.base import Effort
from tests.serving.conftest import Client
from tests.serving.experiment import untrained_job, write_experiment
from tests.serving.graph.small_catalogue import FRESH, ITEMS, LEAVES, WIDTHS, WORDS, Catalogue, inputs_of
from tests.serving.market import Shelf, shelf

ALL = Effort(40, leaves=100, reorder=ITEMS)  # every leaf: no index then misses what exact search finds
MODELS: dict[str, dict[str, Any]] = {
    "mgdspr": {"dim": 16},
    "mmse": {"dim": 8, "grains": {"mix": False}},
    "tfrs": {"dim": 16},
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture(scope="module", params=["brute_force", "portable", "scann"])
def ask(
    request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, np.ndarray]]:
    """Each kind of index, some items of it fresh and some gone."""
    retrieval = catalogue.retrieval(request.param, tmp_path_factory.mktemp(request.param), ALL)
    texts = {name: tf.TensorSpec([None, width], tf.string) for name, width in WIDTHS.items()}
    specs = texts | {
        "price_range": tf.TensorSpec([None, 2], tf.float32),
        "item_id": tf.TensorSpec([None], tf.string),
        "k": tf.TensorSpec([None], tf.int32),
    }
    similar = {looks: SimilarItems(retrieval, looks) for looks in (False, True)}
    calls = {
        looks: tf.function(one.__call__, autograph=False).get_concrete_function(specs) for looks, one in similar.items()
    }

    def call(requests: Sequence[dict[str, Any]], looks_up: bool = False) -> dict[str, np.ndarray]:
        inputs = inputs_of(requests) | {
            "item_id": tf.constant([one["item_id"] for one in requests]),
            "k": tf.constant([one["k"] for one in requests], tf.int32),
        }
        return {name: one.numpy() for name, one in calls[looks_up](inputs).items()}

    return call


def neighbours(catalogue: Catalogue, request: dict[str, Any]) -> list[tuple[str, float]]:
    """What a request should bring back, by the list of all items."""
    names = [one.item_id for one in catalogue.items]
    if request["item_id"] not in names:
        return []
    row = names.index(request["item_id"])
    more = request | {"k": request["k"] + 1 if request["k"] else 0}
    found = [(one, score) for one, score in catalogue.expected(catalogue.vectors[row], more) if one != row]
    return [(names[one], score) for one, score in found[: request["k"]]]


def asked() -> st.SearchStrategy[dict[str, Any]]:
    ids = st.integers(0, ITEMS + FRESH - 1).map("item{}".format)
    return st.fixed_dictionaries(
        {"item_id": ids | st.sampled_from(["nobody", "", " "]), "k": st.sampled_from([0, 1, 5, 39, 40, 100])},
        optional={
            "required_terms": st.lists(st.sampled_from(WORDS), max_size=2),
            "allowed_leaves": st.lists(st.sampled_from([*LEAVES, "unheard"]), max_size=4),
            "excluded_items": st.lists(ids, max_size=6),
            "price_range": st.just((5.0, 30.0)),
        },
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(asked(), min_size=1, max_size=4), looks_up=st.booleans())
def test_the_best_without_itself(
    ask: Callable[..., dict[str, np.ndarray]],
    catalogue: Catalogue,
    requests: list[dict[str, Any]],
    looks_up: bool,
) -> None:
    """Fresh ones as well, none that is gone; the neighbours of one that is gone are still told."""
    found = ask(requests, looks_up)
    names = [one.item_id for one in catalogue.items]
    assert found["item_ids"].shape[1] == max(one["k"] for one in requests)
    for row, request in enumerate(requests):
        expected = neighbours(catalogue, request)
        ids = [one.decode() for one in found["item_ids"][row].tolist()]
        assert ids == [name for name, _ in expected] + [""] * (len(ids) - len(expected))
        scores = found["scores"][row]
        assert scores[: len(expected)] == pytest.approx([score for _, score in expected], abs=1e-4)
        assert np.all(np.isneginf(scores[len(expected) :]))
        known = request["item_id"] in names
        assert found["known"][row] == known
        vector = catalogue.vectors[names.index(request["item_id"])] if known else np.zeros(found["embedding"].shape[1])
        assert found["embedding"][row] == pytest.approx(vector, abs=1e-6)


@pytest.fixture(scope="module")
def items(data: str) -> Shelf:
    return shelf(data)


def similar(client: Client, *requests: dict[str, Any]) -> dict[str, np.ndarray]:
    """The signature, called as a client would."""
    inputs = {"item_id": np.array([one["item_id"] for one in requests], object)}
    inputs["k"] = np.array([one.get("k", 10) for one in requests], np.int32)
    return client.model.call("similar", inputs | client.conditions(*requests))


def check(client: Client, items: Shelf, least: float) -> None:
    """The signature of an export against the exact answer by the vectors of the item tower."""
    inputs = {name: items.inputs[name] for name in client.model.signatures["embed_item"].inputs}
    vectors = client.model.call("embed_item", inputs)["embedding"]
    rows, k = [3, 50, 120, 7], 10
    found = similar(client, *({"item_id": items.ids[row], "k": k} for row in rows), {"item_id": b"nobody"})
    assert found["known"].tolist() == [1, 1, 1, 1, 0]
    assert not any(found["item_ids"][4]) and not np.any(found["embedding"][4])
    recalls = []
    for place, row in enumerate(rows):
        order = np.argsort(-(vectors @ vectors[row]), kind="stable").tolist()
        exact = [items.ids[one] for one in order if one != row][:k]
        ids = found["item_ids"][place].tolist()
        assert items.ids[row] not in ids and len(set(ids)) == k and b"" not in ids
        recalls.append(len(set(exact) & set(ids)) / k)
        scores = [vectors[items.ids.index(one)] @ vectors[row] for one in ids]
        assert found["scores"][place] == pytest.approx(scores, abs=1e-3)
        assert found["embedding"][place] == pytest.approx(vectors[row], abs=1e-3)
    assert np.mean(recalls) >= least
    leaf = {"item_id": items.ids[3], "allowed_leaves": [items.leaves[3]], "k": 5}
    ids = similar(client, leaf)["item_ids"][0].tolist()
    assert ids and all(items.leaves[items.ids.index(one)] == items.leaves[3] for one in ids if one)


def test_of_every_kind_of_index(client: Client, items: Shelf) -> None:
    check(client, items, 0.99 if client.manifest["index"]["kind"] == "brute_force" else 0.7)
    largest = similar(client, {"item_id": items.ids[0], "k": 10_000})["item_ids"]
    assert largest.shape == (1, client.manifest["max_k"])
    assert {*largest[0].tolist()} - {b""} == {*items.ids} - {items.ids[0]}


@pytest.mark.parametrize("model", MODELS)
def test_of_every_model(
    model: str, data: str, config: Callable[..., ServingConfig], items: Shelf, tmp_path: Path
) -> None:
    """With words beside the vectors, which have no part in it."""
    job = untrained_job(write_experiment(tmp_path, model=model, **{model: MODELS[model]}), data, tmp_path / "job")
    folder = tmp_path / "retrieval"
    sets = ("index=brute_force", "channels.words.on=true", "gate.max_regression=1")
    assert export(config(*sets), job, data, str(folder)) == 0
    check(Client(folder, 1), items, 0.99)


def test_it_states_its_shapes(client: Client) -> None:
    outputs = client.model.signatures["similar"].outputs
    shapes = {name: [dim.size for dim in one.tensor_shape.dim] for name, one in outputs.items()}
    dim = client.manifest["dim"]
    assert shapes == {"item_ids": [-1, -1], "scores": [-1, -1], "known": [-1], "embedding": [-1, dim]}


@pytest.mark.parametrize("int8", ["portable", "scann"])
def test_an_index_of_int8_gives_the_vectors_that_it_has(
    int8: str, job: str, data: str, config: Callable[..., ServingConfig], items: Shelf, tmp_path: Path
) -> None:
    """Near what the tower gives, by half a step of 127."""
    folder = tmp_path / "retrieval"
    assert export(config(f"index={int8}", f"{int8}.int8=true", "gate.max_regression=1"), job, data, str(folder)) == 0
    client = Client(folder, 1)
    vectors = client.model.call("embed_item", items.inputs)["embedding"]
    found = similar(client, *({"item_id": one, "k": 5} for one in items.ids[:50]))
    steps = np.abs(vectors).max(axis=0) / 127
    assert np.all(np.abs(found["embedding"] - vectors[:50]) <= steps * 0.5001 + 1e-6)
    assert not any(one in row for one, row in zip(items.ids, found["item_ids"].tolist(), strict=False))
