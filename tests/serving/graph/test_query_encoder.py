"""Strings of a client give the vectors that training gave for the records behind them, for every model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preprocessing.data.features import HORIZONS, ITEM_IDS
from serving.catalogue.attribute_ids import attribute_ids
from serving.config import ServingConfig
from serving.graph.hashed_past import HashedPast, hashed
from serving.graph.query_encoder import QueryEncoder
from serving.graph.signatures import Embedder
from serving.inputs import SIGNAL_LISTS, VECTOR_LISTS
from serving.release.build_model import Builder
from tests.serving.experiment import untrained_job, write_experiment
from tests.serving.market import Shelf, shelf
from trainer.data.dataset import requests
from trainer.job.restore import TrainedTowers, restore

MODELS: dict[str, dict[str, Any]] = {
    "mgdspr": {
        "dim": 16,
        "grains": {"sequence_hidden": 16},
        "horizons": {
            "attributes": ["item", "brand", "price"],
            "signals": ["action", "age"],
            "long": {"attributes": ["item", "shop", "price"]},
        },
        "item": {"side": ["leaf", "price"]},
    },
    "mmse": {
        "dim": 8,
        "grains": {"mix": False, "sequence_hidden": 16},
        "item": {"side": ["brand", "price"]},
    },
    "dnn": {"dim": 16, "hidden": [16], "attributes": ["item", "leaf", "price"], "behaviours": True},
    "tfrs": {"dim": 16},
}
FIXED = {"tables": {"item": {"hashed_rows": 40}}}  # a table that hangs on no number of ids
WIDTH = 12
WIDTHS = dict.fromkeys(VECTOR_LISTS, WIDTH)


class Case(NamedTuple):
    """A model as trained and as served."""

    trained: TrainedTowers
    embedder: Embedder
    columns: frozenset[str]
    embed: Callable[..., tf.Tensor]
    embed_hashed: Callable[..., tf.Tensor]  # by the hashes of ids, as the model beside shards knows them

    def vectors(self, **inputs: Any) -> np.ndarray:
        """`query` and lists of rows, padded here -> `[B, dim]`, in both ways the same."""
        queries = inputs.pop("query")
        signals = {name: inputs.pop(name) for name in SIGNAL_LISTS.values() if name in inputs}
        padded = {name: np.full((len(queries), WIDTH), b"", object) for name in VECTOR_LISTS}
        for name, rows in inputs.items():
            for number, row in enumerate(rows):
                padded[name][number, : len(row)] = row
        padded |= {name: _padded(signals.get(name, []), len(queries)) for name in SIGNAL_LISTS.values()}
        asked = {"query": tf.constant(queries, tf.string)} | {n: tf.constant(v) for n, v in padded.items()}
        found = self.embed(asked)
        assert np.array_equal(self.embed_hashed(asked), found)
        return found


def _padded(rows: list[list[int]], count: int) -> np.ndarray:
    padded = np.zeros((count, WIDTH), np.int32)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded


@pytest.fixture(scope="module", params=[*MODELS, "mgdspr fixed", "dnn fixed"])
def case(request: pytest.FixtureRequest, data: str, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder, (model, *fixed) = tmp_path_factory.mktemp("encoder"), request.param.split()
    parts = MODELS[model] | (FIXED if fixed else {})
    job = untrained_job(write_experiment(folder, model=model, **{model: parts}), data, folder / "job")
    builder = Builder(ServingConfig(index="brute_force"), job, data, json.loads(Path(data, "spec.json").read_text()))
    table, _ = builder.embed(folder)
    embedder = builder.embedder(builder.items(table, folder), table, WIDTHS)
    encoder, vocabularies = embedder.query_encoder, builder.towers.vocabularies
    known = hashed(table.ids, attribute_ids(table, vocabularies))
    past = HashedPast(encoder.tower.columns, vocabularies, known)
    embeds = [_embed(one) for one in (encoder, QueryEncoder(encoder.tower, encoder.texts, past))]
    return Case(restore(job, data), embedder, encoder.tower.columns, *embeds)


def _embed(encoder: QueryEncoder) -> Callable[..., np.ndarray]:
    embed = tf.function(lambda inputs: encoder(inputs)[0], reduce_retracing=True, autograph=False)
    return lambda inputs: embed(inputs).numpy()


@pytest.fixture(scope="module")
def items(data: str) -> Shelf:
    return shelf(data)


class Ids:
    """From ids back to strings; for a hash bucket, a made-up word that falls into it."""

    def __init__(self, data: str, name: str) -> None:
        self._known = Path(data, f"vocab/{name}.txt").read_bytes().splitlines()
        self.buckets = json.loads(Path(data, "spec.json").read_text())["vocabularies"][name]["hash_buckets"]
        made_up = [f"zq{'abcdefghij'[n % 10]}{n}x" for n in range(40 * self.buckets)]
        buckets = tf.strings.to_hash_bucket_fast(made_up, self.buckets).numpy() + 1
        self._unknown = dict(zip(buckets.tolist(), made_up, strict=True))

    def of(self, number: int) -> bytes:
        if number > self.buckets:
            return self._known[number - self.buckets - 1]
        return self._unknown[number].encode() if number else b""


def past_as_served(batch: dict[str, Any], live: set[bytes], items: Ids) -> dict[str, Any]:
    """A batch whose pasts are as a version knows them: of an item that is not in its catalogue, the id alone."""
    served = dict(batch)
    for horizon in HORIZONS:
        ids = batch[f"{horizon}_item"]
        known = tf.constant([items.of(one) in live for one in ids.values.numpy().tolist()], tf.bool)
        for name in ITEM_IDS[1:]:
            column = batch[f"{horizon}_{name}"]
            served[f"{horizon}_{name}"] = column.with_values(tf.where(known, column.values, 0))
    return served


def test_records_and_strings(case: Case, data: str, items: Shelf) -> None:
    words, item_ids = Ids(data, "word"), Ids(data, "item")
    for split in ("train", "eval"):
        batch = next(iter(requests(data, split, 60)))
        batch = {
            n: one[:, :WIDTH] if n == "history_word" or n.startswith(HORIZONS) else one for n, one in batch.items()
        }
        history = batch["history_word"].to_list()
        lists = {"history_queries": [[b" ".join(map(words.of, query)) for query in row] for row in history]}
        for horizon in HORIZONS:
            rows = batch[f"{horizon}_item"].to_list()
            lists[f"{horizon}_items"] = [[item_ids.of(number) for number in row] for row in rows]
        lists |= {name: batch[column].to_list() for column, name in SIGNAL_LISTS.items()}
        found = case.vectors(query=batch["query"].numpy(), **lists)
        expected = case.trained.query(past_as_served(batch, set(items.ids), item_ids)).numpy()
        assert found == pytest.approx(expected, abs=1e-5)
        alone = case.embedder.query_encoder.alone(batch["query"])[0].numpy()
        nobody = {n: one[:, :0] if n == "history_word" or n.startswith(HORIZONS) else one for n, one in batch.items()}
        assert alone == pytest.approx(case.trained.query(nobody).numpy(), abs=1e-5)
        assert alone == pytest.approx(case.vectors(query=batch["query"].numpy()), abs=1e-5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_holes_and_neighbours_change_nothing(case: Case, items: Shelf, drawn: st.DataObject) -> None:
    """A row's vector is that of its lists without "" between their entries, whatever the rows beside it hold."""
    item = st.sampled_from([*items.ids[:20], b"nobody", b"\xff\xfe", "从未".encode(), b" "])
    entry = dict.fromkeys(VECTOR_LISTS, item)
    entry["history_queries"] = st.sampled_from([b"red shoes", "红色 鞋".encode(), b"zzqx", b"..", b"\xff"])
    query = st.sampled_from([b"red shoes", b"", "iPhone壳 ﬁ".encode(), b"zzqx neverseen", b"x" * 300])
    rows = drawn.draw(
        st.lists(
            st.fixed_dictionaries({name: st.lists(one, max_size=5) for name, one in entry.items()}),
            min_size=1,
            max_size=3,
        )
    )
    queries = [drawn.draw(query) for _ in rows]
    holed = [
        {name: [part for one in row[name] for part in drawn.draw(st.sampled_from([[one], [b"", one]]))] for name in row}
        for row in rows
    ]
    together = case.vectors(query=queries, **{name: [row[name] for row in holed] for name in VECTOR_LISTS})
    assert np.all(np.isfinite(together))
    for number, row in enumerate(rows):
        alone = case.vectors(query=queries[number : number + 1], **{name: [row[name]] for name in VECTOR_LISTS})
        assert together[number] == pytest.approx(alone[0], abs=1e-5)
