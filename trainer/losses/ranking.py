"""L_rank: local comparison inside one request; what was ordered over clicked over shown over random."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from trainer.config import RankingConfig


def ranking_losses(
    scores: Mapping[str, tf.Tensor],
    masks: Mapping[str, tf.Tensor],
    config: RankingConfig,
    looked_at: tf.Tensor | None = None,
) -> tf.Tensor:
    """For each request the weighted sum over pairs of stages of their mean pair loss.

    Args:
      scores: by stage `[B, n]`, padded; over the temperature, as the softmax has them, and so are the margins.
      masks: by stage bool `[B, n]`, which are there.
      config: pairs of stages with margin m and weight w. A pair of scores costs max(0, m - (high - low)),
        or log(1 + exp(m - (high - low))).
      looked_at: `[B, n]`, how likely each item that was shown in vain was seen at all: it weighs what is above it
        by so much; without it, fully.

    Returns:
      `[B]`; a pair of stages of which one is empty costs nothing.
    """
    cost = tf.nn.relu if config.kind == "hinge" else tf.nn.softplus
    total = tf.zeros(tf.shape(next(iter(scores.values())))[:1])
    for pair, (margin, weight) in config.pairs.items():
        high, low = pair.split(">")
        if high not in scores or low not in scores:
            continue
        gaps = cost(margin - scores[high][:, :, None] + scores[low][:, None, :])
        there = tf.cast(masks[high][:, :, None] & masks[low][:, None, :], gaps.dtype)
        if low == "shown" and looked_at is not None:
            gaps *= looked_at[:, None, :]
        pairs = tf.reduce_sum(there, axis=[1, 2])
        total += weight * tf.reduce_sum(gaps * there, axis=[1, 2]) / tf.maximum(pairs, 1.0)
    return total
