"""Batches to train on: deterministic, endless, resumable at any step by arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf

from preprocessing.data.spec import read_spec
from trainer.config import DataConfig, TrainerConfig
from trainer.data.dataset import COMPRESSION, Features, keyed_items, keyed_requests, record_files, select


class Stream:
    """An endless, shuffled stream of records: epoch after epoch, the order decided by the seed alone.

    Batches are cut across the ends of epochs, so the record at which a step begins is arithmetic, and a
    run resumes at any step by skipping what lies before it in the running epoch.
    """

    def __init__(self, files: list[str], records: int, config: DataConfig, seed: int) -> None:
        self._files = files
        self._records = records
        self._config = config
        self._seed = seed

    def examples(self, start: int) -> tf.data.Dataset:
        """Serialised examples from record `start` of the stream on."""
        first, offset = divmod(start, self._records)
        running = self._epoch(tf.constant(first, tf.int64)).skip(offset)
        later = tf.data.Dataset.range(first + 1, tf.int64.max)
        return running.concatenate(later.flat_map(self._epoch))

    def _epoch(self, epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.constant(self._files), seed=tf.stack([tf.constant(self._seed, tf.int64), epoch])
        )
        records = tf.data.Dataset.from_tensor_slices(order).interleave(
            lambda file: tf.data.TFRecordDataset(file, COMPRESSION),
            cycle_length=self._config.readers,
            block_length=16,
            num_parallel_calls=min(self._config.readers, 2),
            deterministic=True,
        )
        window = min(self._config.shuffle, self._records)
        return records.shuffle(window, seed=self._seed + epoch, reshuffle_each_iteration=False)


class TrainingData:
    """Batches of requests with, beside each, items of the whole catalogue as shared negatives.

    Args:
      data_dir: the folder of `preprocessing.pipeline`.
      config: of the experiment; its seed decides the order.
      request_names: features of requests to read, as `model.request_columns`.
      item_names: of catalogue items, as `model.item_columns`.
    """

    def __init__(
        self,
        data_dir: str,
        config: TrainerConfig,
        request_names: Collection[str],
        item_names: Collection[str],
    ) -> None:
        self._spec = read_spec(data_dir)
        self._batch, self._negatives = config.data.batch, config.loss.shared_negatives
        self._prefetch = config.data.prefetch
        self.requests = int(self._spec["examples"]["train"])
        self.items = int(self._spec["items"])
        self._request_spec = select(self._spec["requests"], request_names)
        self._item_spec = select(self._spec["catalog"], {*item_names, "item_id"})
        self._streams = (
            Stream(record_files(data_dir, "train"), self.requests, config.data, config.seed),
            Stream(record_files(data_dir, "catalog"), self.items, config.data, config.seed + 1),
        )

    def batches(self, step: int = 0, pipelines: int = 1, pipeline: int = 0, replicas: int = 1) -> tf.data.Dataset:
        """The batches from `step` on that are due to one of several input pipelines.

        Args:
          step: steps done before.
          pipelines: input pipelines in all (one a worker); each reads every file and keeps its share of records,
            so that the records of a step do not depend on how many there are.
          pipeline: which of them this is.
          replicas: replicas in all; each gets a batch of its own.
        """
        parts = [self._records(step, self._streams[0], self._batch, pipelines, pipeline, replicas, self._request_spec)]
        parts[0] = parts[0].map(keyed_requests, tf.data.AUTOTUNE, deterministic=True)
        if self._negatives:
            items = self._records(
                step, self._streams[1], self._negatives, pipelines, pipeline, replicas, self._item_spec
            )
            parts.append(items.map(keyed_items, tf.data.AUTOTUNE, deterministic=True))
            both = tf.data.Dataset.zip(tuple(parts)).map(lambda one, other: {"requests": one, "catalog": other})
        else:
            both = parts[0].map(lambda one: {"requests": one})
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return both.prefetch(self._prefetch).with_options(options)

    def request_ids(self, step: int) -> list[str]:
        """The requests of one step's batch, of all replicas."""
        spec = {"request_id": tf.io.FixedLenFeature([], tf.string)}
        batch = next(iter(self._records(step, self._streams[0], self._batch, 1, 0, 1, spec)))
        return [one.decode(errors="replace") for one in batch["request_id"].numpy()]

    @staticmethod
    def _records(
        step: int, stream: Stream, batch: int, pipelines: int, pipeline: int, replicas: int, spec: Mapping[str, Any]
    ) -> tf.data.Dataset:
        records = stream.examples(step * batch)
        if pipelines > 1:
            records = records.shard(pipelines, pipeline)
        batches = records.batch(batch // replicas, drop_remainder=True)
        return batches.map(lambda x: tf.io.parse_example(x, spec), tf.data.AUTOTUNE, deterministic=True)


def empty_batch(spec: Mapping[str, Any], request_names: Collection[str], item_names: Collection[str]) -> Features:
    """A training batch of nothing, from which a model makes its variables."""
    nothing = tf.constant([], tf.string)
    request_spec = select(spec["requests"], request_names)
    item_spec = select(spec["catalog"], {*item_names, "item_id"})
    return {
        "requests": keyed_requests(tf.io.parse_example(nothing, request_spec)),
        "catalog": keyed_items(tf.io.parse_example(nothing, item_spec)),
    }
