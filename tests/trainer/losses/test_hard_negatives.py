"""Mined and mixed negatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tests.trainer.losses.case import Case
from trainer.config import HardNegativeMask, HardNegativesConfig, LossConfig
from trainer.losses.hard_negatives import hardest, mixed_negatives
from trainer.towers.noise import Noise

EVERYTHING: tuple[HardNegativeMask, ...] = ("request", "shown", "query", "leaf")
# By hand, of each request of the case: what is not mixed.
HIDDEN: dict[tuple[HardNegativeMask, ...], tuple[set[int], ...]] = {
    (): (set(), set(), set()),
    ("request",): ({3, 4}, {7}, {7, 9}),
    ("shown",): ({11}, set(), {12}),
    ("query",): ({3, 4, 7, 9}, {7}, {3, 4, 7, 9}),
    ("leaf",): ({4, 7, 22}, {4, 7, 22}, {4, 7, 22}),
    EVERYTHING: ({3, 4, 7, 9, 11, 22}, {4, 7, 22}, {3, 4, 7, 9, 12, 22}),
}


@pytest.mark.parametrize("masked_hits", [True, False])
@pytest.mark.parametrize("mask", HIDDEN)
def test_mixed_negatives(case: Case, mask: tuple[HardNegativeMask, ...], masked_hits: bool) -> None:
    """alpha * i_pos + (1 - alpha) * i_hard as vectors, the hardest by inner product, beside the pool."""
    hard = HardNegativesConfig(count=3, alpha=(0.4, 0.6), mask=mask)
    config = LossConfig(correction=False, mask_accidental_hits=masked_hits, hard_negatives=hard)
    alpha = Noise(3).uniform(tf.constant([5, 3]), "alpha", 0.4, 0.6).numpy()
    assert alpha.min() >= 0.4 and alpha.max() < 0.6 and len(np.unique(alpha)) == 15
    total, weights = 0.0, 0.0
    for number, (request, positive, weight) in enumerate(case.positives()):
        own = {item for r, item, _ in case.positives() if r == request} if masked_hits else set()
        pool = [(item, owner != request and item not in own) for owner, item in case.pool(True, True)]
        order = _as_top_k(case, request, [(item, there and item not in HIDDEN[mask][request]) for item, there in pool])
        mixed = [a * case.table[positive] + (1 - a) * case.table[i] for a, i in zip(alpha[number], order, strict=True)]
        others = [item for item, there in pool if there]
        everything = [*case.table[[positive, *others]], *mixed]
        shares = np.exp([case.queries[request] @ vector for vector in everything])
        total, weights = total - weight * math.log(shares[0] / shares.sum()), weights + weight
    assert case.loss(config)["retrieval"] == pytest.approx(total / weights, rel=1e-4)


def _as_top_k(case: Case, request: int, pool: list[tuple[int, bool]]) -> list[int]:
    """The three hardest that are there, in the order in which TensorFlow gives them (that alpha goes by)."""
    scores = [case.score(request, item) if there else -1e9 for item, there in pool]
    found = tf.math.top_k(tf.constant([scores], tf.float32), 3, sorted=False).indices.numpy()[0]
    assert {scores[i] for i in found} == set(sorted(scores)[-3:]) or len(set(scores)) < len(scores)
    assert min(scores[i] for i in found) > -1e9
    return [pool[i][0] for i in found]


def test_corrections_mix_along() -> None:
    scores, log_count = tf.constant([[2.0, 1.0, -1e9]]), tf.constant([0.5, -0.5, 0.0])
    config = HardNegativesConfig(count=3, alpha=(0.4, 0.6))
    mixed = mixed_negatives(tf.constant([3.0]), tf.constant([0]), scores, log_count, config, Noise(1)).numpy()[0]
    mixed = sorted(mixed)
    assert mixed[0] < -1e8  # a masked negative stays out
    assert 0.4 * 3 + 0.6 * 1.5 <= mixed[1] <= mixed[2] <= 0.6 * 3 + 0.4 * 1.5


def test_mining_keeps_what_tfrs_keeps() -> None:
    logits = np.random.default_rng(1).normal(size=(4, 9)).astype(np.float32)
    labels = np.eye(4, 9, dtype=np.float32)
    theirs, _ = tfrs.layers.loss.HardNegativeMining(3)(tf.constant(logits), tf.constant(labels))
    negatives = np.where(labels > 0, -1e9, logits)
    ours = hardest(tf.constant(negatives), 3).numpy()
    for row in range(4):
        assert set(theirs.numpy()[row]) == {logits[row, row], *ours[row]}
