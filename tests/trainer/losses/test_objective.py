"""Each loss against a plain NumPy version written from its formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.config import HardNegativesConfig, LossConfig, RankingConfig
from trainer.losses.hard_negatives import hardest, mixed_negatives
from trainer.losses.negatives import log_expected_count, places_of
from trainer.losses.objective import Encoded, Objective
from trainer.losses.ranking import ranking_losses
from trainer.towers.noise import Noise

ITEMS, DIM = 50, 6


class Case:
    """Three requests with two, one and two positives, of which some meet again in the pool."""

    def __init__(self) -> None:
        draw = np.random.default_rng(5)
        self.table = draw.normal(size=(ITEMS, DIM)).astype(np.float32)
        self.odds = draw.dirichlet(np.ones(ITEMS)).astype(np.float32)
        self.queries = draw.normal(size=(3, DIM)).astype(np.float32)
        self.stages = {"ordered": ([1], [7]), "clicked": ([0, 0, 2, 2], [3, 4, 7, 9]), "shown": ([0, 2], [11, 12])}
        self.catalog = [4, 20, 21, 9, 22, 11, 20]

    def encoded(self, rows: list[int], items: list[int]) -> Encoded:
        keys = tf.constant(items, tf.int64)
        return Encoded(
            tf.constant(self.table[items]), keys, tf.constant(np.log(self.odds[items])), tf.constant(rows, tf.int32)
        )

    def loss(self, config: LossConfig) -> dict[str, float]:
        objective = Objective(config, ITEMS, Noise(3))
        stages = {name: self.encoded(*self.stages[name]) for name in objective.stages}
        shared = self.encoded([-1] * len(self.catalog), self.catalog) if config.catalog_negatives else None
        losses = objective(tf.constant(self.queries), stages, shared)
        return {name: float(loss) for name, loss in losses.items()}

    def positives(self) -> list[tuple[int, int, float]]:
        """(request, item, weight)."""
        weights = {"ordered": 2.0, "clicked": 1.0}
        return [(r, i, w) for stage, w in weights.items() for r, i in zip(*self.stages[stage], strict=True)]

    def pool(self, catalog: bool, in_batch: bool) -> list[tuple[int, int]]:
        """(owner, item) of each candidate."""
        slots = [(-1, item) for item in self.catalog] if catalog else []
        return slots + ([(r, i) for r, i, _ in self.positives()] if in_batch else [])

    def correction(self, item: int, catalog: bool, in_batch: bool) -> float:
        expected = len(self.catalog) / ITEMS if catalog else 0.0
        if in_batch:
            expected += len(self.positives()) * (1 - 1 / 3) * self.odds[item]
        return math.log(expected)

    def score(self, request: int, item: int) -> float:
        return float(self.queries[request] @ self.table[item])


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def softmax(case: Case, catalog: bool, in_batch: bool, corrected: bool, mask_hits: bool, temperature: float) -> float:
    total, weights = 0.0, 0.0
    for request, positive, weight in case.positives():
        own = {item for r, item, _ in case.positives() if r == request}

        def logit(item: int, request: int = request) -> float:
            off = case.correction(item, catalog, in_batch) if corrected else 0.0
            return case.score(request, item) / temperature - off

        others = [
            logit(item)
            for owner, item in case.pool(catalog, in_batch)
            if not (item in own if mask_hits else owner == request)
        ]
        total -= weight * math.log(math.exp(logit(positive)) / sum(map(math.exp, [logit(positive), *others])))
        weights += weight
    return total / weights


@pytest.mark.parametrize("corrected, mask_hits", itertools.product([True, False], repeat=2))
@pytest.mark.parametrize("catalog, in_batch", [(True, True), (True, False), (False, True)])
def test_softmax(case: Case, catalog: bool, in_batch: bool, corrected: bool, mask_hits: bool) -> None:
    config = LossConfig(
        catalog_negatives=7 * catalog,
        in_batch=in_batch,
        correction=corrected,
        mask_accidental_hits=mask_hits,
        temperature=1.7,
    )
    expected = softmax(case, catalog, in_batch, corrected, mask_hits, 1.7)
    assert case.loss(config)["retrieval"] == pytest.approx(expected, rel=1e-5)


def test_a_stage_of_weight_0_is_no_positive(case: Case) -> None:
    config = LossConfig(stage_weights={"ordered": 1.0, "clicked": 0.0}, correction=False)
    own, query = 7, case.queries[1]
    others = [item for item in [*case.catalog, own] if item != own]
    expected = math.log1p(sum(math.exp(query @ (case.table[i] - case.table[own])) for i in others))
    assert case.loss(config)["retrieval"] == pytest.approx(expected, rel=1e-5)


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


def test_hinge(case: Case) -> None:
    total, weights = 0.0, 0.0
    for request, positive, weight in case.positives():
        own = {item for r, item, _ in case.positives() if r == request}
        others = [item for _, item in case.pool(True, True) if item not in own]
        gaps = [max(0.0, 0.7 - case.score(request, positive) + case.score(request, item)) for item in others]
        total, weights = total + weight * np.mean(gaps), weights + weight
    assert case.loss(LossConfig(kind="hinge", hinge_margin=0.7))["retrieval"] == pytest.approx(
        total / weights, rel=1e-5
    )


def test_mixed_negatives(case: Case) -> None:
    """alpha * i_pos + (1 - alpha) * i_hard as vectors, the hardest by inner product, beside the pool."""
    config = LossConfig(correction=False, hard_negatives=HardNegativesConfig(count=3, alpha=(0.4, 0.6)))
    alpha = Noise(3).uniform(tf.constant([5, 3]), "alpha", 0.4, 0.6).numpy()
    assert alpha.min() >= 0.4 and alpha.max() < 0.6 and len(np.unique(alpha)) == 15
    total, weights = 0.0, 0.0
    for number, (request, positive, weight) in enumerate(case.positives()):
        own = {item for r, item, _ in case.positives() if r == request}
        others = [item for _, item in case.pool(True, True) if item not in own]
        order = _as_top_k(case, request)
        mixed = [a * case.table[positive] + (1 - a) * case.table[i] for a, i in zip(alpha[number], order, strict=True)]
        everything = [*case.table[[positive, *others]], *mixed]
        shares = np.exp([case.queries[request] @ vector for vector in everything])
        total, weights = total - weight * math.log(shares[0] / shares.sum()), weights + weight
    assert case.loss(config)["retrieval"] == pytest.approx(total / weights, rel=1e-4)


def _as_top_k(case: Case, request: int) -> list[int]:
    """The three hardest, in the order in which TensorFlow gives them (that alpha goes by)."""
    own = {item for r, item, _ in case.positives() if r == request}
    pool = [item for _, item in case.pool(True, True)]
    scores = [-1e9 if item in own else case.score(request, item) for item in pool]
    found = tf.math.top_k(tf.constant([scores], tf.float32), 3, sorted=False).indices.numpy()[0]
    assert {scores[i] for i in found} == set(sorted(scores)[-3:]) or len(set(scores)) < len(scores)
    return [pool[i] for i in found]


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


def test_the_library_task(case: Case) -> None:
    """One row a positive; items of the same request, and the same item elsewhere, are no negatives."""
    total, weights, positives = 0.0, 0.0, case.positives()
    for number, (request, item, weight) in enumerate(positives):
        others = [
            case.score(request, other)
            for place, (owner, other, _) in enumerate(positives)
            if place != number and owner != request and other != item
        ]
        own = case.score(request, item)
        total += weight * math.log(sum(map(math.exp, [own, *others])) / math.exp(own))
        weights += weight
    found = case.loss(LossConfig(kind="tfrs", correction=False, catalog_negatives=0))["retrieval"]
    assert found == pytest.approx(total / weights, rel=1e-5)


@pytest.mark.parametrize("kind", ["hinge", "logistic"])
def test_ranking(case: Case, kind: str) -> None:
    pairs = {"ordered>clicked": (0.5, 2.0), "clicked>shown": (0.3, 1.0), "shown>random": (0.1, 0.5)}
    config = RankingConfig(weight=0.5, kind=kind, random_items=5, pairs=pairs)
    total = 0.0
    for request in range(3):
        mine = {s: [i for r, i in zip(*case.stages[s], strict=True) if r == request] for s in case.stages}
        own = {item for items in mine.values() for item in items}
        mine["random"] = [item for item in case.catalog[:5] if item not in own]
        for pair, (margin, weight) in pairs.items():
            high, low = (mine[stage] for stage in pair.split(">"))
            gaps = [margin - case.score(request, h) + case.score(request, x) for h in high for x in low]
            cost = [max(0.0, gap) if kind == "hinge" else math.log1p(math.exp(gap)) for gap in gaps]
            total += weight * np.mean(cost) if cost else 0.0
    losses = case.loss(LossConfig(ranking=config))
    assert losses["ranking"] == pytest.approx(total / 3, rel=1e-5)
    assert losses["loss"] == pytest.approx(losses["retrieval"] + 0.5 * losses["ranking"], rel=1e-6)


def test_ranking_of_empty_stages_costs_nothing() -> None:
    scores = {"ordered": tf.zeros([1, 0]), "clicked": tf.ones([1, 2])}
    masks = {"ordered": tf.zeros([1, 0], tf.bool), "clicked": tf.ones([1, 2], tf.bool)}
    assert float(ranking_losses(scores, masks, RankingConfig(weight=1))[0]) == 0.0
