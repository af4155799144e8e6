"""The pool: its correction and its masks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from trainer.losses.negatives import log_expected_count, places_of


def test_the_corrected_pool_is_without_bias() -> None:
    """Over every way to draw a pool of 2 catalogue items and 2 positives, its corrected sum is the catalogue's sum."""
    odds, scores = np.array([0.6, 0.3, 0.1]), np.array([0.3, -1.2, 2.0])
    corrections = log_expected_count(tf.math.log(tf.constant(odds, tf.float32)), 2, 3, 2).numpy()
    mean_sum, mean_count = 0.0, np.zeros(3)
    for drawn in itertools.product(range(3), repeat=4):
        chance = (1 / 3) ** 2 * odds[drawn[2]] * odds[drawn[3]]
        mean_sum += chance * sum(math.exp(scores[item] - corrections[item]) for item in drawn)
        mean_count += chance * np.bincount(drawn, minlength=3)
    assert np.exp(corrections) == pytest.approx(mean_count, rel=1e-5)
    assert mean_sum == pytest.approx(np.exp(scores).sum(), rel=1e-5)


def test_places_of() -> None:
    rows, own, keys = tf.constant([0, 0, 2]), tf.constant([5, 6, 5], tf.int64), tf.constant([6, 5, 9, 5], tf.int64)
    assert sorted(map(tuple, places_of(rows, own, keys).numpy())) == [(0, 0), (0, 1), (0, 3), (2, 1), (2, 3)]
