"""L_retrieval: global comparison of each positive with the pool."""

from __future__ import annotations

import tensorflow as tf

from trainer.losses.negatives import MASKED


def softmax_losses(positives: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """-log softmax of each positive `[P]` against what `log_sums` gives of its negatives `[P]`: `[P]`.

    Positives of one request never meet each other.
    """
    return tf.nn.softplus(others - positives)


def log_sums(rows: tf.Tensor, negatives: tf.Tensor, mixed: tf.Tensor | None = None) -> tf.Tensor:
    """The log of the summed exponents of each positive's negatives.

    Args:
      rows: `[P]`, the request of each positive.
      negatives: `[B, C]` logits, shared by the positives of a request.
      mixed: `[P, N]` logits, each positive's own beside them.

    Returns:
      `[P]`.
    """
    shared = tf.gather(tf.reduce_logsumexp(negatives, axis=1), rows)
    return shared if mixed is None else log_add(shared, tf.reduce_logsumexp(mixed, axis=1))


def log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """log(e^one + e^other)."""
    return tf.maximum(one, other) + tf.nn.softplus(-tf.abs(one - other))


def hinge_losses(positives: tf.Tensor, rows: tf.Tensor, negatives: tf.Tensor, margin: float) -> tf.Tensor:
    """The mean over a request's negatives of max(0, margin - positive + negative): `[P]`."""
    present = tf.cast(negatives > MASKED, tf.float32)
    gaps = tf.nn.relu(margin - positives[:, None] + tf.gather(negatives, rows)) * tf.gather(present, rows)
    return tf.reduce_sum(gaps, axis=1) / tf.maximum(tf.gather(tf.reduce_sum(present, axis=1), rows), 1.0)
