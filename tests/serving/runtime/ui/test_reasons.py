"""The page's reasons on a real export: what a horizon is said to add is what the served scores lose without it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from tensorflow_serving.apis import model_pb2

from serving.retriever.request import User
from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer, Settings
from serving.runtime.ui.files import Catalogue
from serving.runtime.ui.reasons import HORIZONS, Asked, Reasons, Words
from tests.serving.market import Shelf, shelf, words_of

SPEC = model_pb2.ModelSpec(name="retrieval")


@pytest.fixture(scope="module")
def shelved(data: str) -> Shelf:
    return shelf(data)


@pytest.fixture(scope="module")
def reasons(exported: Callable[[str], Path], shelved: Shelf) -> Iterator[Reasons]:
    """Of an exact index, which holds the vectors as they are."""
    server = ModelServer(Settings([ModelConfig("retrieval", exported("brute_force"))], warm_up=False))
    server.manager.configure(server.settings.models)
    records = [
        {name: values[row].decode() for name, values in shelved.inputs.items() if name != "price"}
        | {"price": float(shelved.prices[row])}
        for row in range(len(shelved.ids))
    ]
    yield Reasons(server.predictor, Catalogue({one["item_id"]: orjson.dumps(one) for one in records}), Words())
    server.stop(0)


@pytest.fixture(scope="module")
def user(shelved: Shelf) -> User:
    ids = [one.decode() for one in shelved.ids]
    return User(["shoes", "phone"], ids[:2], ids[10:13], ids[20:22], ids[30:31], ids[40:42])


def asked(user: User, k: int = 400) -> Asked:
    nothing = dict.fromkeys(("required_terms", "allowed_leaves", "allowed_brands", "excluded_items"), ())
    return Asked("red shoes", user, k, nothing | {"price_range": (math.nan, math.nan)}, timeout=60)


def test_changes_are_what_scores_lose(reasons: Reasons, user: User) -> None:
    answer = reasons.ask(SPEC, asked(user))
    assert answer["horizons"] == list(HORIZONS)
    assert len(answer["hits"]) > 100
    moved = []
    for horizon, lists in HORIZONS.items():
        poorer = dataclasses.replace(user, **dict.fromkeys(lists, ()))
        without = {hit["item_id"]: hit["score"] for hit in reasons.ask(SPEC, asked(poorer))["hits"]}
        lost = [hit["score"] - without[hit["item_id"]] for hit in answer["hits"]]
        assert [hit["changes"][horizon] for hit in answer["hits"]] == pytest.approx(lost, abs=1e-4)
        moved += [horizon] if max(map(abs, lost)) > 1e-5 else []
    assert "short-term" in moved  # this small model does not heed queries of the past


def test_items_are_described_as_the_catalogue_has_them(reasons: Reasons, user: User, shelved: Shelf) -> None:
    for hit in reasons.ask(SPEC, asked(user, 20))["hits"]:
        row = shelved.ids.index(hit["item_id"].encode())
        assert (hit["title"], hit["brand"]) == (shelved.titles[row].decode(), shelved.brands[row].decode())
        assert not hit["fresh"]
        known = shelved.words(row) | words_of(shelved.leaves[row]) | words_of(shelved.inputs["category_top"][row])
        assert {word.encode() for word in hit["terms"]} == known & {b"red", b"shoes"}
