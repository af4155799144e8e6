"""Each loss against plain NumPy, and the correction on a case small enough to enumerate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import tensorflow as tf

from trainer.losses import accidental_hits, log_expected_count, mixed_hard_negatives, softmax_loss

RANDOM = np.random.default_rng(3)


def test_softmax_is_the_formula() -> None:
    positives, negatives = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(4, 5))
    weights = np.array([[2, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], float)
    hits = RANDOM.random((4, 5)) < 0.3
    total = 0.0
    for row, column in itertools.product(range(4), range(3)):
        own = math.exp(positives[row, column] / 2)
        others = sum(math.exp(score / 2) for score, hit in zip(negatives[row], hits[row], strict=True) if not hit)
        total += -weights[row, column] * math.log(own / (own + others))
    found = softmax_loss(*(tf.constant(one, tf.float32) for one in (positives, weights, negatives)), hits, 2.0)
    np.testing.assert_allclose(found, total / weights.sum(), rtol=1e-5)


def test_positives_of_a_request_do_not_compete() -> None:
    weights, negatives, hits = tf.ones([1, 2]), tf.constant([[0.5]]), tf.constant([[False]])
    one = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        loss = softmax_loss(one, weights, negatives, hits, 1.0)
    together = tape.gradient(loss, one)
    alone = [softmax_loss(tf.constant([[score]]), tf.ones([1, 1]), negatives, hits, 1.0) for score in (1.0, 2.0)]
    np.testing.assert_allclose(loss, sum(alone) / 2, rtol=1e-6)
    assert (together.numpy() < 0).all()


def test_no_positive_no_loss() -> None:
    loss = softmax_loss(tf.zeros([2, 1]), tf.zeros([2, 1]), tf.zeros([2, 3]), tf.zeros([2, 3], tf.bool), 1.0)
    assert float(loss) == 0.0


def test_accidental_hits_by_id_and_never_by_padding() -> None:
    positives, negatives = tf.constant([[7, 0], [8, 9]], tf.int64), tf.constant([7, 9, 0], tf.int64)
    assert accidental_hits(positives, negatives).numpy().tolist() == [[True, False, False], [False, True, False]]


def test_expected_counts_by_enumeration() -> None:
    """Two draws from the batch's distribution and one from the catalogue's, all 27 outcomes counted."""
    batch, catalogue = np.array([0.5, 0.3, 0.2]), np.array([1, 1, 1]) / 3
    expected = np.zeros(3)
    for first, second, third in itertools.product(range(3), repeat=3):
        probability = batch[first] * batch[second] * catalogue[third]
        for drawn in (first, second, third):
            expected[drawn] += probability
    logs = (tf.constant(np.log(one), tf.float32) for one in (batch, catalogue))
    found = log_expected_count(next(logs), 2.0, next(logs), 1.0)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)


def test_a_corrected_sample_is_the_full_softmax_on_average() -> None:
    """Sum of e^(s - log expected count) over a drawn set has the full catalogue's sum as its mean."""
    scores, batch = RANDOM.normal(size=3), np.array([0.5, 0.3, 0.2])
    correction = log_expected_count(tf.constant(np.log(batch)), 2.0, tf.constant(np.log([1 / 3] * 3)), 1.0).numpy()
    mean = 0.0
    for drawn in itertools.product(range(3), repeat=3):
        probability = batch[drawn[0]] * batch[drawn[1]] / 3
        mean += probability * sum(math.exp(scores[item] - correction[item]) for item in drawn)
    np.testing.assert_allclose(mean, np.exp(scores).sum(), rtol=1e-6)


def test_mixed_negatives_are_scored_as_if_mixed_before() -> None:
    query, positives, negatives = RANDOM.normal(size=(2, 4)), RANDOM.normal(size=(2, 3, 4)), RANDOM.normal(size=(6, 4))
    hits = np.zeros((2, 6), bool)
    hits[0, np.argmax(query[0] @ negatives.T)] = True
    alphas = RANDOM.uniform(0.4, 0.6, (2, 3, 2))
    found = mixed_hard_negatives(*(tf.constant(one) for one in (query, positives, negatives, hits, alphas)))
    for row, column, rank in itertools.product(range(2), range(3), range(2)):
        allowed = np.flatnonzero(~hits[row])
        hard = negatives[allowed[np.argsort(-(negatives[allowed] @ query[row]))[rank]]]
        alpha = alphas[row, column, rank]
        mixed = alpha * positives[row, column] + (1 - alpha) * hard
        np.testing.assert_allclose(found[row, column, rank], query[row] @ mixed, rtol=1e-6)
