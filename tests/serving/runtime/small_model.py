"""A small served model with the signatures of an export: random vectors, hashed words, exact search, core ops alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)

VECTOR_LISTS = {
    "history_queries": 2,
    "realtime_items": 3,
    "short_items": 3,
    "long_click_items": 2,
    "long_order_items": 2,
    "long_collect_items": 2,
}
FILTER_LISTS = {"required_terms": 2, "allowed_leaves": 2, "allowed_brands": 2, "excluded_items": 3}
WIDTHS = VECTOR_LISTS | FILTER_LISTS
ITEM_INPUTS = ("item_id", "title", "brand", "shop", "category_leaf", "category_top")
DIM, BUCKETS, DEFAULT_K, MAX_K = 16, 512, 10, 50
NONE = -float("inf")


class SmallModel(tf.Module):
    """The signatures; an item's vector is that of its hashed id, a query's that of its words and its past."""

    def __init__(self, item_ids: list[str], seed: int = 1) -> None:
        super().__init__(name="small")
        random = np.random.default_rng(seed)
        self.words = tf.Variable(random.normal(size=(BUCKETS, DIM)).astype(np.float32))
        self.ids = tf.Variable(np.array(item_ids, dtype=object), dtype=tf.string)
        self.vectors = tf.Variable(tf.gather(self.words, tf.strings.to_hash_bucket_fast(item_ids, BUCKETS)))

    def embedded(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """The words' mean vector, moved a little towards the user's items `[B, dim]`."""
        words = tf.strings.split(inputs["query"]).to_tensor(default_value="")
        vector = self.mean_of(words)
        for name in VECTOR_LISTS:
            if name in inputs:
                vector += 0.1 * self.mean_of(inputs[name])
        return vector

    def mean_of(self, strings: tf.Tensor) -> tf.Tensor:
        """The mean vector of the strings `[B, N]` that are not empty."""
        there = tf.cast(strings != "", tf.float32)[..., tf.newaxis]
        vectors = tf.gather(self.words, tf.strings.to_hash_bucket_fast(strings, BUCKETS))
        return tf.math.divide_no_nan(tf.reduce_sum(vectors * there, 1), tf.reduce_sum(there, 1))

    def answer(
        self, embedding: tf.Tensor, k: tf.Tensor, conditions: dict[str, tf.Tensor] | None = None
    ) -> dict[str, tf.Tensor]:
        """The best of all items, as wide as the largest k of the batch.

        An item's only word is its id, which is its brand as well; it costs as much as its row says, which also says by
        what it was found.
        """
        found = tf.minimum(tf.reduce_max(tf.clip_by_value(k, 0, MAX_K)), tf.size(self.ids))
        all_scores = tf.matmul(embedding, self.vectors, transpose_b=True)
        if conditions is not None:
            all_scores = tf.where(self.meet(conditions), all_scores, NONE)
        scores, rows = tf.math.top_k(all_scores, found)
        answer = {"item_ids": tf.where(scores > NONE, tf.gather(self.ids, rows), ""), "scores": scores}
        return answer if conditions is None else answer | {"channels": tf.where(scores > NONE, 1 + rows % 3, 0)}

    def similar(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best beside an item, whose vector is that of its hashed id; whether it is known, and its vector."""
        excluded = tf.concat([inputs["excluded_items"], inputs["item_id"][:, tf.newaxis]], axis=1)
        vector = self.mean_of(inputs["item_id"][:, tf.newaxis])
        known = tf.reduce_any(inputs["item_id"][:, tf.newaxis] == self.ids, 1)
        found = self.answer(vector, inputs["k"], inputs | {"excluded_items": excluded})
        ids = tf.where(known[:, tf.newaxis], found["item_ids"], "")
        known = tf.cast(known, tf.int32)
        return {"item_ids": ids, "scores": found["scores"], "known": known, "embedding": vector}

    def meet(self, conditions: dict[str, tf.Tensor]) -> tf.Tensor:
        """Which items meet each request's conditions, but for leaves: bool `[B, N]`."""
        lists = {name: conditions[name][:, tf.newaxis, :] for name in FILTER_LISTS}
        equal = {name: one == self.ids[tf.newaxis, :, tf.newaxis] for name, one in lists.items()}
        words = tf.reduce_all(equal["required_terms"] | (lists["required_terms"] == ""), 2)
        brands = tf.reduce_any(equal["allowed_brands"], 2) | tf.reduce_all(lists["allowed_brands"] == "", 2)
        # TensorFlow's optimiser makes `price >= low` of `~(price < low)`, which is not the same for NaN.
        low, high = (
            tf.where(tf.math.is_nan(end), open_end, end)
            for end, open_end in zip(tf.split(conditions["price_range"], 2, axis=1), (NONE, -NONE), strict=True)
        )
        price = tf.range(tf.size(self.ids, tf.float32))
        return words & brands & (price >= low) & (price <= high) & ~tf.reduce_any(equal["excluded_items"], 2)

    def signatures(self) -> dict[str, Any]:
        """By name, traced."""
        query = {"query": tf.TensorSpec([None], tf.string, "query")}
        k = {"k": tf.TensorSpec([None], tf.int32, "k")}
        vector = {name: tf.TensorSpec([None, width], tf.string, name) for name, width in VECTOR_LISTS.items()}
        filters = {name: tf.TensorSpec([None, width], tf.string, name) for name, width in FILTER_LISTS.items()}
        filters["price_range"] = tf.TensorSpec([None, 2], tf.float32, "price_range")
        item = {name: tf.TensorSpec([None], tf.string, name) for name in ITEM_INPUTS}
        embedding = {"embedding": tf.TensorSpec([None, DIM], tf.float32, "embedding")}
        return {
            "serving_default": traced(
                lambda **x: self.answer(self.embedded(x), tf.fill([tf.size(x["query"])], DEFAULT_K)), query
            ),
            "retrieve": traced(lambda **x: self.answer(self.embedded(x), x["k"], x), query | k | vector | filters),
            "embed_query": traced(lambda **x: {"embedding": self.embedded(x)}, query | vector),
            "embed_item": traced(lambda **x: {"embedding": self.mean_of(x["item_id"][:, tf.newaxis])}, item),
            "search": traced(lambda **x: self.answer(x["embedding"], x["k"]), embedding | k),
            "similar": traced(self.similar, {"item_id": item["item_id"]} | k | filters),
        }


def traced(method: Any, inputs: dict[str, tf.TensorSpec]) -> Any:
    """A concrete function of the inputs."""
    return tf.function(method, autograph=False).get_concrete_function(**inputs)


def write_version(
    base: Path, version: int, item_ids: Iterable[str] | None = None, warmup: bool = True, seed: int = 1
) -> Path:
    """Writes a whole version under `base`, aside and then by a rename, its manifest before it."""
    ids = list(item_ids) if item_ids is not None else [f"item{i}" for i in range(300)]
    model = SmallModel(ids, seed)
    aside = base / f".staging-{os.getpid()}-{version}"
    tf.saved_model.save(model, str(aside), signatures=model.signatures())
    if warmup:
        write_warmup(aside)
    manifest = {
        "version": version,
        "items": len(ids),
        "widths": WIDTHS,
        "default_k": DEFAULT_K,
        "max_k": MAX_K,
        "index": {"kind": "brute_force"},
        "dim": DIM,
        "created": "2026-01-01T00:00:00+00:00",
        "towers_hash": f"towers {seed}",
        "data_hash": "data",
        "encoding": {"vocabularies": {}, "text": {}, "vector_width": 0},
    }
    (base / f"manifest-{version}.json").write_text(json.dumps(manifest))
    os.rename(aside, base / str(version))
    return base / str(version)


def write_warmup(model: Path) -> None:
    """One request of `serving_default`, as TensorFlow Serving plays it."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "retrieval"
    request.inputs["query"].CopyFrom(tf.make_tensor_proto(["warm"]))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    (model / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(model / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
