"""Hard negatives: the hardest of the pool alone, and mixtures of the positive with them."""

from __future__ import annotations

import tensorflow as tf

from trainer.config import HardNegativesConfig
from trainer.losses.negatives import MASKED
from trainer.towers.noise import Noise


def hardest(negatives: tf.Tensor, count: int) -> tf.Tensor:
    """The `count` largest of each row of logits `[B, C]`, as TFRS's HardNegativeMining keeps them."""
    return tf.math.top_k(negatives, tf.minimum(count, tf.shape(negatives)[1]), sorted=False).values


def mixed_negatives(
    positives: tf.Tensor,
    rows: tf.Tensor,
    scores: tf.Tensor,
    log_count: tf.Tensor,
    config: HardNegativesConfig,
    noise: Noise,
) -> tf.Tensor:
    """Logits of alpha * i_pos + (1 - alpha) * i_hard for the N hardest negatives of each positive's request.

    The inner product of a mixture is the mixture of the inner products, so the mixed items need not be made; and
    the corrections mix along, so that a mixture weighs like the items it is made of.

    Args:
      positives: `[P]` corrected logits.
      rows: `[P]`, the request of each.
      scores: `[B, C]` inner products over the temperature.
      log_count: `[C]`, the corrections.
      config: N and the range of alpha.
      noise: each mixture draws its alpha.

    Returns:
      `[P, N]`.
    """
    found = tf.math.top_k(scores, tf.minimum(config.count, tf.shape(scores)[1]), sorted=False)
    hard = tf.gather(found.values - tf.gather(log_count, found.indices), rows)
    share = noise.uniform(tf.shape(hard), "alpha", *config.alpha)
    # Where a request has fewer than N negatives, its masked ones stay out.
    return tf.where(hard > MASKED, share * positives[:, None] + (1 - share) * hard, hard)
