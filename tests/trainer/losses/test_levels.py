"""The softmax over levels against sums written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.losses.case import Case
from trainer.config import HardNegativesConfig, LossConfig, RankingConfig
from trainer.losses.levels import OwnItems, level_loss
from trainer.towers.noise import Noise

NESTED = {"purchase": ("ordered",), "click": ("ordered", "clicked"), "exposure": ("ordered", "clicked", "shown")}
WEIGHTS = {"purchase": 2.0, "click": 1.0, "exposure": 0.5}


@pytest.fixture(scope="module")
def levelled() -> Case:
    """A request with items of every stage, one with an order that nobody clicked beside, one with clicks alone."""
    case = Case()
    case.stages = {"ordered": ([0, 1], [5, 7]), "clicked": ([0, 0, 2, 2], [3, 4, 7, 9]), "shown": ([0, 2], [11, 4])}
    return case


def expected(case: Case, config: LossConfig, mixed: dict[tuple[int, int], list[float]] | None = None) -> float:
    """The sum over levels, each the mean over its positives; `mixed`: further logits of (request, item)."""
    catalog = bool(config.catalog_negatives)
    own = {
        r: {i for rows, items in case.stages.values() for q, i in zip(rows, items, strict=True) if q == r}
        for r in range(3)
    }
    total = 0.0
    for level, weight in config.levels.items():
        positives = [pair for stage in NESTED[level] for pair in zip(*case.stages[stage], strict=True)]
        losses = []
        for request, item in positives:

            def logit(one: int, request: int = request) -> float:
                off = case.correction(one, catalog, config.in_batch) if config.correction else 0.0
                return case.score(request, one) / config.temperature - off

            beside = [
                logit(other)
                for owner, other in case.pool(catalog, config.in_batch)
                if not (other in own[request] if config.mask_accidental_hits else owner == request)
            ]
            lower = [logit(other) for other in own[request] if (request, other) not in positives]
            everything = [logit(item), *beside, *lower, *(mixed or {}).get((request, item), [])]
            losses.append(math.log(sum(map(math.exp, everything))) - logit(item))
        total += weight * float(np.mean(losses))
    return total


@pytest.mark.parametrize("corrected, mask_hits", itertools.product([True, False], repeat=2))
@pytest.mark.parametrize("catalog, in_batch", [(True, True), (True, False), (False, True)])
def test_levels(levelled: Case, catalog: bool, in_batch: bool, corrected: bool, mask_hits: bool) -> None:
    config = LossConfig(
        levels=WEIGHTS,
        catalog_negatives=7 * catalog,
        in_batch=in_batch,
        correction=corrected,
        mask_accidental_hits=mask_hits,
        temperature=0.7,
    )
    assert levelled.loss(config)["retrieval"] == pytest.approx(expected(levelled, config), rel=1e-5)


@pytest.mark.parametrize("level", NESTED)
def test_a_level_alone_still_meets_what_is_below_it(levelled: Case, level: str) -> None:
    config = LossConfig(levels={level: 1.0})
    assert levelled.loss(config)["retrieval"] == pytest.approx(expected(levelled, config), rel=1e-5)


def test_levels_beside_the_ranking(levelled: Case) -> None:
    ranking = RankingConfig(weight=0.5, random_items=5)
    alone = levelled.loss(LossConfig(levels=WEIGHTS))
    both, ranked = (
        levelled.loss(LossConfig(levels=WEIGHTS, ranking=ranking)),
        levelled.loss(LossConfig(ranking=ranking)),
    )
    assert both["retrieval"] == pytest.approx(alone["retrieval"]) and both["ranking"] == pytest.approx(
        ranked["ranking"]
    )
    assert both["loss"] == pytest.approx(both["retrieval"] + 0.5 * both["ranking"])


def test_levels_and_mixed_negatives(levelled: Case) -> None:
    """Each own item has its mixtures with the pool's hardest, the same at every level that it is a positive of."""
    hard = HardNegativesConfig(count=1, alpha=(0.4, 0.6), mask=())
    config = LossConfig(levels=WEIGHTS, correction=False, hard_negatives=hard)
    items = [pair for rows, one in levelled.stages.values() for pair in zip(rows, one, strict=True)]
    alpha = Noise(3).uniform(tf.constant([len(items), 1]), "alpha", 0.4, 0.6).numpy()[:, 0]
    mixed = {}
    for (request, item), share in zip(items, alpha, strict=True):
        own = {i for r, i in items if r == request}
        hardest = max(levelled.score(request, i) for _, i in levelled.pool(True, True) if i not in own)
        mixed[request, item] = [share * levelled.score(request, item) + (1 - share) * hardest]
    assert levelled.loss(config)["retrieval"] == pytest.approx(expected(levelled, config, mixed), rel=1e-5)


own_items = st.lists(
    st.tuples(st.floats(-80, 80), st.floats(-80, 80), st.integers(0, 2), st.integers(0, 2)), max_size=9
)


@settings(max_examples=40, deadline=None)
@given(own_items)
def test_any_items_give_finite_losses_and_gradients(items: list[tuple[float, float, int, int]]) -> None:
    """However far apart the logits are, and whichever requests and levels are empty."""
    columns = np.array(items, np.float64).reshape(-1, 4).T
    logits, others = (tf.constant(column, tf.float32) for column in columns[:2])
    rows, stages = (tf.constant(column, tf.int32) for column in columns[2:])
    with tf.GradientTape() as tape:
        tape.watch([logits, others])
        loss = level_loss(OwnItems(logits, others, rows, stages), tf.constant(3), WEIGHTS)
    assert float(loss) >= 0 and np.isfinite(loss)
    assert all(np.all(np.isfinite(one)) for one in tape.gradient(loss, [logits, others]))
    for number, (level, weight) in enumerate(WEIGHTS.items()):
        positives = [one for one in items if one[3] <= number]
        costs = [
            np.logaddexp.reduce([z, o, *(one[0] for one in items if one[2] == row and one[3] > number)]) - z
            for z, o, row, _ in positives
        ]
        found = level_loss(OwnItems(logits, others, rows, stages), tf.constant(3), {level: weight})
        assert float(found) == pytest.approx(weight * np.mean(costs) if costs else 0.0, rel=1e-4, abs=1e-4)


def test_the_batch_brings_both_stages_whatever_their_weights() -> None:
    only_orders = {"ordered": 1.0, "clicked": 0.0}
    assert LossConfig(levels=WEIGHTS, stage_weights=only_orders).positive_stages == ("ordered", "clicked")
    assert LossConfig(stage_weights=only_orders).positive_stages == ("ordered",)
