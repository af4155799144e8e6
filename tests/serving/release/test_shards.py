"""Shards: disjoint, whole, and together as good as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.config import ServingConfig
from serving.export import export
from serving.graph.saved_model import ServedModel
from serving.inputs import FILTER_LISTS
from tests.serving.conftest import Client
from tests.serving.market import shelf

K = 30


def merged(answers: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The K best of several models' answers."""
    ids, scores = (np.concatenate([one[name] for one in answers], axis=1) for name in ("item_ids", "scores"))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)


def test_shards_together_answer_as_one(
    opened: Callable[[str], Client], job: str, data: str, config: Callable[..., ServingConfig], tmp_path: Path
) -> None:
    assert export(config("index=brute_force"), job, data, str(tmp_path), shards=3) == 0
    listed = json.loads((tmp_path / "shards.json").read_text())
    one, items = opened("brute_force"), shelf(data)
    assert [shard["name"] for shard in listed["shards"]] == [f"shard-0000{n}-of-00003" for n in range(3)]
    paths = [tmp_path / shard["name"] / str(listed["version"]) for shard in listed["shards"]]
    models = [ServedModel(str(path), False) for path in paths]
    query = ServedModel(str(tmp_path / listed["query"]["name"] / str(listed["version"])), False)
    texts = [{"query": "shoes"}, {"query": "bag", "realtime_items": items.ids[:4]}]
    inputs = {
        "query": np.array([b"shoes", b"bag"], object),
        **one.lists(tuple(one.model.signatures["embed_query"].inputs.keys() - {"query"}), texts),
    }
    vectors = query.call("embed_query", inputs)["embedding"]
    assert vectors == pytest.approx(one.embed(*texts), abs=1e-5)
    k = np.full(2, K, np.int32)
    whole = one.search(vectors, *k)
    ids, scores = merged([model.call("search", {"embedding": vectors, "k": k}) for model in models])
    assert scores == pytest.approx(whole["scores"], abs=1e-4) and ids.tolist() == whole["item_ids"].tolist()
    filters = one.lists(FILTER_LISTS, [{"allowed_leaves": [items.leaves[0]]}] * 2)
    answers = [model.call("search_filtered", {"embedding": vectors, "k": k} | filters) for model in models]
    found = one.retrieve(*({**text, "k": K, "allowed_leaves": [items.leaves[0]]} for text in texts))
    assert merged(answers)[0].tolist() == found["item_ids"].tolist()
    every = [model.call("search", {"embedding": vectors[:1], "k": np.array([1000], np.int32)}) for model in models]
    parts = [set(one["item_ids"][0].tolist()) - {b""} for one in every]
    assert sum(map(len, parts)) == len(items.ids) and set.union(*parts) == set(items.ids)
    assert [shard["items"] for shard in listed["shards"]] == [len(part) for part in parts]
    assert [one["target"] for one in listed["shards"]] == [f"{one['name']}:8500" for one in listed["shards"]]
    played = {path.parent.name: _played(path, model) for path, model in zip(paths, models, strict=True)}
    assert all(called == {"search", "search_filtered"} for called in played.values())
    assert _played(tmp_path / "query" / str(listed["version"]), query) == {"embed_query", "embed_item"}


def _played(version: Path, model: ServedModel) -> set[str]:
    """The signatures of the warm-up requests of a version, all of which it answers."""
    called = set()
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        model.call(request.model_spec.signature_name, inputs)
        called.add(request.model_spec.signature_name)
    return called
