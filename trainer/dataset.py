"""Records as batches: what `preprocessing` wrote, parsed by the batch, shuffled by a seed."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf

from preprocessing.console import UserError
from preprocessing.examples import SCHEMA_VERSION, Feature, parsing_spec

Spec = dict[str, Any]
_SHUFFLED = 20_000  # records held to draw from; the files lie in a shuffled order already


def read_spec(data: str) -> Spec:
    """The data folder's description; a folder that is not whole, or of another schema, is the user's to mend."""
    if not tf.io.gfile.exists(f"{data}/_SUCCESS"):
        raise UserError(f"--data {data} has no _SUCCESS; run python -m preprocessing.pipeline to its end first")
    with tf.io.gfile.GFile(f"{data}/spec.json") as file:
        spec = json.loads(file.read())
    if spec["schema_version"] != SCHEMA_VERSION:
        found = spec["schema_version"]
        raise UserError(f"--data {data} is of schema {found}, this version reads {SCHEMA_VERSION}; preprocess it anew")
    return spec


def requests(data: str, spec: Spec, split: str, batch: int, seed: int | None = None) -> tf.data.Dataset:
    """One pass over the requests of `train` or `eval`; shuffled where a seed is given, and then whole batches alone."""
    dataset = _records(data, split, seed)
    if seed is not None:
        dataset = dataset.shuffle(_SHUFFLED, seed=seed)
    return _parsed(dataset.batch(batch, drop_remainder=seed is not None), spec["requests"])


def catalog(data: str, spec: Spec, batch: int) -> tf.data.Dataset:
    """One pass over the live items, in the order of the files."""
    return _parsed(_records(data, "catalog", None).batch(batch), spec["catalog"])


def negatives(data: str, spec: Spec, batch: int, seed: int) -> tf.data.Dataset:
    """Live items without end, shuffled over the whole catalogue: each equally likely."""
    shuffled = _records(data, "catalog", None).cache().shuffle(max(spec["items"], 1), seed=seed)
    return _parsed(shuffled.repeat().batch(batch), spec["catalog"])


def _records(data: str, name: str, seed: int | None) -> tf.data.Dataset:
    files = sorted(tf.io.gfile.glob(f"{data}/{name}-*.tfrecord.gz"))
    if not files:
        raise UserError(f"--data {data} holds no {name}-*.tfrecord.gz; run python -m preprocessing.pipeline again")
    paths = tf.data.Dataset.from_tensor_slices(files)
    if seed is not None:
        paths = paths.shuffle(len(files), seed=seed)
    return paths.interleave(_read, cycle_length=4, num_parallel_calls=2, deterministic=True)


def _read(path: tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(path, "GZIP", buffer_size=1 << 20)


def _parsed(serialized: tf.data.Dataset, features: list[dict[str, Any]]) -> tf.data.Dataset:
    parsing = parsing_spec(Feature(**feature) for feature in features)

    def parse(batch: tf.Tensor) -> dict[str, Any]:
        return tf.io.parse_example(batch, parsing)

    return serialized.map(parse, num_parallel_calls=2, deterministic=True).prefetch(4)
