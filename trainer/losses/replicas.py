"""Sums and gatherings across the replicas of a distribution strategy; without one, nothing."""

from __future__ import annotations

import tensorflow as tf


def replicas() -> int:
    """How many replicas train together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def _together() -> tf.distribute.ReplicaContext | None:
    context = tf.distribute.get_replica_context()
    return context if context is not None and replicas() > 1 else None


def gathered(values: tf.Tensor) -> tf.Tensor:
    """Rows `[n, ...]` of all replicas, those of the first replica first; gradients flow back to each."""
    context = _together()
    return values if context is None else context.all_gather(values, axis=0)


def summed(value: tf.Tensor) -> tf.Tensor:
    """The sum over replicas."""
    context = _together()
    return value if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def replica_number() -> tf.Tensor:
    """Which of them this is."""
    context = _together()
    return tf.constant(0) if context is None else tf.cast(context.replica_id_in_sync_group, tf.int32)
