"""L_retrieval: global comparison of each positive with the pool."""

from __future__ import annotations

import tensorflow as tf

from trainer.losses.negatives import MASKED


def softmax_losses(positives: tf.Tensor, rows: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """-log softmax of each positive against the negatives of its request; positives never meet each other.

    Args:
      positives: `[P]` logits.
      rows: `[P]`, the request of each.
      negatives: `[B, C]` logits.

    Returns:
      `[P]`.
    """
    others = tf.gather(tf.reduce_logsumexp(negatives, axis=1), rows)
    return tf.nn.softplus(others - positives)


def softmax_losses_with_mixed(
    positives: tf.Tensor, rows: tf.Tensor, negatives: tf.Tensor, mixed: tf.Tensor
) -> tf.Tensor:
    """The same with, beside the shared negatives, each positive's own `[P, N]`."""
    others = tf.gather(tf.reduce_logsumexp(negatives, axis=1), rows)
    own = tf.reduce_logsumexp(mixed, axis=1)
    return tf.nn.softplus(_log_add(others, own) - positives)


def _log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.maximum(one, other) + tf.nn.softplus(-tf.abs(one - other))


def hinge_losses(positives: tf.Tensor, rows: tf.Tensor, negatives: tf.Tensor, margin: float) -> tf.Tensor:
    """The mean over a request's negatives of max(0, margin - positive + negative): `[P]`."""
    present = tf.cast(negatives > MASKED, tf.float32)
    gaps = tf.nn.relu(margin - positives[:, None] + tf.gather(negatives, rows)) * tf.gather(present, rows)
    return tf.reduce_sum(gaps, axis=1) / tf.maximum(tf.gather(tf.reduce_sum(present, axis=1), rows), 1.0)
