"""The records of a data folder in the order of its files, parsed in batches; no Python an example."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.features import STAGES, VECTOR, Feature, parsing_spec
from preprocessing.data.spec import read_spec

Features = dict[str, Any]  # name -> Tensor or RaggedTensor
COMPRESSION = "GZIP"
KEYS = 2**62  # of items, from 0 on
_GRAINS = "text decides which grains there are"
_VECTORS = "input.catalog.vector_width whether there are any"


def requests(
    data_dir: str, split: str, batch: int, features: Collection[str] | None = None, limit: int = -1
) -> tf.data.Dataset:
    """The requests of "train", "validation" or "eval" in the files' order, parsed, the last batch as it falls out.

    Args:
      data_dir: the folder of `preprocessing.pipeline`.
      split: "train", "validation" or "eval".
      batch: requests a batch.
      features: names to read; all by default. Fewer are read faster.
      limit: only the first so many; -1 for all.
    """
    return _read(data_dir, split, "requests", batch, features, limit)


def catalog(
    data_dir: str, batch: int, features: Collection[str] | None = None, files: Sequence[str] | None = None
) -> tf.data.Dataset:
    """The live items in the files' order, or those of some files, parsed, the last batch as it falls out."""
    return _read(data_dir, "catalog", "catalog", batch, features, -1, files)


def _read(
    data_dir: str,
    split: str,
    kind: str,
    batch: int,
    names: Collection[str] | None,
    limit: int,
    files: Sequence[str] | None = None,
) -> tf.data.Dataset:
    spec = select(read_spec(data_dir)[kind], names)
    chosen = record_files(data_dir, split) if files is None else list(files)
    records = tf.data.TFRecordDataset(chosen, COMPRESSION, num_parallel_reads=None).take(limit)
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
            decides = _VECTORS if all(name.endswith(VECTOR) for name in unknown) else _GRAINS
            raise UserError(f"the data has no {', '.join(sorted(unknown))}; preprocessing.{decides}")
        described = [feature for feature in described if feature.name in names]
    return parsing_spec(described)


def keyed_requests(features: Features) -> Features:
    """Queries, and item ids of the stages, as int64 keys, which devices without strings can compare."""
    keyed = dict(features)
    if "query" in keyed:
        keyed["query_key"] = query_key_of(keyed.pop("query"))
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


def query_key_of(queries: tf.Tensor) -> tf.Tensor:
    """int64 keys of queries, one for all that differ in case or white space alone; 0 for one that is empty."""
    spaced = tf.strings.strip(tf.strings.regex_replace(queries, r"\s+", " "))
    return tf.where(spaced == "", tf.constant(0, tf.int64), key_of(tf.strings.lower(spaced, encoding="utf-8")))


def key_of(item_ids: tf.Tensor) -> tf.Tensor:
    """int64 keys of item ids; that any two of a million items share one has odds of one to nine million."""
    return tf.strings.to_hash_bucket_fast(item_ids, KEYS)
