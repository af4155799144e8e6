"""The negatives of a step: one pool for the whole batch, over all replicas, each item corrected for its odds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

NEVER = -1e9  # added to a logit, it leaves the softmax
MASKED = NEVER / 2  # logits below are of masked candidates


class Pool(NamedTuple):
    """Candidates that every request is compared with."""

    vectors: tf.Tensor  # [C, d]
    keys: tf.Tensor  # [C]
    owners: tf.Tensor  # [C], the request (over all replicas) that brought it; -1 for the catalogue
    leaves: tf.Tensor  # [C], ids, where the objective reads them
    log_count: tf.Tensor  # [C], log of how often the item is expected in the pool; 0 without correction


def log_expected_count(
    log_prob: tf.Tensor, catalog_draws: tf.Tensor, items: int, in_batch_draws: tf.Tensor
) -> tf.Tensor:
    """The correction under a mixture of two sources: log(catalog_draws / items + in_batch_draws * p).

    The catalogue stream passes each of `items` equally often; a slot in the batch holds the item with the
    probability p = exp(log_prob) that a positive is it. An item's expected count is the sum of both, whichever of
    them brought it, so that the corrected pool, summed, is without bias the sum over the whole catalogue.

    Args:
      log_prob: `[n]`, of being drawn as a positive.
      catalog_draws: scalar, items of the catalogue in the pool.
      items: in the catalogue.
      in_batch_draws: scalar, positives of other requests in the pool.
    """
    drawn = tf.cast(catalog_draws, tf.float32) / items
    expected = drawn + tf.cast(in_batch_draws, tf.float32) * tf.exp(log_prob)
    return tf.math.log(tf.maximum(expected, 1e-20))


def places_of(rows: tf.Tensor, own_keys: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Where the pool holds what belongs to a request.

    Args:
      rows: `[P]`, requests.
      own_keys: `[P]`, a key that belongs to each.
      keys: `[C]`, those of the pool.

    Returns:
      int `[n, 2]`: (request, place in the pool).
    """
    # A join by sorting: comparing all with all would be the dearest step of the loss.
    numbers = tf.unique(tf.concat([own_keys, keys], axis=0)).idx
    own, pool = numbers[: tf.size(own_keys)], numbers[tf.size(own_keys) :]
    order = tf.argsort(pool, stable=True)
    ordered = tf.gather(pool, order)
    first = tf.searchsorted(ordered, own, side="left")
    behind = tf.searchsorted(ordered, own, side="right")
    hits = tf.ragged.range(first, behind)
    requests = tf.gather(rows, tf.cast(hits.value_rowids(), tf.int32))
    return tf.stack([requests, tf.gather(order, hits.values)], axis=1)


def held(lists: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """What `places_of` says of padded lists of keys `[B, S]`: bool `[B, C]`, by comparing all with all.

    No number of hits decides a shape, and a compiler never makes the `[B, S, C]` of it.
    """
    return tf.reduce_any(lists[:, :, None] == keys, axis=1)


def either(found: Sequence[tf.Tensor]) -> tf.Tensor:
    """Some `places_of` `[n, 2]`, or some bool `[B, C]`, as one."""
    if found[0].dtype == tf.bool:
        return functools.reduce(tf.logical_or, found)
    return tf.concat(found, axis=0)


def without(logits: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Logits `[B, C]` with those at `places` `[n, 2]`, or where these are a true bool `[B, C]`, out of the softmax."""
    if places.dtype == tf.bool:
        return logits + tf.where(places, NEVER, 0.0)
    return tf.tensor_scatter_nd_add(logits, places, tf.fill([tf.shape(places)[0]], NEVER))
