"""Shards: disjoint, whole, and together as good as one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.config import ServingConfig
from serving.export import export
from serving.graph.saved_model import ServedModel
from serving.inputs import VECTOR_LISTS
from serving.sharding.shards import shard_numbers
from tests.serving.conftest import Client
from tests.serving.market import shelf

K = 30


def merged(answers: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The K best of several models' answers."""
    ids, scores = (np.concatenate([one[name] for one in answers], axis=1) for name in ("item_ids", "scores"))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)


@pytest.fixture(scope="module")
def folder(exported_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in shards, to be changed."""
    return Path(shutil.copytree(exported_shards, tmp_path_factory.mktemp("sharded") / "retrieval"))


def loaded(folder: Path) -> tuple[ServedModel, list[ServedModel]]:
    """The models that shards.json names: of queries, and of each shard."""
    listed = json.loads((folder / "shards.json").read_text())
    places = (listed["query"], *listed["shards"])
    query, *shards = (ServedModel(str(folder / one["name"] / str(listed["version"])), False) for one in places)
    return query, shards


def test_shards_together_answer_as_one(opened: Callable[[str], Client], data: str, folder: Path) -> None:
    listed = json.loads((folder / "shards.json").read_text())
    one, items = opened("brute_force"), shelf(data)
    assert [shard["name"] for shard in listed["shards"]] == [f"shard-0000{n}-of-00002" for n in range(2)]
    paths = [folder / shard["name"] / str(listed["version"]) for shard in listed["shards"]]
    query, models = loaded(folder)
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
    filters = one.conditions(*[{"allowed_leaves": [items.leaves[0]]}] * 2)
    answers = [model.call("search_filtered", {"embedding": vectors, "k": k} | filters) for model in models]
    found = one.retrieve(*({**text, "k": K, "allowed_leaves": [items.leaves[0]]} for text in texts))
    assert merged(answers)[0].tolist() == found["item_ids"].tolist()
    every = [model.call("search", {"embedding": vectors[:1], "k": np.array([1000], np.int32)}) for model in models]
    parts = [set(one["item_ids"][0].tolist()) - {b""} for one in every]
    assert sum(map(len, parts)) == len(items.ids) and set.union(*parts) == set(items.ids)
    assert [shard["items"] for shard in listed["shards"]] == [len(part) for part in parts]
    assert [one["target"] for one in listed["shards"]] == [f"{one['name']}:8500" for one in listed["shards"]]
    played = {path.parent.name: _played(path, model) for path, model in zip(paths, models, strict=True)}
    assert all(called == {"search", "search_filtered", "similar"} for called in played.values())
    assert _played(folder / "query" / str(listed["version"]), query) == {"embed_query", "embed_item"}


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


def test_fresh_items_tombstones_and_the_gate(
    folder: Path, data: str, config: Callable[..., ServingConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items, settings = shelf(data), config("gate.max_regression=1")
    fresh, gone = tmp_path / "new.jsonl", tmp_path / "gone.txt"
    new = [{"item_id": f"NEW{n}", "title": "zzq unicorn", "category_leaf": "zzleaf"} for n in range(5)]
    fresh.write_text("\n".join(map(json.dumps, new)))
    gone.write_text("\n".join(one.decode() for one in items.ids[:4]))
    before, _ = loaded(folder)
    assert export(settings, None, data, str(folder), str(fresh), str(gone)) == 0
    query, shards = loaded(folder)
    widths = json.loads((folder / "query" / "manifest-2.json").read_text())["widths"]
    inputs = {name: np.full((1, widths[name]), b"", object) for name in VECTOR_LISTS}
    inputs["query"] = np.array([b"unicorn"], object)
    nobody = query.call("embed_query", inputs)["embedding"]
    inputs["realtime_items"][0, 0] = b"NEW1"
    vectors = [model.call("embed_query", inputs)["embedding"] for model in (before, query)]
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-6  # its leaf is known now
    k = np.array([1000], np.int32)
    parts = [set(one.call("search", {"embedding": nobody, "k": k})["item_ids"][0].tolist()) - {b""} for one in shards]
    wanted = set(items.ids[4:]) | {one["item_id"].encode() for one in new}
    assert set.union(*parts) == wanted and sum(map(len, parts)) == len(wanted)
    numbers = shard_numbers(np.array(sorted(wanted), object), 2)
    assert [{one for one, n in zip(sorted(wanted), numbers, strict=True) if n == shard} for shard in range(2)] == parts

    gone.write_text("\n".join(one.decode() for one in items.ids))
    strict = config("gate.max_regression=0")
    assert export(strict, None, data, str(folder), None, str(gone)) == 3
    assert "Recall@10 fell from" in capsys.readouterr().err and (folder / "rejected-3" / "manifest.json").exists()
    assert json.loads((folder / "shards.json").read_text())["version"] == 2
