"""L_retrieval: global comparison of each positive with the pool."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.config import HardNegativesConfig
from trainer.losses.pool import NEVER
from trainer.towers.noise import Noise

_OUT = NEVER / 2  # logits below are of masked candidates


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
    present = tf.cast(negatives > _OUT, tf.float32)
    gaps = tf.nn.relu(margin - positives[:, None] + tf.gather(negatives, rows)) * tf.gather(present, rows)
    return tf.reduce_sum(gaps, axis=1) / tf.maximum(tf.gather(tf.reduce_sum(present, axis=1), rows), 1.0)


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
    return tf.where(hard > _OUT, share * positives[:, None] + (1 - share) * hard, hard)


class LibraryRetrieval(tf.Module):
    """TFRS's own Retrieval task: one row a positive, negatives in-batch."""

    def __init__(self, temperature: float, mined: int, mask_hits: bool) -> None:
        super().__init__(name="library_retrieval")
        self._task = tfrs.tasks.Retrieval(
            temperature=temperature, num_hard_negatives=mined or None, remove_accidental_hits=mask_hits
        )

    def __call__(
        self,
        queries: tf.Tensor,
        items: tf.Tensor,
        rows: tf.Tensor,
        keys: tf.Tensor,
        weights: tf.Tensor,
        probability: tf.Tensor | None,
    ) -> tf.Tensor:
        """The summed loss of queries `[P, d]` against items `[P, d]`; other items of the same request are masked."""
        own = tf.eye(tf.size(rows), dtype=tf.bool)
        mask = own | (rows[:, None] != rows[None, :])
        return self._task(
            queries,
            items,
            sample_weight=weights,
            candidate_sampling_probability=probability,
            candidate_ids=keys,
            compute_metrics=False,
            compute_batch_metrics=False,
            score_mask=mask,
        )
