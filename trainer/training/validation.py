"""A cheap figure while training: recall over the whole catalogue, of a sample of eval requests."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config import ValidationConfig
from trainer.data.dataset import catalog, key_of, requests
from trainer.models.two_tower import TwoTower

_BATCH = 512
_ITEMS = 4096


class Validation:
    """Recall@k of ordered and clicked items; the sample is the first eval requests, the same each time."""

    def __init__(self, model: TwoTower, data_dir: str, config: ValidationConfig) -> None:
        self._model = model
        self._k, self._block = config.k, config.block
        chosen = {"ordered_item_id", "clicked_item_id"}
        columns = set(model.query_tower.columns) | chosen
        batch = min(_BATCH, config.requests)
        sample = requests(data_dir, "eval", batch, columns).take(-(-config.requests // batch)).map(_with_answers)
        self._requests = list(sample)
        self._items = catalog(data_dir, _ITEMS, {*model.item_tower.columns, "item_id"}).cache()

    @property
    def possible(self) -> bool:
        """Whether there is a request to look at."""
        return bool(self._requests)

    def recall(self) -> float:
        """The mean over requests of the share of their items among their k nearest."""
        vectors, keys = self._index()
        found = [self._found(batch, vectors, keys) for batch in self._requests]
        return float(tf.reduce_mean(tf.concat(found, axis=0)))

    def _index(self) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, keys = [], []
        for batch in self._items:
            vectors.append(self._encode_items({n: batch[n] for n in self._model.item_tower.columns}))
            keys.append(key_of(batch["item_id"]))
        return tf.concat(vectors, axis=0), tf.concat(keys, axis=0)

    @tf.function(reduce_retracing=True)
    def _encode_items(self, items: dict[str, Any]) -> tf.Tensor:
        return tf.cast(self._model.item_tower(items, training=False), tf.float32)

    @tf.function(reduce_retracing=True)
    def _found(self, batch: dict[str, Any], vectors: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        answers = batch["answers"]
        features = {name: one for name, one in batch.items() if name != "answers"}
        queries = tf.cast(self._model.query_tower(features, training=False), tf.float32)
        nearest = self._nearest(queries, vectors, keys)
        hits = tf.reduce_any(tf.gather(nearest, answers.value_rowids()) == answers.values[:, None], axis=1)
        return tf.reduce_mean(answers.with_values(tf.cast(hits, tf.float32)), axis=1)

    def _nearest(self, queries: tf.Tensor, vectors: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """The keys of the k nearest, block by block: `[B, k]`."""
        total, batch = tf.shape(vectors)[0], tf.shape(queries)[0]
        best = tf.fill([batch, self._k], -float("inf"))
        found = tf.fill([batch, self._k], tf.constant(-1, tf.int64))
        for start in tf.range(0, total, self._block):
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(best, tf.TensorShape([None, None])), (found, tf.TensorShape([None, None]))]
            )
            scores = tf.matmul(queries, vectors[start : start + self._block], transpose_b=True)
            block = tf.math.top_k(scores, tf.minimum(self._k, tf.shape(scores)[1]))
            both = tf.concat([best, block.values], axis=1)
            names = tf.concat([found, tf.gather(keys, block.indices + start)], axis=1)
            best, order = tf.math.top_k(both, self._k)
            found = tf.gather(names, order, batch_dims=1)
        return found


def _with_answers(features: dict[str, Any]) -> dict[str, Any]:
    kept = dict(features)
    ids = tf.concat([kept.pop("ordered_item_id"), kept.pop("clicked_item_id")], axis=1)
    kept["answers"] = ids.with_values(key_of(ids.values))
    return kept
