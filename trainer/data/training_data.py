"""Batches to train on: deterministic, endless, resumable at any step by arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from preprocessing.data.spec import read_spec
from trainer.config import TrainerConfig
from trainer.data.catalog_requests import CatalogRequests, joined, of_mixture, request_names, share_of
from trainer.data.dataset import Features, keyed_items, keyed_requests, select
from trainer.data.padding import Widths
from trainer.data.record_stream import Number, Stream, counted_files

_MEASURED = 4  # batches that the widths of padded lists are taken from
_APART = 1_000_003  # between the seeds of two streams of the catalogue, which count up by epochs


class Due(NamedTuple):
    """From which step on, and for whom, records are cut out of a stream."""

    step: Number
    pipelines: int = 1
    pipeline: Number = 0
    replicas: int = 1
    alone: bool = False  # each pipeline makes steps of its own

    def batch(self, count: int) -> int:
        """Records a batch, of `count` a step."""
        return count // self.replicas

    def step_size(self, count: int) -> int:
        """Records a step, of all replicas: each has as many; of steps that all pipelines make alone, those of all."""
        return self.batch(count) * (self.pipelines if self.alone else self.replicas)

    def numbered(self, stream: Stream, count: int) -> tf.data.Dataset:
        """Batches of (places `[n]`, records `[n]`), `count` records a step; a place is step x size + place in it."""
        size = self.step_size(count)
        mine = size // self.pipelines
        start = tf.cast(self.step, tf.int64) * mine
        first = tf.cast(self.pipeline, tf.int64) * mine
        records = stream.examples(start, self.pipelines, self.pipeline).enumerate(start)
        batches = records.batch(self.batch(count), drop_remainder=True)
        return batches.map(lambda number, records: (number // mine * size + first + number % mine, records))

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
        train, live = counted_files(data_dir, "train"), counted_files(data_dir, "catalog")
        self._log = Stream(train, config.data, config.seed)
        self._shared = Stream(live, config.data, config.seed + 1)
        if config.data.from_older:
            older = [file for folder in config.data.older.folders for file in counted_files(folder, "train")]
            self._older = Stream(older, config.data, config.seed + 2 * _APART)
        if config.data.from_catalog:
            self._asking = Stream(live, config.data, config.seed + _APART)
            self._made = CatalogRequests(data_dir, spec, request_names, config.seed)

    def batches(
        self, step: Number = 0, pipelines: int = 1, pipeline: Number = 0, replicas: int = 1, alone: bool = False
    ) -> tf.data.Dataset:
        """The batches from `step` on that are due to one of several input pipelines.

        Args:
          step: steps done before.
          pipelines: input pipelines in all, one a worker; each reads its own files.
          pipeline: which of them this is.
          replicas: replicas in all; each gets a batch of its own.
          alone: whether each pipeline makes steps of its own, of which `step` are done.
        """
        batches = self._ragged(Due(step, pipelines, pipeline, replicas, alone))
        if self._config.training.padded:
            widths = Widths(self._ragged(Due(0)).take(_MEASURED))
            batches = batches.map(widths.padded, tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return batches.prefetch(self._config.data.prefetch).with_options(options)

    def _ragged(self, due: Due) -> tf.data.Dataset:
        """The batches, their lists as records have them."""
        data, negatives = self._config.data, self._config.loss.shared_negatives
        parts = {"requests": _parsed(due.records(self._log, data.from_log), self._request_spec)}
        if data.from_older:
            parts["older"] = _parsed(due.records(self._older, data.from_older), self._request_spec)
        if data.from_catalog:
            parts["made"] = self._made_requests(due, data.from_catalog)
        if negatives:
            parts["catalog"] = _parsed(due.records(self._shared, negatives), self._item_spec)
        return tf.data.Dataset.zip(parts).map(self._batch, tf.data.AUTOTUNE, deterministic=True)

    def request_ids(self, step: int, pipelines: int = 1, replicas: int = 1) -> list[str]:
        """The requests of one step's batches, of all replicas."""
        batches = [
            batch.numpy()
            for pipeline in range(pipelines)
            for part in self._ids(Due(step, pipelines, pipeline, replicas))
            for batch in part.take(replicas // pipelines)
        ]
        return [one.decode(errors="replace") for batch in batches for one in batch]

    def _ids(self, due: Due) -> list[tf.data.Dataset]:
        """What `batches` reads, as names of requests."""
        data = self._config.data
        logs = [due.records(self._log, data.from_log)]
        if data.from_older:
            logs.append(due.records(self._older, data.from_older))
        parts = [_parsed(log, _only("request_id")).map(lambda one: one["request_id"]) for log in logs]
        if data.from_catalog:
            asking = _parsed(due.records(self._asking, data.from_catalog), _only("item_id"))
            parts.append(asking.map(lambda one: request_names(one["item_id"])))
        return parts

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
