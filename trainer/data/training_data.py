"""Batches to train on: deterministic, endless, resumable at any step by arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from preprocessing.data.spec import read_spec
from trainer.config import DataConfig, TrainerConfig
from trainer.data.catalog_requests import CatalogRequests, joined, of_mixture, request_names, share_of
from trainer.data.dataset import COMPRESSION, Features, keyed_items, keyed_requests, record_files, select

_APART = 1_000_003  # between the seeds of two streams of the catalogue, which count up by epochs


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


class Due(NamedTuple):
    """From which step on, and for whom, records are cut out of a stream."""

    step: int
    pipelines: int = 1
    pipeline: int = 0
    replicas: int = 1

    def step_size(self, count: int) -> int:
        """Records a step, of all replicas: each has as many."""
        return count // self.replicas * self.replicas

    def numbered(self, stream: Stream, count: int) -> tf.data.Dataset:
        """Batches of (places in the stream `[n]`, records `[n]`), `count` records a step."""
        start = self.step * self.step_size(count)
        records = stream.examples(start).enumerate(start)
        if self.pipelines > 1:
            records = records.shard(self.pipelines, self.pipeline)
        return records.batch(count // self.replicas, drop_remainder=True)

    def records(self, stream: Stream, count: int) -> tf.data.Dataset:
        """The same without their places."""
        return self.numbered(stream, count).map(lambda _, records: records)


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
        spec = read_spec(data_dir)
        self._config = config
        self.requests = int(spec["examples"]["train"])
        self.items = int(spec["items"])
        self._request_spec = select(spec["requests"], request_names)
        self._item_spec = select(spec["catalog"], {*item_names, "item_id"})
        train, live = record_files(data_dir, "train"), record_files(data_dir, "catalog")
        self._log = Stream(train, self.requests, config.data, config.seed)
        self._shared = Stream(live, self.items, config.data, config.seed + 1)
        if config.data.from_older:
            folders = config.data.older.folders
            older = [file for folder in folders for file in record_files(folder, "train")]
            count = sum(int(read_spec(folder)["examples"]["train"]) for folder in folders)
            self._older = Stream(older, count, config.data, config.seed + 2 * _APART)
        if config.data.from_catalog:
            self._asking = Stream(live, self.items, config.data, config.seed + _APART)
            self._made = CatalogRequests(data_dir, spec, request_names, config.seed)

    def batches(self, step: int = 0, pipelines: int = 1, pipeline: int = 0, replicas: int = 1) -> tf.data.Dataset:
        """The batches from `step` on that are due to one of several input pipelines.

        Args:
          step: steps done before.
          pipelines: input pipelines in all (one a worker); each reads every file and keeps its share of records,
            so that the records of a step do not depend on how many there are.
          pipeline: which of them this is.
          replicas: replicas in all; each gets a batch of its own.
        """
        due = Due(step, pipelines, pipeline, replicas)
        data, negatives = self._config.data, self._config.loss.shared_negatives
        parts = {"requests": _parsed(due.records(self._log, data.from_log), self._request_spec)}
        if data.from_older:
            parts["older"] = _parsed(due.records(self._older, data.from_older), self._request_spec)
        if data.from_catalog:
            parts["made"] = self._made_requests(due, data.from_catalog)
        if negatives:
            parts["catalog"] = _parsed(due.records(self._shared, negatives), self._item_spec)
        batches = tf.data.Dataset.zip(parts).map(self._batch, tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return batches.prefetch(data.prefetch).with_options(options)

    def request_ids(self, step: int) -> list[str]:
        """The requests of one step's batch, of all replicas."""
        due, data = Due(step), self._config.data
        logs = [due.records(self._log, data.from_log)]
        if data.from_older:
            logs.append(due.records(self._older, data.from_older))
        parts = [_parsed(log, _only("request_id")).map(lambda one: one["request_id"]) for log in logs]
        if data.from_catalog:
            asking = _parsed(due.records(self._asking, data.from_catalog), _only("item_id"))
            parts.append(asking.map(lambda one: request_names(one["item_id"])))
        return [one.decode(errors="replace") for part in parts for one in next(iter(part)).numpy()]

    def _made_requests(self, due: Due, count: int) -> tf.data.Dataset:
        def make(places: tf.Tensor, records: tf.Tensor) -> Features:
            return self._made(places, due.step_size(count), tf.io.parse_example(records, self._made.item_spec))

        return due.numbered(self._asking, count).map(make, tf.data.AUTOTUNE, deterministic=True)

    def _batch(self, parts: Features) -> Features:
        """A batch as the model reads it, of the parts it is read in."""
        batch = {name: part for name, part in parts.items() if name not in ("made", "older")}
        if "older" in parts:
            batch["requests"] = joined(batch["requests"], parts["older"])
        if "made" in parts:
            both = joined(batch["requests"], parts["made"])
            share = share_of(parts["made"], both, self._config.loss.positive_stages)
            batch = {name: of_mixture(one, share, self.items) for name, one in {**batch, "requests": both}.items()}
        batch["requests"] = keyed_requests(batch["requests"])
        if "catalog" in batch:
            batch["catalog"] = keyed_items(batch["catalog"])
        return batch


def _parsed(records: tf.data.Dataset, spec: Mapping[str, Any]) -> tf.data.Dataset:
    return records.map(lambda x: tf.io.parse_example(x, spec), tf.data.AUTOTUNE, deterministic=True)


def _only(name: str) -> dict[str, Any]:
    return {name: tf.io.FixedLenFeature([], tf.string)}


def empty_batch(spec: Mapping[str, Any], request_names: Collection[str], item_names: Collection[str]) -> Features:
    """A training batch of nothing, from which a model makes its variables."""
    nothing = tf.constant([], tf.string)
    request_spec = select(spec["requests"], request_names)
    item_spec = select(spec["catalog"], {*item_names, "item_id"})
    return {
        "requests": keyed_requests(tf.io.parse_example(nothing, request_spec)),
        "catalog": keyed_items(tf.io.parse_example(nothing, item_spec)),
    }
