"""A cheap figure while training: recall over the catalogue or a sample of it, of a sample of validation requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from preprocessing.data.spec import read_spec
from trainer.config_training import ValidationConfig
from trainer.data.dataset import KEYS, catalog, key_of, requests
from trainer.models.two_tower import TwoTower

_BATCH = 512


class Validation:
    """Recall@k of ordered and clicked items; the sample is the first validation requests, the same each time.

    `data_dir` must hold a validation request.
    """

    def __init__(self, model: TwoTower, data_dir: str, config: ValidationConfig) -> None:
        self._model = model
        # One block after the other: each product of matrices has all cores as it is.
        self._search = tfrs.layers.factorized_top_k.Streaming(k=config.k, num_parallel_calls=1)
        chosen = {"ordered_item_id", "clicked_item_id"}
        columns = set(model.query_tower.columns) | chosen
        batch = min(_BATCH, config.requests)
        sample = requests(data_dir, "validation", batch, columns).take(-(-config.requests // batch)).map(_with_answers)
        self._requests = list(sample)
        self._answers = tf.concat([batch["answers"] for batch in self._requests], axis=0)
        self._items = catalog(data_dir, config.block, {*model.item_tower.columns, "item_id"})
        if config.items is not None:
            sampled = _Sampled(config.items / read_spec(data_dir)["items"], self._answers.values)
            self._items = self._items.map(sampled).filter(lambda batch: tf.size(batch["item_id"]) > 0).cache()

    def recall(self) -> float:
        """The mean over requests of the share of their items among their k nearest."""
        queries = tf.concat([self._embed_requests(_without_answers(batch)) for batch in self._requests], axis=0)
        block = tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, queries.shape[1]], tf.float32)
        self._search.index_from_dataset(tf.data.Dataset.from_generator(self._blocks, output_signature=block))
        _, nearest = self._search.call(queries)  # `__call__` would round the queries under mixed precision
        return float(tf.reduce_mean(_found(nearest, self._answers)))

    def _blocks(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """(keys, vectors) of the items as they are embedded now; one block at a time is in memory."""
        for batch in self._items:
            vectors = self._embed_items({name: batch[name] for name in self._model.item_tower.columns})
            yield key_of(batch["item_id"]), vectors

    @tf.function(reduce_retracing=True)
    def _embed_items(self, items: dict[str, Any]) -> tf.Tensor:
        return tf.cast(self._model.item_tower(items, training=False), tf.float32)

    @tf.function(reduce_retracing=True)
    def _embed_requests(self, requests: dict[str, Any]) -> tf.Tensor:
        return tf.cast(self._model.query_tower(requests, training=False), tf.float32)


class _Sampled:
    """Keeps the answers of a batch of items and a share of the others, always the same: those whose keys are least."""

    def __init__(self, share: float, answers: tf.Tensor) -> None:
        self._below = tf.constant(min(int(share * KEYS), KEYS), tf.int64)
        self._answers = tf.sort(answers)

    def __call__(self, items: dict[str, Any]) -> dict[str, Any]:
        keys = key_of(items["item_id"])
        places = tf.minimum(tf.searchsorted(self._answers, keys), tf.size(self._answers) - 1)
        kept = tf.where((keys < self._below) | (tf.gather(self._answers, places) == keys))[:, 0]
        return {name: tf.gather(values, kept) for name, values in items.items()}


def _found(nearest: tf.Tensor, answers: tf.RaggedTensor) -> tf.Tensor:
    """`[R]`: of each request the share of its answers among its nearest `[R, k]`."""
    hits = tf.reduce_any(tf.gather(nearest, answers.value_rowids()) == answers.values[:, None], axis=1)
    return tf.reduce_mean(answers.with_values(tf.cast(hits, tf.float32)), axis=1)


def _without_answers(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in batch.items() if name != "answers"}


def _with_answers(features: dict[str, Any]) -> dict[str, Any]:
    kept = dict(features)
    ids = tf.concat([kept.pop("ordered_item_id"), kept.pop("clicked_item_id")], axis=1)
    kept["answers"] = ids.with_values(key_of(ids.values))
    return kept
