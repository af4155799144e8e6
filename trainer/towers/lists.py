"""Lists of ids, ragged as records have them or padded with 0 as requests do: dense rows with exact masks out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import tensorflow as tf

Ids: TypeAlias = tf.Tensor | tf.RaggedTensor


def flat(ids: Ids) -> tf.Tensor:
    """What to look up: ragged ids without their rows `[total]`, padded ids as they are `[n, L]`."""
    return ids.flat_values if isinstance(ids, tf.RaggedTensor) else ids


def padded(values: tf.Tensor, ids: Ids) -> tf.Tensor:
    """Values of `flat(ids)`, `[total, d]` or `[n, L, d]`, as `[n, L, d]`: tables are asked for what is there alone."""
    return ids.with_flat_values(values).to_tensor() if isinstance(ids, tf.RaggedTensor) else values


def present(ids: Ids) -> tf.Tensor:
    """Which places of `[n, L]` hold an id; they may stand anywhere in a list."""
    return padded(flat(ids), ids) != 0


def side_by_side(groups: Sequence[Sequence[Ids]]) -> list[Ids]:
    """Groups of parallel lists, `[n, (L)]` each -> for each place in a group the lists of all: `[n, len(groups), (L)]`.

    The lists of one group are of one length, and those of padded ids of one width: they are padded together.
    """
    if isinstance(groups[0][0], tf.RaggedTensor):
        return [tf.stack(lists, axis=1) for lists in zip(*groups, strict=True)]
    parallel = [tf.stack(group, axis=1) for group in groups]
    if len({one.shape[2] for one in parallel}) > 1 or parallel[0].shape[2] is None:
        widths = tf.stack([tf.shape(one)[2] for one in parallel])
        missing = tf.unstack(tf.reduce_max(widths) - widths)
        parallel = [tf.pad(one, [[0, 0], [0, 0], [0, less]]) for one, less in zip(parallel, missing, strict=True)]
    return tf.unstack(tf.stack(parallel, axis=2), axis=1)


def mean_listed(values: tf.Tensor, ids: Ids, present_ids: tf.Tensor) -> tf.Tensor:
    """The mean of each innermost list of values of `flat(ids)`: `[n, d]`, or `[n, m, d]` of lists of lists.

    Args:
      values: `[total, d]` of ragged ids, `[..., L, d]` of padded ones.
      ids: what the values are of.
      present_ids: which places of padded ids count `[..., L]`; of ragged ids all do.
    """
    if not isinstance(ids, tf.RaggedTensor):
        return mean_rows(values, present_ids)
    if ids.ragged_rank > 1:
        return ids.with_values(mean_listed(values, ids.values, present_ids)).to_tensor()
    sums = tf.math.segment_sum(values, ids.value_rowids())  # of padded values most would be sums of nothing
    behind = ids.nrows(tf.int64) - tf.shape(sums, tf.int64)[0]  # empty lists at the end have no segment
    lengths = tf.cast(tf.maximum(ids.row_lengths(), 1), values.dtype)
    return tf.ensure_shape(tf.pad(sums, [[0, behind], [0, 0]]), [None, values.shape[-1]]) / lengths[:, None]


def mean_rows(rows: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean of the rows `[..., L, d]` that are there `[..., L]`: `[..., d]`, zero where none is."""
    ones = tf.cast(mask, rows.dtype)
    weights = tf.math.divide_no_nan(ones, tf.reduce_sum(ones, axis=-1, keepdims=True))
    batch = "abc"[: rows.shape.rank - 2]
    return tf.einsum(f"{batch}l,{batch}ld->{batch}d", weights, rows)


def oldest_first(rows: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows `[B, n, d]`, newest first, those not there anywhere -> `[B, longest, d]`, oldest first, those behind.

    Returns:
      The rows and their mask, at least one place wide.
    """
    if not mask.shape[1]:  # of ragged lists, which may all be empty
        rows, mask = tf.pad(rows, [[0, 0], [0, 1], [0, 0]]), tf.pad(mask, [[0, 0], [0, 1]])
    there = tf.cast(mask, tf.int32)
    longest = tf.maximum(tf.reduce_max(tf.reduce_sum(there, axis=1)), 1)
    places, order = tf.math.top_k(there * tf.range(1, tf.shape(mask)[1] + 1), longest)
    return tf.gather(rows, order, batch_dims=1), places > 0


def concat_features(parts: Iterable[dict[str, Ids]]) -> dict[str, Ids]:
    """Feature dictionaries one below the other; they share their names."""
    parts = list(parts)
    return {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}
