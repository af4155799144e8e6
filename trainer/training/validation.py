"""A cheap figure while training: recall over the whole catalogue, of a sample of eval requests."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.config import ValidationConfig
from trainer.data.dataset import catalog, key_of, requests
from trainer.models.two_tower import TwoTower

_BATCH = 512
_ITEMS = 4096


class Validation:
    """Recall@k of ordered and clicked items; the sample is the first eval requests, the same each time."""

    def __init__(self, model: TwoTower, data_dir: str, config: ValidationConfig) -> None:
        self._model = model
        self._block = config.block
        # One block after the other: each product of matrices has all cores as it is.
        self._search = tfrs.layers.factorized_top_k.Streaming(k=config.k, num_parallel_calls=1)
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
        self._search.index_from_dataset(self._catalogue())
        found = [self._found(batch) for batch in self._requests]
        return float(tf.reduce_mean(tf.concat(found, axis=0)))

    def _catalogue(self) -> tf.data.Dataset:
        """(keys, vectors) of the whole catalogue as it is embedded now, a block at a time."""
        vectors, keys = [], []
        for batch in self._items:
            vectors.append(self._embed_items({n: batch[n] for n in self._model.item_tower.columns}))
            keys.append(key_of(batch["item_id"]))
        one = tf.concat(keys, axis=0), tf.concat(vectors, axis=0)
        starts = tf.data.Dataset.range(0, len(one[0]), self._block)
        return starts.map(lambda start: tuple(part[start : start + self._block] for part in one))

    @tf.function(reduce_retracing=True)
    def _embed_items(self, items: dict[str, Any]) -> tf.Tensor:
        return tf.cast(self._model.item_tower(items, training=False), tf.float32)

    @tf.function(reduce_retracing=True)
    def _embed_requests(self, requests: dict[str, Any]) -> tf.Tensor:
        return tf.cast(self._model.query_tower(requests, training=False), tf.float32)

    def _found(self, batch: dict[str, Any]) -> tf.Tensor:
        """`[B]`: of each request the share of its answers that are found."""
        answers = batch["answers"]
        queries = self._embed_requests({name: one for name, one in batch.items() if name != "answers"})
        _, nearest = self._search.call(queries)  # `__call__` would round the queries under mixed precision
        hits = tf.reduce_any(tf.gather(nearest, answers.value_rowids()) == answers.values[:, None], axis=1)
        return tf.reduce_mean(answers.with_values(tf.cast(hits, tf.float32)), axis=1)


def _with_answers(features: dict[str, Any]) -> dict[str, Any]:
    kept = dict(features)
    ids = tf.concat([kept.pop("ordered_item_id"), kept.pop("clicked_item_id")], axis=1)
    kept["answers"] = ids.with_values(key_of(ids.values))
    return kept
