"""Items as towers read them, wherever they come from: the catalogue, or the stages of requests."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.data.padding import ABSENT, Padded


class StageItems(NamedTuple):
    """The items of one stage of all requests, flat."""

    features: dict[str, Any]  # as the catalogue has them, [n] or [n, (L)]
    requests: tf.Tensor  # [n], the row of the request each belongs to
    keys: tf.Tensor  # [n]
    log_prob: tf.Tensor  # [n]
    there: tf.Tensor | None = None  # bool [n], of padded lists: where an item is


def stage_items(requests: dict[str, Any], stage: str, columns: Collection[str]) -> StageItems:
    """Takes one stage out of a batch of requests, each feature named as in the catalogue."""
    keys = requests[f"{stage}_key"]
    if isinstance(keys, Padded):
        return _of_padded(requests, stage, columns)
    return StageItems(
        {name: requests[f"{stage}_{name}"].values for name in columns},
        tf.cast(keys.value_rowids(), tf.int32),
        keys.values,
        requests[f"{stage}_log_prob"].values,
    )


def _of_padded(requests: dict[str, Any], stage: str, columns: Collection[str]) -> StageItems:
    """The same of padded lists: every place of every request."""
    grid = requests[f"{stage}_key"].values
    keys = tf.reshape(grid, [-1])
    return StageItems(
        {name: _by_place(requests[f"{stage}_{name}"]) for name in columns},
        tf.reshape(tf.zeros_like(grid, tf.int32) + tf.range(tf.shape(grid)[0])[:, None], [-1]),
        keys,
        tf.reshape(requests[f"{stage}_log_prob"].values, [-1]),
        keys != ABSENT,
    )


def _by_place(feature: Padded) -> Any:
    """Of each place `[B * S]` its value, its vector or its list."""
    values = feature.values
    if feature.lengths.shape.rank == 1:
        return tf.reshape(values, [-1, *values.shape[2:]])
    flat = tf.reshape(values, tf.stack([tf.size(feature.lengths), tf.shape(values)[2]]))
    return Padded(flat, tf.reshape(feature.lengths, [-1]))


def stage_columns(stage: str, columns: Collection[str]) -> set[str]:
    """The features of a request that `stage_items` reads."""
    return {f"{stage}_{name}" for name in (*columns, "item_id", "log_prob")}
