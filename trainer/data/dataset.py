"""TFRecords as batches: deterministic, resumable by arithmetic, no Python an example."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.features import STAGES, Feature, parsing_spec
from preprocessing.data.spec import read_spec
from trainer.config import DataConfig

Features = dict[str, Any]  # name -> Tensor or RaggedTensor
_COMPRESSION = "GZIP"
_KEYS = 2**62


def requests(
    data_dir: str, split: str, batch: int, features: Collection[str] | None = None, limit: int = -1
) -> tf.data.Dataset:
    """The requests of "train" or "eval" in the files' order, parsed, the last batch as it falls out.

    Args:
      data_dir: the folder of `preprocessing.pipeline`.
      split: "train" or "eval".
      batch: requests a batch.
      features: names to read; all by default. Fewer are read faster.
      limit: only the first so many; -1 for all.
    """
    return _read(data_dir, split, "requests", batch, features, limit)


def catalog(data_dir: str, batch: int, features: Collection[str] | None = None) -> tf.data.Dataset:
    """The live items in the files' order, parsed, the last batch as it falls out."""
    return _read(data_dir, "catalog", "catalog", batch, features, -1)


def _read(
    data_dir: str, split: str, kind: str, batch: int, names: Collection[str] | None, limit: int
) -> tf.data.Dataset:
    spec = select(read_spec(data_dir)[kind], names)
    records = tf.data.TFRecordDataset(record_files(data_dir, split), _COMPRESSION, num_parallel_reads=None).take(limit)
    parsed = records.batch(batch).map(lambda x: tf.io.parse_example(x, spec), tf.data.AUTOTUNE, deterministic=True)
    return parsed.prefetch(2)


def record_files(data_dir: str, split: str) -> list[str]:
    """The files of a split, in order."""
    files = sorted(tf.io.gfile.glob(f"{data_dir}/{split}-*.tfrecord.gz"))
    if not files:
        raise UserError(f"--data {data_dir}: no {split}-*.tfrecord.gz in it")
    return files


def select(features: Iterable[Mapping[str, Any]], names: Collection[str] | None) -> dict[str, Any]:
    """The parsing spec of the features in `names`, or of all."""
    described = [Feature(**feature) for feature in features]
    if names is not None:
        unknown = set(names) - {feature.name for feature in described}
        if unknown:
            raise UserError(
                f"the data has no {', '.join(sorted(unknown))}; preprocessing.text decides which grains there are"
            )
        described = [feature for feature in described if feature.name in names]
    return parsing_spec(described)


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
            lambda file: tf.data.TFRecordDataset(file, _COMPRESSION),
            cycle_length=self._config.readers,
            block_length=16,
            num_parallel_calls=min(self._config.readers, 2),
            deterministic=True,
        )
        window = min(self._config.shuffle, self._records)
        return records.shuffle(window, seed=self._seed + epoch, reshuffle_each_iteration=False)


class TrainingData:
    """Batches of requests with, beside each, items of the whole catalogue as shared negatives."""

    def __init__(
        self,
        data_dir: str,
        config: DataConfig,
        seed: int,
        negatives: int,
        request_names: Collection[str],
        item_names: Collection[str],
    ) -> None:
        self._spec = read_spec(data_dir)
        self._batch, self._negatives = config.batch, negatives
        self._prefetch = config.prefetch
        self.requests = int(self._spec["examples"]["train"])
        self.items = int(self._spec["items"])
        self._request_spec = select(self._spec["requests"], request_names)
        self._item_spec = select(self._spec["catalog"], {*item_names, "item_id"})
        self._streams = (
            Stream(record_files(data_dir, "train"), self.requests, config, seed),
            Stream(record_files(data_dir, "catalog"), self.items, config, seed + 1),
        )

    def batches(self, step: int, pipelines: int = 1, pipeline: int = 0, replicas: int = 1) -> tf.data.Dataset:
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


def keyed_requests(features: Features) -> Features:
    """Item ids of the stages as int64 keys, which devices without strings can compare."""
    keyed = dict(features)
    for stage in STAGES:
        ids = keyed.pop(f"{stage}_item_id", None)
        if ids is not None:
            keyed[f"{stage}_key"] = ids.with_values(key_of(ids.values))
    return keyed


def keyed_items(features: Features) -> Features:
    """The same for items of the catalogue."""
    keyed = dict(features)
    keyed["key"] = key_of(keyed.pop("item_id"))
    return keyed


def key_of(item_ids: tf.Tensor) -> tf.Tensor:
    """int64 keys of item ids; that any two of a million items share one has odds of one to nine million."""
    return tf.strings.to_hash_bucket_fast(item_ids, _KEYS)


def empty_batch(spec: Mapping[str, Any], request_names: Collection[str], item_names: Collection[str]) -> Features:
    """A training batch of nothing, from which a model makes its variables."""
    nothing = tf.constant([], tf.string)
    request_spec = select(spec["requests"], request_names)
    item_spec = select(spec["catalog"], {*item_names, "item_id"})
    return {
        "requests": keyed_requests(tf.io.parse_example(nothing, request_spec)),
        "catalog": keyed_items(tf.io.parse_example(nothing, item_spec)),
    }
