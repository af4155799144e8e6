"""A multi-positive softmax over levels: purchase inside click inside exposure, each against everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from trainer.config import Level
from trainer.losses.negatives import NEVER
from trainer.losses.replicas import summed
from trainer.losses.retrieval import log_add

STAGES_OF_LEVEL: dict[Level, int] = {
    "purchase": 1,
    "click": 2,
    "exposure": 3,
}  # how many stages, best first, its positives are of


class OwnItems(NamedTuple):
    """A request's own items, of all stages, as the softmax sees them."""

    logits: tf.Tensor  # [n], corrected
    others: tf.Tensor  # [n], log of the summed exponents of all that is of no stage of the item's request
    rows: tf.Tensor  # [n], the request of each
    stages: tf.Tensor  # [n], 0 for the best


def level_loss(own: OwnItems, requests: tf.Tensor, weights: Mapping[Level, float]) -> tf.Tensor:
    """sum_l w_l * the mean over the level's positives of -log(e^z / (e^z + what is not in the level)).

    What is not in a level is the pool and the request's own items of lower stages. Positives of one level never meet.

    Args:
      own: the items.
      requests: scalar, how many there are on this replica.
      weights: w_l by the names of STAGES_OF_LEVEL.

    Returns:
      A scalar, this replica's part of the sum.
    """
    total = tf.zeros([])
    for level, weight in weights.items():
        inside = own.stages < STAGES_OF_LEVEL[level]
        below = _log_sums(tf.where(inside, NEVER, own.logits), own.rows, requests)
        losses = tf.nn.softplus(log_add(own.others, tf.gather(below, own.rows)) - own.logits)
        positive = tf.cast(inside, tf.float32)
        count = tf.maximum(summed(tf.reduce_sum(positive)), 1.0)
        total += weight * tf.reduce_sum(positive * losses) / count
    return total


def _log_sums(logits: tf.Tensor, rows: tf.Tensor, requests: tf.Tensor) -> tf.Tensor:
    """The log of the summed exponents of each request's logits `[n]`: `[B]`, never for one without."""
    highest = tf.stop_gradient(tf.maximum(tf.math.unsorted_segment_max(logits, rows, requests), NEVER))
    sums = tf.math.unsorted_segment_sum(tf.exp(logits - tf.gather(highest, rows)), rows, requests)
    return highest + tf.math.log(tf.maximum(sums, 1.0))  # the highest itself adds 1, if there is one
