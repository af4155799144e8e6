"""Lists of unequal length: padded or ragged ids in, exact means and masked rows out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import tensorflow as tf

Ids: TypeAlias = tf.Tensor | tf.RaggedTensor


def ragged(ids: Ids) -> tf.RaggedTensor:
    """Ids without their padding: zeros of a dense `[n, L]` go, ragged ids stay as they are."""
    if isinstance(ids, tf.RaggedTensor):
        return ids
    return tf.ragged.boolean_mask(ids, ids != 0)


def aligned(lists: dict[str, Ids], leader: str) -> dict[str, tf.RaggedTensor]:
    """Parallel lists without padding, by the ids of `leader`: a 0 in the others means "none", not padding."""
    ids = lists[leader]
    if isinstance(ids, tf.RaggedTensor):
        return lists
    present = ids != 0
    return {name: tf.ragged.boolean_mask(one, present) for name, one in lists.items()}


def sum_lists(values: tf.Tensor, lists: tf.RaggedTensor) -> tf.Tensor:
    """Sums `values` `[total, d]`, one for each element of `lists` `[n, (L)]`, list by list: `[n, d]`."""
    sums = tf.math.segment_sum(values, lists.value_rowids())  # sorted rows sum twice as fast as unsorted ones
    behind = lists.nrows(tf.int64) - tf.shape(sums, tf.int64)[0]  # empty lists at the end have no segment
    sums = tf.pad(sums, [[0, behind], [0, 0]])
    return tf.ensure_shape(sums, [None, values.shape[-1]])


def mean_lists(values: tf.Tensor, lists: tf.RaggedTensor) -> tf.Tensor:
    """As `sum_lists`, the mean; zero for an empty list."""
    lengths = tf.cast(tf.maximum(lists.row_lengths(), 1), values.dtype)
    return sum_lists(values, lists) / lengths[:, None]


def padded(values: tf.Tensor, lists: tf.RaggedTensor, at_least: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
    """Values `[total, d]` of lists as `[n, longest, d]` with zeros behind, and which are there `[n, longest]`."""
    lengths = lists.row_lengths()
    vectors, mask = lists.with_values(values).to_tensor(), tf.sequence_mask(lengths)
    if at_least:
        missing = tf.maximum(at_least - tf.shape(mask)[1], 0)
        vectors, mask = tf.pad(vectors, [[0, 0], [0, missing], [0, 0]]), tf.pad(mask, [[0, 0], [0, missing]])
    return vectors, mask


def concat_features(parts: Iterable[dict[str, Ids]]) -> dict[str, Ids]:
    """Feature dictionaries one below the other; they share their names."""
    parts = list(parts)
    return {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}
