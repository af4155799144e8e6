"""Negatives of the positive's leaf: by formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.losses.case import LEAVES, Case
from trainer.config import LossConfig
from trainer.losses.same_leaf import leaf_places, log_weights


@pytest.mark.parametrize("correction", [True, False])
def test_the_leaf_weighs_more_in_the_softmax(case: Case, correction: bool) -> None:
    """Each of its negatives 1 + N / n times, n the items that the leaf's part of the pool stands for."""
    more, total, weights = 7, 0.0, 0.0
    correct = case.correction if correction else lambda item, *_: 0.0
    for request, positive, weight in case.positives():
        own = {item for r, item, _ in case.positives() if r == request}
        leaves = {LEAVES[item] for item in own} - {0}
        others = [item for _, item in case.pool(True, True) if item not in own]
        stands_for = sum(math.exp(-correct(item, True, True)) for item in others if LEAVES[item] in leaves)
        negatives = sum(
            math.exp(case.score(request, item) - correct(item, True, True))
            * (1 + more / stands_for if LEAVES[item] in leaves else 1)
            for item in others
        )
        own_part = math.exp(case.score(request, positive) - correct(positive, True, True))
        total, weights = total - weight * math.log(own_part / (own_part + negatives)), weights + weight
    config = LossConfig(correction=correction, same_leaf_negatives=more)
    assert case.loss(config)["retrieval"] == pytest.approx(total / weights, rel=1e-4)


def test_it_is_what_further_items_of_the_leaf_add_on_average() -> None:
    """A pool that is the catalogue: its sum, and N times the mean of the leaf's other items."""
    scores, leaves = np.random.default_rng(1).normal(size=9).astype(np.float32), np.array([1, 1, 2, 2, 2, 2, 0, 0, 3])
    logits = tf.constant([np.where(np.arange(9) == 2, -1e9, scores)], tf.float32)  # the positive is the third
    places = leaf_places(tf.constant([0]), tf.constant([2], tf.int64), tf.constant(leaves))
    added = log_weights(places, logits, tf.zeros([9]), 5).numpy()
    negatives = np.exp(np.delete(scores, 2))
    expected = negatives.sum() + 5 * np.exp(scores[[3, 4, 5]]).mean()
    assert np.exp(logits + added).sum() == pytest.approx(expected, rel=1e-5)
    assert (added[0, leaves != 2] == 0).all()


def test_without_a_leaf_or_without_its_items_nothing_weighs_more() -> None:
    pool = tf.constant([0, 1, 1], tf.int64)
    places = leaf_places(tf.constant([0, 1, 2, 2]), tf.constant([0, 9, 1, 1], tf.int64), pool)
    assert {(row, place) for row, place in places.numpy()} == {(2, 1), (2, 2)}
    added = log_weights(places, tf.zeros([3, 3]), tf.zeros([3]), 4).numpy()
    assert added == pytest.approx(np.array([[0, 0, 0], [0, 0, 0], [0, math.log(3), math.log(3)]]))


@pytest.mark.parametrize("kind", ["hinge", "tfrs"])
def test_another_loss_has_no_such_weight(kind: str) -> None:
    with pytest.raises(ValueError, match=f"same_leaf_negatives are a weight in the softmax, kind is '{kind}'"):
        LossConfig(kind=kind, same_leaf_negatives=1)
