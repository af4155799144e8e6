"""Negatives of the leaf that a request's positives are of: where they lie in the pool, and what more they weigh."""

from __future__ import annotations

import tensorflow as tf

from trainer.losses.negatives import MASKED, held, places_of


def leaf_places(rows: tf.Tensor, leaves: tf.Tensor, pool_leaves: tf.Tensor) -> tf.Tensor:
    """Where the pool holds an item of a leaf that a positive of the request has.

    Args:
      rows: `[P]`, the request of each positive.
      leaves: `[P]`, 0 for none.
      pool_leaves: `[C]`.

    Returns:
      int `[n, 2]`: (request, place in the pool); one may come twice.
    """
    known = leaves != 0
    return places_of(tf.boolean_mask(rows, known), tf.boolean_mask(leaves, known), pool_leaves)


def padded_leaf_places(leaves: tf.Tensor, pool_leaves: tf.Tensor) -> tf.Tensor:
    """The same of padded lists of leaves `[B, S]`: bool `[B, C]`."""
    return held(tf.where(leaves != 0, leaves, -tf.ones_like(leaves)), pool_leaves)


def log_weights(places: tf.Tensor, scores: tf.Tensor, log_count: tf.Tensor, count: int) -> tf.Tensor:
    """What is added to the logits of the same leaf so that the leaf counts `count` items more.

    A corrected pool stands for the catalogue: each of its items for exp(-log_count) items, those of a request's leaf
    together for n. Weighing each 1 + count / n times is what `count` further items of the leaf would add on average.

    Args:
      places: `[n, 2]`, of `leaf_places`, or bool `[B, C]`.
      scores: `[B, C]`; what is masked is no negative.
      log_count: `[C]`, the corrections.
      count: N.

    Returns:
      `[B, C]`, 0 outside the leaf.
    """
    if places.dtype == tf.bool:
        here = places & (scores > MASKED)
    else:
        here = tf.scatter_nd(places, tf.ones(tf.shape(places)[:1]), tf.shape(scores)) > 0
        here &= scores > MASKED
    stands_for = tf.reduce_sum(tf.where(here, tf.exp(-log_count), 0.0), axis=1, keepdims=True)
    return tf.where(here, tf.math.log1p(tf.math.divide_no_nan(float(count), stands_for)), 0.0)
