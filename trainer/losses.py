"""Softmax over positives and many negatives, drawn from known distributions; every function is a formula.

Shapes: B requests, P positives a request, N negatives, d the width.
"""

from __future__ import annotations

import tensorflow as tf

_MASKED = -1e9


def log_expected_count(
    in_batch_log_prob: tf.Tensor, in_batch_draws: float, shared_log_prob: tf.Tensor | float, shared_draws: float
) -> tf.Tensor:
    """How often an item is expected among the negatives when they come from two sources, as a logarithm.

    A negative is as likely as both sources together make it, whichever of them drew it:
    `log(draws_batch * p_batch + draws_shared * p_shared)`.
    """
    expected = in_batch_draws * tf.exp(in_batch_log_prob) + shared_draws * tf.exp(shared_log_prob)
    return tf.math.log(expected)


def accidental_hits(positive_ids: tf.Tensor, negative_ids: tf.Tensor) -> tf.Tensor:
    """Where a negative is one of the request's own positives: bool `[B, N]` of ids `[B, P]` (0 pads) and `[N]`."""
    same = positive_ids[:, :, None] == negative_ids[None, None, :]
    return tf.reduce_any(same & (positive_ids != 0)[:, :, None], axis=1)


def softmax_loss(
    positive_scores: tf.Tensor, weights: tf.Tensor, negative_scores: tf.Tensor, hits: tf.Tensor, temperature: float
) -> tf.Tensor:
    """Each positive against all negatives, never against another positive of its request.

    Args:
      positive_scores: corrected inner products `[B, P]`.
      weights: `[B, P]`, 0 where a request has no more positives.
      negative_scores: corrected inner products `[B, N]`.
      hits: bool `[B, N]`, negatives to leave out.
      temperature: divides the scores, smoothing noisy clicks.

    Returns:
      The weighted mean of the cross-entropies, a scalar.
    """
    negatives = tf.where(hits, _MASKED, negative_scores / temperature)
    among_negatives = tf.reduce_logsumexp(negatives, axis=1, keepdims=True)
    positives = positive_scores / temperature
    losses = tf.nn.softplus(among_negatives - positives)  # -log(e^p / (e^p + sum e^n))
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))


def mixed_hard_negatives(
    query: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor, hits: tf.Tensor, alphas: tf.Tensor
) -> tf.Tensor:
    """Scores `[B, P, K]` of negatives made in the embedding space: `alpha * positive + (1 - alpha) * hard`.

    Args:
      query: `[B, d]`.
      positives: `[B, P, d]`.
      negatives: `[N, d]`; the K with the largest inner product are the request's hard ones.
      hits: bool `[B, N]`, negatives that may not be chosen.
      alphas: `[B, P, K]`, drawn from U(a, b).
    """
    scores = tf.where(hits, _MASKED, tf.matmul(query, negatives, transpose_b=True))
    hard_scores = tf.math.top_k(scores, tf.shape(alphas)[-1]).values
    positive_scores = tf.einsum("bd,bpd->bp", query, positives)
    # The inner product is linear, so the mixture's score is the mixture of the scores.
    return alphas * positive_scores[:, :, None] + (1.0 - alphas) * hard_scores[:, None, :]
