"""Order within a request."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.losses.case import Case
from trainer.config import LossConfig, RankingConfig
from trainer.losses.position_weights import PositionWeights
from trainer.losses.ranking import ranking_losses


@pytest.mark.parametrize("kind, temperature", [("hinge", 1.0), ("hinge", 0.25), ("logistic", 2.0)])
def test_ranking(case: Case, kind: str, temperature: float) -> None:
    """Scores stand over the temperature, as in the softmax; margins are of that scale."""
    pairs = {"ordered>clicked": (0.5, 2.0), "clicked>shown": (0.3, 1.0), "shown>random": (0.1, 0.5)}
    config = RankingConfig(weight=0.5, kind=kind, random_items=5, pairs=pairs)
    total = 0.0
    for request in range(3):
        mine = {s: [i for r, i in zip(*case.stages[s], strict=True) if r == request] for s in case.stages}
        own = {item for items in mine.values() for item in items}
        mine["random"] = [item for item in case.catalog[:5] if item not in own]
        for pair, (margin, weight) in pairs.items():
            high, low = (mine[stage] for stage in pair.split(">"))
            score = {item: case.score(request, item) / temperature for item in (*high, *low)}
            gaps = [margin - score[h] + score[x] for h in high for x in low]
            cost = [max(0.0, gap) if kind == "hinge" else math.log1p(math.exp(gap)) for gap in gaps]
            total += weight * np.mean(cost) if cost else 0.0
    losses = case.loss(LossConfig(ranking=config, temperature=temperature))
    assert losses["ranking"] == pytest.approx(total / 3, rel=1e-5)
    assert losses["loss"] == pytest.approx(losses["retrieval"] + 0.5 * losses["ranking"], rel=1e-6)


def test_what_was_shown_where_nobody_looks_is_a_weak_negative(case: Case) -> None:
    """By formula: min(1, .3 / .2) = 1 for the first request's item, .05 / .2 for the last one's."""
    pairs = {"clicked>shown": (5.0, 1.0)}
    weights = {0: 1.0, 2: 0.25}
    total = 0.0
    for request, weight in weights.items():
        high, low = (
            [i for r, i in zip(*case.stages[stage], strict=True) if r == request] for stage in ("clicked", "shown")
        )
        gaps = [5.0 - case.score(request, h) + case.score(request, x) for h in high for x in low]
        total += weight * np.mean([max(0.0, gap) for gap in gaps])
    off, on = (RankingConfig(weight=1, pairs=pairs, position=position) for position in (False, True))
    assert case.loss(LossConfig(ranking=on))["ranking"] == pytest.approx(total / 3, rel=1e-5)
    assert case.loss(LossConfig(ranking=off))["ranking"] > total / 3 + 1e-3


def test_positions_never_weigh_more_than_the_first_and_unknown_ones_fully() -> None:
    weights = PositionWeights([0.2, 0.1, 0.3])
    assert weights(tf.constant([[0, 1, 2], [3, 4, 99]], tf.int64)).numpy() == pytest.approx(
        np.array([[1, 1, 0.5], [1, 1, 1]])
    )
    for nothing in ([], [0.0, 0.0]):  # a log without pages, or without clicks on them
        assert PositionWeights(nothing)(tf.constant([0, 1, 5], tf.int64)).numpy().tolist() == [1, 1, 1]


def test_ranking_of_empty_stages_costs_nothing() -> None:
    scores = {"ordered": tf.zeros([1, 0]), "clicked": tf.ones([1, 2])}
    masks = {"ordered": tf.zeros([1, 0], tf.bool), "clicked": tf.ones([1, 2], tf.bool)}
    assert float(ranking_losses(scores, masks, RankingConfig(weight=1))[0]) == 0.0
